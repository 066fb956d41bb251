import Dockerfile
import Layers
import SystemIO

extension CopyOperation.Source {
    /// The files and folders that a written source stands for, in order.
    ///
    /// `..` and a leading `/` stop at the source's root. A wildcard that matches nothing stands for nothing; a literal
    /// path stands for itself, there or not.
    func matches(of pattern: WildcardPattern) throws -> [ImagePath] {
        if let literal = pattern.literal { return [ImagePath(cleaning: literal)] }
        var found: [ImagePath] = []
        var folders = [ImagePath.root]
        while let folder = folders.popLast() {
            var below: [ImagePath] = []
            for child in try children(of: folder) {
                let path = ImagePath(trusting: child.path)
                if pattern.matches(path.bytes), isVisible(path, child.status.kind) { found.append(path) }
                if child.status.kind == .directory, pattern.mayMatch(below: path.bytes) { below.append(path) }
            }
            folders += below.reversed()
        }
        return found.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    }

    /// The file that a path leads to, symlinks followed inside the source's root; `nil` if nothing is there or all of it
    /// is ignored.
    func resolved(_ path: ImagePath) throws -> UnionTree.Node? {
        guard case .found(let node) = try tree.resolve(path.bytes, followLast: true) else { return nil }
        guard isVisible(path, node.status.kind), isVisible(ImagePath(trusting: node.path), node.status.kind) else { return nil }
        return node
    }

    private func isVisible(_ path: ImagePath, _ kind: FileStatus.Kind) -> Bool {
        if path.isRoot || !ignored.isIgnored(path.bytes) { return true }
        return kind == .directory && ignored.mayContainIncluded(path.bytes)
    }

    /// What is in a folder, last name first: ready to be taken off a stack's end.
    func children(of folder: ImagePath) throws -> [UnionTree.Node] {
        try tree.children(of: folder.bytes).reversed()
    }

    /// The attributes that travel with a file. An SELinux label is the machine's, not the file's.
    func attributes(of node: UnionTree.Node) throws -> [ExtendedAttribute] {
        try tree.attributes(node).filter { $0.name != "security.selinux" }
    }

    /// Why a source cannot be copied: it is not there, or a pattern hides it.
    func missing(_ path: ImagePath) throws -> BuildError {
        let text = String(decoding: path.bytes, as: UTF8.self)
        if let line = ignored.decidingLine(for: path.bytes), ignored.isIgnored(path.bytes) {
            return BuildError(
                "'\(text)' is not in \(name)", hint: "it is excluded by line \(line.number) of .dockerignore (\"\(line.text)\")")
        }
        let folder = try tree.resolve(path.parent.bytes, followLast: true).path
        let names = try tree.children(of: folder).map { String(decoding: $0.name, as: UTF8.self) }
        let similar = Suggestion.nearest(to: String(decoding: path.name, as: UTF8.self), in: names)
        return BuildError("'\(text)' is not in \(name)", hint: similar.map { "did you mean '\($0)'?" })
    }
}
