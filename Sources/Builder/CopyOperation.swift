import Dockerfile
import Layers
import SystemIO

/// Plans what one COPY or ADD lays into the image: which source becomes which entry.
///
/// The rules are those of BuildKit; where a comment says "documented", its code is laxer than its documentation.
struct CopyOperation {
    /// Where sources are read from.
    struct Source {
        let tree: UnionTree
        /// What `.dockerignore` hides; empty for stages and images.
        let ignored: IgnorePatterns
        /// Files of stages and images keep their owner; those of a context belong to root.
        let keepsOwners: Bool
        /// For messages: "the build context", "stage build".
        let name: String
    }

    /// How what is copied differs from its source.
    struct Options {
        var owner: (uid: UInt32, gid: UInt32)?
        var mode: FileMode?
        /// `--exclude`, relative to each source folder.
        var excluded: IgnorePatterns
    }

    var plan: LayerPlan
    let options: Options
    private let destination: Destination
    /// Counts the sources: files are hard links of each other only within one.
    var sourceNumber = 0
    /// Where archives are unpacked to; `nil` copies them as they are.
    var spool: ArchiveSpool?

    struct Destination {
        let path: ImagePath
        /// Written with `/`, `/.` or as `.`: a folder, whether it exists or not.
        let isDirectory: Bool

        init(_ written: String, workingDirectory: String) {
            path = ImagePath(cleaning: written, below: ImagePath(cleaning: workingDirectory))
            isDirectory = written.isEmpty || written == "." || written.hasSuffix("/") || written.hasSuffix("/.") || written == ".."
        }
    }

    init(on below: UnionTree, destination: Destination, options: Options, time: Timestamp) {
        let mode: UInt16 = if case .octal(let bits)? = options.mode { bits & 0o7777 } else { 0o755 }
        plan = LayerPlan(
            on: below,
            implied: .init(
                permissions: mode, uid: options.owner?.uid ?? 0, gid: options.owner?.gid ?? 0, modified: time))
        self.destination = destination
        self.options = options
    }

    // MARK: Sources

    /// Plans all that a written source stands for.
    ///
    /// - Throws: `BuildError` without a place if a literal source is missing, or the destination cannot take it.
    mutating func copy(_ pattern: WildcardPattern, from source: Source) throws {
        for path in try source.matches(of: pattern) {
            sourceNumber += 1
            try copy(path, from: source)
        }
    }

    private mutating func copy(_ path: ImagePath, from source: Source) throws {
        guard let node = try source.resolved(path) else { throw try source.missing(path) }
        if node.status.kind == .directory {
            try copyContents(of: ImagePath(trusting: node.path), from: source)
        } else if let spool, node.status.kind == .file, try TarReader.looksLikeArchive(source.tree.open(node)) {
            try unpack(source.tree.open(node), name: path.absolute, into: spool)
        } else {
            // A followed symlink gives its own name to the file that it leads to.
            let target = try fileDestination(named: path.name)
            try place(node, from: source, at: target)
        }
    }

    /// Plans a file that is written out in the Dockerfile.
    mutating func copy(heredoc: Heredoc, time: Timestamp) throws {
        let target = try fileDestination(named: Array(heredoc.name.utf8)[...])
        let bytes = Array(heredoc.contents.utf8)
        let permissions = options.mode?.apply(to: 0o644, isDirectory: false) ?? 0o644
        try plan.place(
            LayerEntry(
                path: target.bytes, kind: .file(size: Int64(bytes.count)), permissions: permissions,
                uid: options.owner?.uid ?? 0, gid: options.owner?.gid ?? 0, modified: time),
            content: .bytes(bytes))
    }

    // MARK: Destinations

    /// Where a file of this name goes: into an existing or named folder, else to the destination itself.
    private mutating func fileDestination(named name: ArraySlice<UInt8>) throws -> ImagePath {
        let base = try plan.resolve(destination.path)
        var target = base
        switch try plan.occupant(of: base) {
        case .directory:
            try plan.ensureDirectory(base)
            target = try plan.resolve(base.appending(name))
        case .other where destination.isDirectory:
            throw BuildError("the destination '\(base.absolute)' is a file, not a directory")
        case _ where destination.isDirectory:
            try plan.ensureDirectory(base)
            target = try plan.resolve(base.appending(name))
        default: break
        }
        guard try plan.occupant(of: target) != .directory else {
            throw BuildError("the file cannot replace the directory '\(target.absolute)'")
        }
        return target
    }

    /// The destination as a folder, made if it is missing: it keeps owner and mode if it is there.
    mutating func directoryDestination() throws -> ImagePath {
        let base = try plan.resolve(destination.path)
        guard try plan.occupant(of: base) != .other else {
            throw BuildError("a directory cannot be copied to '\(base.absolute)', which is a file")
        }
        try plan.ensureDirectory(base)
        return base
    }

    // MARK: Trees

    private struct Frame {
        let source: ImagePath
        let target: ImagePath
        var children: [UnionTree.Node]
        /// A folder that is ignored itself is made only when something in it is not.
        var pending: UnionTree.Node?
    }

    /// Merges what is in a source folder into the destination. An explicit stack: depth is the source's choice.
    private mutating func copyContents(of folder: ImagePath, from source: Source) throws {
        let base = try directoryDestination()
        var stack = [Frame(source: folder, target: base, children: try source.children(of: folder), pending: nil)]
        while let child = stack[stack.count - 1].children.popLast() {
            try visit(child, below: folder, from: source, stack: &stack)
            while let top = stack.last, top.children.isEmpty, stack.count > 1 { stack.removeLast() }
        }
    }

    private mutating func visit(
        _ node: UnionTree.Node, below folder: ImagePath, from source: Source, stack: inout [Frame]
    ) throws {
        let path = ImagePath(trusting: node.path)
        let target = stack[stack.count - 1].target.appending(path.name)
        let relative = path.relative(to: folder)
        let isIgnored = source.ignored.isIgnored(path.bytes) || options.excluded.isIgnored(relative)
        if isIgnored {
            guard node.status.kind == .directory,
                source.ignored.isIgnored(path.bytes) == false || source.ignored.mayContainIncluded(path.bytes),
                options.excluded.isIgnored(relative) == false || options.excluded.mayContainIncluded(relative)
            else { return }
        } else {
            for index in stack.indices {
                guard let pending = stack[index].pending else { continue }
                try place(pending, from: source, at: stack[index].target)
                stack[index].pending = nil
            }
            try place(node, from: source, at: target)
        }
        guard node.status.kind == .directory else { return }
        let children = try source.children(of: path)
        if !children.isEmpty {
            stack.append(Frame(source: path, target: target, children: children, pending: isIgnored ? node : nil))
        }
    }

    /// Plans one entry at a resolved path, as its source is and the options say.
    private mutating func place(_ node: UnionTree.Node, from source: Source, at target: ImagePath) throws {
        switch (node.status.kind, try plan.occupant(of: target)) {
        case (.directory, .other), (.directory, .symlink):
            throw BuildError("the directory '\(printable(node.path))' cannot replace the file '\(target.absolute)'")
        case (let kind, .directory) where kind != .directory:
            throw BuildError("the file '\(printable(node.path))' cannot replace the directory '\(target.absolute)'")
        default: break
        }
        let kind: LayerEntry.Kind =
            switch node.status.kind {
            case .file: .file(size: node.status.size)
            case .directory: .directory
            case .symlink: .symlink(target: try source.tree.readLink(node))
            case .characterDevice: .characterDevice(node.status.node)
            case .blockDevice: .blockDevice(node.status.node)
            case .fifo: .fifo
            // A socket is nothing without its process: an empty file keeps the name, as BuildKit does.
            case .socket: .file(size: 0)
            }
        let kept: (uid: UInt32, gid: UInt32) = source.keepsOwners ? (node.status.uid, node.status.gid) : (0, 0)
        let owner = options.owner ?? kept
        var permissions = node.status.permissions
        if node.status.kind != .symlink, let mode = options.mode {
            permissions = mode.apply(to: permissions, isDirectory: node.status.kind == .directory)
        }
        try plan.place(
            LayerEntry(
                path: target.bytes, kind: kind, permissions: permissions, uid: owner.uid, gid: owner.gid,
                modified: node.status.modified, attributes: try source.attributes(of: node)),
            content: node.status.kind == .file ? .file(source.tree, node) : .none,
            link: node.status.linkCount > 1 && node.status.kind == .file
                ? LayerPlan.LinkKey(source: sourceNumber, device: node.status.device, inode: node.status.inode) : nil)
    }

    private func printable(_ path: [UInt8]) -> String {
        ImagePath(trusting: path).absolute
    }
}
