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
        /// Where those patterns stand, for messages.
        var ignoreFile = ".dockerignore"
        /// Files of stages and images keep their owner; those of a context belong to root.
        let keepsOwners: Bool
        /// For messages: "the build context", "stage build".
        let name: String
        /// Where bytes are read from that the tree has no file of.
        var layers: [StoredLayer] = []
    }

    /// How what is copied differs from its source.
    struct Options {
        var owner: (uid: UInt32, gid: UInt32)?
        var mode: FileMode?
        /// `--exclude`, relative to each source folder.
        var excluded: IgnorePatterns
        /// `--link`: no symlink of the image is followed.
        var followsSymlinks = true

        /// Whether `--exclude` leaves out a name that a wildcard matched. Documented; BuildKit's code copies such a file.
        func hides(_ name: ArraySlice<UInt8>, isDirectory: Bool) -> Bool {
            !excluded.isEmpty && excluded.isIgnored(name) && !(isDirectory && excluded.mayContainIncluded(name))
        }
    }

    var plan: LayerPlan
    let options: Options
    private let destination: Destination
    /// Counts the sources: files are hard links of each other only within one.
    var sourceNumber = 0
    /// Counts the files of archives, which have no inodes.
    var unpackedFiles: UInt64 = 0
    /// Where archives are unpacked to; `nil` copies them as they are.
    var spool: ArchiveSpool?
    /// Whether a file that was copied has become the destination itself.
    private var isDestinationTaken = false

    struct Destination {
        let path: ImagePath
        /// Written with `/`, `/.` or as `.`: a folder, whether it exists or not.
        let isDirectory: Bool

        init(_ written: String, workingDirectory: String, isDirectory: Bool = false) {
            path = ImagePath(cleaning: written, below: ImagePath(cleaning: workingDirectory))
            let last = written.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
            self.isDirectory = isDirectory || ["", ".", ".."].contains(last)
        }
    }

    init(on below: UnionTree, destination: Destination, options: Options, time: Timestamp) {
        let mode: UInt16 = if case .octal(let bits)? = options.mode { bits & 0o7777 } else { 0o755 }
        plan = LayerPlan(
            on: below,
            implied: .init(
                permissions: mode, uid: options.owner?.uid ?? 0, gid: options.owner?.gid ?? 0, modified: time),
            followsSymlinks: options.followsSymlinks)
        self.destination = destination
        self.options = options
    }

    // MARK: Sources

    /// Plans all that a written source stands for.
    ///
    /// - Throws: `BuildError` without a place if a literal source is missing, or the destination cannot take it.
    mutating func copy(_ written: Word, from source: Source) throws {
        let isWildcard = try Source.isWildcard(written.text)
        for match in try source.matches(of: written.text) {
            sourceNumber += 1
            let node = match.node
            if isWildcard, options.hides(match.name.name, isDirectory: node.status.kind == .directory) { continue }
            if node.status.kind == .directory {
                try copyContents(of: match.path, from: source)
            } else if let spool, node.status.kind == .file, try TarReader.looksLikeArchive(source.tree.open(node)) {
                try unpack(source.tree.open(node), name: match.name.relativeText, into: spool)
            } else {
                try place(node, from: source, at: fileDestination(named: match.name.name))
            }
        }
    }

    /// Plans a file that is written out in the Dockerfile.
    mutating func copy(heredoc: Heredoc, time: Timestamp) throws {
        let target = try fileDestination(named: Array(heredoc.name.utf8)[...], isHeredoc: true)
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
    ///
    /// Symlinks in the destination as it is written are followed; one that has the file's name in a folder gives way to it.
    /// - Throws: `BuildError` if a second file would become the destination. BuildKit's documentation demands a slash there;
    ///   its code lets the last file win, which is done for heredocs alone: there it says nothing else.
    private mutating func fileDestination(
        named name: ArraySlice<UInt8>, isHeredoc: Bool = false
    ) throws -> ImagePath {
        let base = try plan.resolve(destination.path)
        switch try plan.occupant(of: base) {
        case .directory: break
        case .other where destination.isDirectory:
            throw BuildError("the destination '\(base.absolute)' is a file, not a directory")
        case _ where destination.isDirectory: break
        default:
            guard !isDestinationTaken else {
                throw BuildError(
                    "several files cannot all become '\(base.absolute)'",
                    hint: "end the destination with a slash: then it is a directory, and they go into it")
            }
            isDestinationTaken = !isHeredoc
            return base
        }
        try plan.ensureDirectory(base)
        return base.appending(name)
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
        /// A folder that is left out itself is made only when something in it is not.
        var pending: UnionTree.Node?
    }

    /// Patterns that leave something out, and the folder that they count from.
    private struct Filter {
        let patterns: IgnorePatterns
        let folder: ImagePath

        init?(_ patterns: IgnorePatterns, below folder: ImagePath) {
            guard !patterns.isEmpty else { return nil }
            self.patterns = patterns
            self.folder = folder
        }

        func hides(_ path: ImagePath) -> Bool {
            patterns.isIgnored(path.relative(to: folder))
        }

        /// Whether something below a folder that is left out may not be.
        func mayShow(below path: ImagePath) -> Bool {
            patterns.mayContainIncluded(path.relative(to: folder))
        }
    }

    private func filters(
        below folder: ImagePath, of source: Source, only selected: IgnorePatterns = .none
    ) -> [Filter] {
        [
            Filter(source.ignored, below: .root), Filter(options.excluded, below: folder),
            Filter(selected, below: folder),
        ].compactMap { $0 }
    }

    /// Merges what is in a source folder into the destination.
    ///
    /// - Parameter selected: leaves out what is not to be copied besides what is ignored and excluded.
    mutating func copyContents(
        of folder: ImagePath, from source: Source, only selected: IgnorePatterns = .none
    ) throws {
        let frame = Frame(
            source: folder, target: try directoryDestination(), children: try source.children(of: folder), pending: nil)
        try copy([frame], from: source, filters(below: folder, of: source, only: selected))
    }

    /// Copies the last of `nodes`, with all below it; the others are the folders that lead to it from `folder`.
    mutating func copy(_ nodes: [UnionTree.Node], below folder: ImagePath, from source: Source) throws {
        let base = try directoryDestination()
        var stack = [Frame(source: folder, target: base, children: [], pending: nil)]
        for node in nodes.dropLast() {
            let path = ImagePath(trusting: node.path)
            stack.append(
                Frame(source: path, target: base.appending(path.relative(to: folder)), children: [], pending: node))
        }
        stack[stack.count - 1].children = nodes.suffix(1)
        try copy(stack, from: source, filters(below: folder, of: source))
    }

    /// Copies the children of the frames, the last frame's first. An explicit stack: depth is the source's choice.
    private mutating func copy(_ frames: [Frame], from source: Source, _ filters: [Filter]) throws {
        var stack = frames
        while let top = stack.indices.last {
            guard let child = stack[top].children.popLast() else {
                stack.removeLast()
                continue
            }
            try visit(child, from: source, filters, stack: &stack)
        }
    }

    private mutating func visit(
        _ node: UnionTree.Node, from source: Source, _ filters: [Filter], stack: inout [Frame]
    ) throws {
        let path = ImagePath(trusting: node.path)
        let target = stack[stack.count - 1].target.appending(path.name)
        var isHidden = false
        for filter in filters where filter.hides(path) {
            guard node.status.kind == .directory, filter.mayShow(below: path) else { return }
            isHidden = true
        }
        if !isHidden {
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
            stack.append(Frame(source: path, target: target, children: children, pending: isHidden ? node : nil))
        }
    }

    /// Plans one entry at a resolved path, as its source is and the options say.
    private mutating func place(_ node: UnionTree.Node, from source: Source, at target: ImagePath) throws {
        switch (node.status.kind, try plan.occupant(of: target)) {
        case (.directory, .symlink) where !options.followsSymlinks: break
        case (.directory, .symlink):
            throw BuildError(
                "the directory '\(printable(node.path))' cannot replace the symlink '\(target.absolute)'",
                hint: "copy what is in it to where the symlink leads, or remove the symlink first")
        case (.directory, .other):
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
            content: node.status.kind == .file ? try .init(of: node, in: source.tree) : .none,
            link: node.status.linkCount > 1 && node.status.kind == .file
                ? LayerPlan.LinkKey(source: sourceNumber, device: node.status.device, inode: node.status.inode) : nil)
    }

    private func printable(_ path: [UInt8]) -> String {
        ImagePath(trusting: path).absolute
    }
}
