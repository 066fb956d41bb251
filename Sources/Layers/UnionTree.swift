import Glibc
import Synchronization
package import SystemIO
import SystemPackage

/// One tree of a stack.
package enum TreeLayer: Sendable {
    /// A build context or a flat tree: what is there is there.
    case plain(Directory)
    /// A tree of overlayfs: 0:0 character devices and opaque folders delete what is below.
    case overlay(Directory)
    /// A layer that is not unpacked: it can be listed, but not opened.
    case entries(LayerIndex)
}

/// A read-only view of a stack of trees as one, without a mount.
///
/// Paths are bytes without leading slash, components joined by single slashes, the root empty, as in `LayerEntry`; only
/// `resolve` takes any path. The trees must not change while a view is used: make a new view after a change, it costs nothing.
///
/// At most `Folders.limit` descriptors are kept open beside those of the trees' roots and of one folder.
package final class UnionTree: Sendable {
    /// What a resolved path names.
    package struct Node: Sendable {
        /// Without symlinks in it.
        package let path: [UInt8]
        package let status: FileStatus
        /// Which tree it comes from, 0 the topmost; of a merged folder the topmost that has it.
        package let layer: Int

        /// The last component, empty for the root.
        package var name: [UInt8] {
            path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[($0 + 1)...]) } ?? path
        }
    }

    /// Where a path leads.
    package enum Resolved: Sendable {
        case found(Node)
        /// Nothing is there: `parent` is the longest part that is, a folder, and `rest` the names below it that are missing,
        /// at least one. Symlinks are resolved in both: a dangling link leads to the missing name it points to.
        case missing(parent: Node, rest: [[UInt8]])
        /// The path goes on below what is no folder.
        case notDirectory(Node, rest: [[UInt8]])

        /// The path without symlinks, whether something is there or not.
        package var path: [UInt8] {
            switch self {
            case .found(let node): node.path
            case .missing(let node, let rest), .notDirectory(let node, let rest):
                rest.reduce(node.path) { $0.isEmpty ? $1 : $0 + [UInt8(ascii: "/")] + $1 }
            }
        }
    }

    /// What a walk does after a node.
    package enum WalkStep: Sendable {
        case goOn
        /// Nothing below this folder is visited.
        case skipBelow
    }

    /// The topmost first.
    package let layers: [TreeLayer]
    private let folders: Mutex<Folders>

    /// - Parameter layers: the topmost first.
    package init(layers: [TreeLayer]) {
        self.layers = layers
        folders = Mutex(Folders(root: UnionFolder(rootOf: layers)))
    }

    // MARK: Names

    /// Follows a path from the root: symlinks, `..` and leading slashes stop at the root as if it were `/`.
    ///
    /// - Parameter followLast: whether a symlink as the last component is followed too; one with `/` or `/.` after it always is.
    /// - Throws: ELOOP after 40 symlinks.
    package func resolve(_ path: [UInt8], followLast: Bool) throws(LayerError) -> Resolved {
        var pending: [[UInt8]] = path.components.reversed()
        let followLast = followLast || path.last == UInt8(ascii: "/") || path.suffix(2).elementsEqual("/.".utf8)
        var folder = try folder([])
        var missing: [[UInt8]] = []
        var links = 0
        while let name = pending.popLast() {
            if name.elementsEqual("..".utf8) {
                if missing.popLast() == nil { folder = try self.folder(folder.path.parent) }
                continue
            }
            guard missing.isEmpty, let found = try lookUp(name, in: folder) else {
                missing.append(name)
                continue
            }
            switch found.node.status.kind {
            case .directory: folder = try self.folder(found.node.path)
            case .symlink where followLast || !pending.isEmpty:
                links += 1
                guard links <= FolderCache.linkLimit else {
                    throw .system(
                        SystemError(call: "open", path: FilePath(bytes: path), errno: .tooManySymbolicLinkLevels))
                }
                let target = try readLink(found.node)
                if target.first == UInt8(ascii: "/") { folder = try self.folder([]) }
                pending.append(contentsOf: target.components.reversed())
            default:
                guard !pending.isEmpty else { return .found(found.node) }
                return .notDirectory(found.node, rest: pending.reversed())
            }
        }
        return missing.isEmpty ? .found(folder.node) : .missing(parent: folder.node, rest: missing)
    }

    /// What is at a resolved path; no symlink is followed.
    package func node(at path: [UInt8]) throws(LayerError) -> Node? {
        if path.isEmpty { return try folder([]).node }
        guard let parent = try folderIfPresent(path.parent) else { return nil }
        return try lookUp(path.lastComponent, in: parent)?.node
    }

    /// What is in the folder at a resolved path, sorted bytewise by name; empty when it is no folder.
    package func children(of path: [UInt8]) throws(LayerError) -> [Node] {
        guard let folder = try folderIfPresent(path) else { return [] }
        return try children(of: folder)
    }

    /// The folder at a resolved path, as each of the trees says it that are merged in it, the topmost first; empty when it is no folder.
    package func mergedFolders(at path: [UInt8]) throws(LayerError) -> [Node] {
        guard let folder = try folderIfPresent(path) else { return [] }
        do throws(SystemError) { return try folder.merged() } catch { throw .system(error) }
    }

    /// Visits the node at a resolved path, then all below it: depth first, a folder before what is in it, names bytewise.
    /// While a node is visited its folder is open, so that `open`, `readLink` and `attributes` of it are single calls.
    package func walk(
        from path: [UInt8], _ visit: (Node) throws(LayerError) -> WalkStep
    ) throws(LayerError) {
        guard let top = try node(at: path) else { return }
        guard try visit(top) == .goOn, top.status.kind == .directory else { return }
        // A stack instead of recursion: depth is the input's choice.
        var stack: [(folder: UnionFolder, rest: ArraySlice<Node>)] = []
        let folder = try folder(path)
        stack.append((folder, try children(of: folder)[...]))
        while let level = stack.last {
            guard let node = level.rest.first else {
                stack.removeLast()
                if let parent = stack.last { folders.withLock { $0.keep(parent.folder) } }
                continue
            }
            stack[stack.count - 1].rest.removeFirst()
            guard try visit(node) == .goOn, node.status.kind == .directory else { continue }
            let folder = try self.folder(node.path)
            stack.append((folder, try children(of: folder)[...]))
        }
    }

    // MARK: Content

    /// Opens a regular file or folder for reading.
    ///
    /// - Throws: `LayerError.invalid` when its layer is not unpacked.
    package func open(_ node: Node) throws(LayerError) -> OwnedDescriptor {
        // O_NONBLOCK: opening a fifo would wait for a writer.
        try content(of: node) { directory, name throws(SystemError) in
            try directory.openName(name, O_RDONLY | O_NONBLOCK)
        }
    }

    /// Gives the file of a node, which is no folder, another name in a folder of the same file system: a hard link.
    func link(_ node: Node, to name: [UInt8], in folder: Directory) throws(LayerError) {
        try content(of: node) { directory, source throws(SystemError) in
            let result = source.withCName { source in
                // No AT_SYMLINK_FOLLOW: a link to a symlink is another name of the symlink itself.
                name.withCName { linkat(directory.descriptor.raw, source, folder.descriptor.raw, $0, 0) }
            }
            guard result == 0 else { throw .last("linkat", FilePath(bytes: node.path)) }
        }
    }

    /// The target of a symlink.
    package func readLink(_ node: Node) throws(LayerError) -> [UInt8] {
        if let (index, number) = try indexed(node), case .symlink(let target) = index.entry(of: number).kind {
            return target
        }
        return try content(of: node) { directory, name throws(SystemError) in try directory.readLink(name: name) }
    }

    /// The extended attributes, sorted by name, without overlayfs's own.
    package func attributes(_ node: Node) throws(LayerError) -> [ExtendedAttribute] {
        if let (index, number) = try indexed(node) { return index.entry(of: number).attributes }
        return try content(of: node) { directory, name throws(SystemError) in
            try directory.attributes(ofName: name).filter { !$0.name.isOverlayAttribute }
        }
    }

    /// Reads a small file as `/etc/passwd`: any path, symlinks followed inside the root.
    ///
    /// - Returns: `nil` when there is no such file.
    /// - Throws: EINVAL for anything but a regular file, EFBIG beyond `limit` bytes.
    package func readSmallFile(_ path: [UInt8], limit: Int) throws(LayerError) -> [UInt8]? {
        guard case .found(let node) = try resolve(path, followLast: true) else { return nil }
        let name = FilePath(bytes: path)
        guard node.status.kind == .file else {
            throw .system(SystemError(call: "read", path: name, errno: .invalidArgument))
        }
        guard node.status.size <= limit else {
            throw .system(SystemError(call: "read", path: name, errno: .fileTooLarge))
        }
        if let bytes = try keptContent(of: node) { return bytes }
        let file = try open(node)
        do throws(SystemError) { return try file.readAll(limit: limit) } catch { throw .system(error) }
    }

    /// The bytes of a file whose layer is not unpacked, where its listing keeps them.
    package func keptContent(of node: Node) throws(LayerError) -> [UInt8]? {
        try indexed(node).flatMap { index, number in index.keptContent(of: number) }
    }

    /// Where the bytes of a file are that no tree has: its layer is not unpacked. `nil` for a file that can be opened.
    package func contentPlace(of node: Node) throws(LayerError) -> ContentPlace? {
        try indexed(node).flatMap { index, number in index.content(of: number) }
    }

    /// A node as an entry of a layer.
    package func entry(of node: Node) throws(LayerError) -> LayerEntry {
        let status = node.status
        let kind: LayerEntry.Kind =
            switch status.kind {
            case .directory: .directory
            case .symlink: .symlink(target: try readLink(node))
            case .characterDevice: .characterDevice(status.node)
            case .blockDevice: .blockDevice(status.node)
            case .fifo: .fifo
            case .file, .socket: .file(size: status.size)
            }
        return LayerEntry(
            path: node.path, kind: kind, permissions: status.permissions, uid: status.uid, gid: status.gid,
            modified: status.modified, attributes: try attributes(node))
    }

    // MARK: Folders

    /// The open folder at a resolved path; ENOENT or ENOTDIR when there is none.
    private func folder(_ path: [UInt8]) throws(LayerError) -> UnionFolder {
        guard let folder = try folderIfPresent(path) else {
            throw .system(SystemError(call: "open", path: FilePath(bytes: path), errno: .noSuchFileOrDirectory))
        }
        return folder
    }

    private func folderIfPresent(_ path: [UInt8]) throws(LayerError) -> UnionFolder? {
        let start = folders.withLock { $0.longestOpenPart(of: path) }
        guard start.path.count < path.count else { return start }
        var folder = start
        for name in Array(path[folder.path.count...]).components {
            do throws(SystemError) {
                guard let found = try folder.lookUp(name), let next = try folder.openFolder(found) else { return nil }
                folder = next
            } catch {
                throw .system(error)
            }
            folders.withLock { $0.keep(folder) }
        }
        return folder
    }

    private func lookUp(_ name: [UInt8], in folder: UnionFolder) throws(LayerError) -> UnionFolder.Found? {
        do throws(SystemError) { return try folder.lookUp(name) } catch { throw .system(error) }
    }

    private func children(of folder: UnionFolder) throws(LayerError) -> [Node] {
        do throws(SystemError) { return try folder.children() } catch { throw .system(error) }
    }

    /// The node's number in the index of its layer, `nil` for a node of an unpacked tree.
    private func indexed(_ node: Node) throws(LayerError) -> (LayerIndex, Int)? {
        guard node.layer < layers.count, case .entries(let index) = layers[node.layer] else { return nil }
        if node.path.isEmpty { return (index, LayerIndex.root) }
        let parent = try folder(node.path.parent)
        guard case .index(_, let folder)? = parent.members.first(where: { $0.layer == node.layer })?.place,
            let number = index.child(node.path.lastComponent, of: folder)
        else { return nil }
        return (index, number)
    }

    private func content<T: ~Copyable>(
        of node: Node, _ body: (Directory, [UInt8]) throws(SystemError) -> T
    ) throws(LayerError) -> T {
        let parent = try folder(node.path.parent)
        let member = parent.members.first { $0.layer == node.layer }
        guard case .directory(let directory)? = member?.place else {
            throw .invalid(
                layer: "a layer that is not unpacked", entry: FilePath.printable(node.path),
                reason: "its content cannot be read")
        }
        do throws(SystemError) { return try body(directory, node.path.lastComponentOrSelf) } catch {
            throw .system(error)
        }
    }
}

/// The folders used last.
private struct Folders {
    /// Descriptors: a folder is open in every tree that has it. A few views fit the usual limit of 1024 for a process.
    static let limit = 128

    private let root: UnionFolder
    /// The last used last.
    private var recent: [UnionFolder] = []

    init(root: UnionFolder) {
        self.root = root
    }

    /// The folder itself if it is open, else the nearest one above it.
    mutating func longestOpenPart(of path: [UInt8]) -> UnionFolder {
        var best = root
        for folder in recent.reversed() where folder.path.count > best.path.count {
            guard path.starts(with: folder.path) else { continue }
            guard folder.path.count == path.count || path[folder.path.count] == UInt8(ascii: "/") else { continue }
            best = folder
            if folder.path.count == path.count { break }
        }
        return best
    }

    mutating func keep(_ folder: UnionFolder) {
        if recent.last === folder || folder === root { return }
        recent.removeAll { $0 === folder }
        recent.append(folder)
        // Longest names of open folders are looked for in all of them: few folders, however few trees.
        while recent.count > 24 || (recent.count > 1 && recent.reduce(0) { $0 + $1.members.count } > Folders.limit) {
            recent.removeFirst()
        }
    }
}

extension Array<UInt8> {
    /// The names between the slashes, without empty ones and `.`.
    var components: [[UInt8]] {
        split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }.map { Array($0) }
    }

    /// The path of the folder, empty for names in the root.
    var parent: [UInt8] {
        lastIndex(of: UInt8(ascii: "/")).map { Array(self[..<$0]) } ?? []
    }

    var lastComponent: [UInt8] {
        lastIndex(of: UInt8(ascii: "/")).map { Array(self[($0 + 1)...]) } ?? self
    }

    /// Whether the path leads through the folder `path`.
    func isBelow(_ path: [UInt8]) -> Bool {
        count > path.count && starts(with: path) && (path.isEmpty || self[path.count] == UInt8(ascii: "/"))
    }

    /// As the kernel takes it below its parent: the root is `.` of itself.
    fileprivate var lastComponentOrSelf: [UInt8] { isEmpty ? [UInt8(ascii: ".")] : lastComponent }
}
