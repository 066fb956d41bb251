import Dockerfile
import Layers
import SystemIO

extension CopyOperation.Source {
    /// A file or folder that a written source stands for.
    struct Match {
        /// As the source names it: a symlink gives its own name to the file that it leads to.
        let name: ImagePath
        /// What is there, symlinks followed inside the source's root.
        let node: UnionTree.Node

        var path: ImagePath { ImagePath(trusting: node.path) }
    }

    /// Whether a written source is a pattern, which may stand for nothing.
    static func isWildcard(_ written: String) throws -> Bool {
        try patterns(of: written).contains { $0.isWildcard }
    }

    private static func patterns(of written: String) throws -> [WildcardPattern] {
        try ImagePath(cleaning: written).components.map { try WildcardPattern(parsing: Array($0)) }
    }

    /// The files and folders that a written source stands for, in order.
    ///
    /// `..` and a leading `/` stop at the source's root. A wildcard stays within one component; symlinks before the first
    /// one are followed. A wildcard that matches nothing stands for nothing.
    /// - Throws: `BuildError` for a literal path to nothing, or to what is ignored, and for a match that is a dangling symlink.
    func matches(of written: String) throws -> [Match] {
        let patterns = try Self.patterns(of: written)
        let literals = patterns.prefix { !$0.isWildcard }
        let start = ImagePath(cleaning: Array(literals.compactMap(\.literal).joined(separator: [UInt8(ascii: "/")])))
        guard literals.count < patterns.count else { return [Match(name: start, node: try followed(start))] }
        guard case .found(let folder) = try tree.resolve(start.bytes, followLast: true),
            folder.status.kind == .directory
        else { return [] }
        var found: [(name: ImagePath, node: UnionTree.Node)] = [(start, folder)]
        for pattern in patterns.dropFirst(literals.count) {
            var next: [(name: ImagePath, node: UnionTree.Node)] = []
            for (name, folder) in found where folder.status.kind == .directory {
                for node in try entries(of: folder, matching: pattern) {
                    next.append((name.appending(ImagePath(trusting: node.path).name), node))
                }
            }
            found = next
        }
        return try found.compactMap { name, node in
            guard try isVisible(node), name.bytes == node.path || isShown(name, node.status.kind) else { return nil }
            return Match(name: name, node: node.status.kind == .symlink ? try followed(name) : node)
        }
    }

    private func entries(of folder: UnionTree.Node, matching pattern: WildcardPattern) throws -> [UnionTree.Node] {
        if let literal = pattern.literal {
            return try tree.node(at: ImagePath(trusting: folder.path).appending(literal).bytes).map { [$0] } ?? []
        }
        return try tree.children(of: folder.path).filter { pattern.matches(ImagePath(trusting: $0.path).name) }
    }

    /// What a path leads to, symlinks followed inside the source's root.
    ///
    /// - Throws: `BuildError` if nothing is there or all of it is ignored.
    func followed(_ path: ImagePath) throws -> UnionTree.Node {
        guard case .found(let node) = try tree.resolve(path.bytes, followLast: true), isShown(path, node.status.kind),
            try isVisible(node)
        else { throw try missing(path) }
        return node
    }

    /// What is at a path in which no symlink is followed, folders on the way included, outermost first.
    ///
    /// - Throws: `BuildError` if nothing is there or all of it is ignored.
    func nodes(to path: ImagePath, below folder: ImagePath) throws -> [UnionTree.Node] {
        var nodes: [UnionTree.Node] = []
        for place in path.ancestors + [path] {
            if let last = nodes.last, last.status.kind == .symlink {
                throw BuildError(
                    "'\(ImagePath(trusting: last.path).relativeText)' is a symlink, and --parents follows none",
                    hint: "name the folder that it leads to")
            }
            guard let node = try tree.node(at: folder.appending(place.bytes).bytes) else {
                throw try missing(folder.appending(path.bytes))
            }
            nodes.append(node)
        }
        guard let last = nodes.last, try isVisible(last) else { throw try missing(folder.appending(path.bytes)) }
        return nodes
    }

    // MARK: Ignored

    /// Whether a name, or something below it, may be copied.
    private func isShown(_ path: ImagePath, _ kind: FileStatus.Kind) -> Bool {
        if ignored.isEmpty || path.isRoot || !ignored.isIgnored(path.bytes) { return true }
        return kind == .directory && ignored.mayContainIncluded(path.bytes)
    }

    /// Whether there is anything of a node to be copied: an ignored folder is there only if something in it is not ignored.
    private func isVisible(_ node: UnionTree.Node) throws -> Bool {
        if ignored.isEmpty || node.path.isEmpty { return true }
        var pending = [node]
        while let node = pending.popLast() {
            if !ignored.isIgnored(node.path) { return true }
            guard node.status.kind == .directory, ignored.mayContainIncluded(node.path) else { continue }
            pending += try tree.children(of: node.path)
        }
        return false
    }

    // MARK: Nodes

    /// What is in a folder, last name first: ready to be taken off a stack's end.
    func children(of folder: ImagePath) throws -> [UnionTree.Node] {
        try tree.children(of: folder.bytes).reversed()
    }

    /// The attributes that travel with a file. An SELinux label is the machine's, not the file's.
    func attributes(of node: UnionTree.Node) throws -> [ExtendedAttribute] {
        try tree.attributes(node).filter { $0.name != "security.selinux" }
    }

    /// Why a source cannot be copied: it is not there, or a pattern hides it.
    private func missing(_ path: ImagePath) throws -> BuildError {
        let text = path.relativeText
        if let line = ignored.decidingLine(for: path.bytes) {
            return BuildError(
                "'\(text)' is not in \(name)",
                hint: "it is excluded by line \(line.number) of \(ignoreFile) (\"\(line.text)\")")
        }
        if case .symlink? = try tree.node(at: path.bytes)?.status.kind {
            return BuildError("'\(text)' is a symlink that leads to nothing in \(name)")
        }
        let folder = try tree.resolve(path.parent.bytes, followLast: true).path
        let names = try tree.children(of: folder).map { String(decoding: $0.name, as: UTF8.self) }
        let similar = Suggestion.nearest(to: String(decoding: path.name, as: UTF8.self), in: names)
        return BuildError("'\(text)' is not in \(name)", hint: similar.map { "did you mean '\($0)'?" })
    }
}
