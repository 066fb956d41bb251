package import OCI
import Synchronization
import SystemIO
import SystemPackage

/// The tree that unpacking a layer would give, known from its listing.
///
/// The rules are those of `LayerUnpacker`: an entry replaces what has its name, but a folder on a folder is merged; a symlink
/// on the way to an entry leads on, be it the layer's own or one of a layer below; a hard link may name a file below.
package final class LayerIndex: Sendable {
    /// The root is node 0.
    static let root = 0

    struct Node: Sendable {
        /// Its place in the listing; `nil` for folders that are only implied: 0755, owned by root, time 0.
        var entry: Int?
        var isOpaque = false
        /// Names to nodes. Hard links are names of one node.
        var children: [[UInt8]: Int] = [:]
    }

    /// A file of a layer below that this layer has a name for.
    private struct Borrowed: Sendable {
        let entry: LayerEntry
        let status: FileStatus
        let content: ContentPlace?
    }

    package let listing: LayerListing
    let nodes: [Node]
    private let borrowed: [Int: Borrowed]
    /// Stands for the device of its files, so that no two layers have the same file.
    private let device: UInt64

    /// The name of entries that are no layer's.
    private static let unnamed = Digest(sha256: SHA256.hash([]))
    private static let lastDevice = Atomic<UInt64>(UInt64.max)
    static let empty = LayerIndex()

    /// A layer without any entry.
    private init() {
        listing = LayerListing(diffID: LayerIndex.unnamed, entries: [])
        nodes = [Node()]
        borrowed = [:]
        device = .max
    }

    /// - Parameter lower: what the layer lies on; with `nil` it must be understandable alone.
    /// - Throws: `LayerError.invalid` for what cannot be unpacked either: an entry below a file, a hard link to nothing.
    package init(_ listing: LayerListing, on lower: UnionTree? = nil) throws(LayerError) {
        var construction = Construction(listing: listing, lower: lower)
        for place in listing.entries.indices { try construction.place(place) }
        self.listing = listing
        nodes = construction.nodes
        borrowed = construction.borrowed
        device = LayerIndex.lastDevice.wrappingSubtract(1, ordering: .relaxed).newValue
    }

    /// An index of entries that belong to no layer with a name.
    package convenience init(_ entries: [LayerEntry]) throws(LayerError) {
        try self.init(LayerListing(diffID: LayerIndex.unnamed, entries: entries))
    }

    // MARK: Looking

    func child(_ name: [UInt8], of node: Int) -> Int? {
        nodes[node].children[name]
    }

    func isDescribed(_ node: Int) -> Bool {
        nodes[node].entry != nil
    }

    func isWhiteout(_ node: Int) -> Bool {
        nodes[node].entry.map { listing.entries[$0].kind == .whiteout } ?? false
    }

    /// What the layer says of a node. The path is the one under which the file was first named.
    func entry(of node: Int) -> LayerEntry {
        if let other = borrowed[node] { return other.entry }
        guard let place = nodes[node].entry else { return LayerEntry(path: [], kind: .directory, permissions: 0o755) }
        return listing.entries[place]
    }

    /// Where the bytes of a file are.
    func content(of node: Int) -> ContentPlace? {
        if let other = borrowed[node] { return other.content }
        return nodes[node].entry.map { ContentPlace(diffID: listing.diffID, entry: $0) }
    }

    /// The bytes of a file, where the listing keeps them.
    func keptContent(of node: Int) -> [UInt8]? {
        borrowed[node] == nil ? nodes[node].entry.flatMap { listing.contents[$0] } : nil
    }

    /// The node as `stat` would tell it: the inode is the node's number. A regular file counts as one that may have
    /// other names: who knows only one layer cannot say that nobody above links to it.
    func status(of node: Int) -> FileStatus {
        if let other = borrowed[node] { return other.status }
        let entry = entry(of: node)
        var kind = FileStatus.Kind.file
        var size: Int64 = 0
        var number = DeviceNumber(major: 0, minor: 0)
        switch entry.kind {
        case .file(let bytes): size = bytes
        case .directory: kind = .directory
        case .symlink(let target): (kind, size) = (.symlink, Int64(target.count))
        case .characterDevice(let device): (kind, number) = (.characterDevice, device)
        case .blockDevice(let device): (kind, number) = (.blockDevice, device)
        case .fifo: kind = .fifo
        // A whiteout is asked for as such; a hard link is a name of what it points to.
        case .whiteout, .opaqueMarker, .hardLink: break
        }
        // Linux gives every symlink the mode 0777, whatever the tar says.
        let permissions = kind == .symlink ? 0o777 : entry.permissions
        return FileStatus(
            described: kind, permissions: permissions, uid: entry.uid, gid: entry.gid, size: size,
            modified: entry.modified, inode: UInt64(node), device: device, linkCount: kind == .file ? 2 : 1,
            node: number)
    }
}

/// Where the bytes of a file are: in a layer's tar, in the entry that is the n-th of its listing.
package struct ContentPlace: Sendable, Hashable {
    package let diffID: Digest
    package let entry: Int

    package init(diffID: Digest, entry: Int) {
        self.diffID = diffID
        self.entry = entry
    }
}

extension LayerIndex {
    /// Lays the entries of a listing one by one.
    private struct Construction {
        let listing: LayerListing
        let lower: UnionTree?
        var nodes = [Node()]
        var borrowed: [Int: Borrowed] = [:]
        /// The folder that the last file went to, by the path as it was written: the next one goes there, too, most of the time.
        private var last: (path: ArraySlice<UInt8>, folder: Folder)?
        /// Where symlinks of lower layers are that led on.
        private var followed: Set<[UInt8]> = []

        /// A folder that a walk came to.
        private struct Folder {
            /// `nil` for one that only lower layers have.
            var node: Int?
            /// Without symlinks in it.
            var path: [UInt8]
            /// Nothing of what lower layers have in it is to be seen.
            var hidesLower: Bool
        }

        init(listing: LayerListing, lower: UnionTree?) {
            self.listing = listing
            self.lower = lower
            nodes.reserveCapacity(listing.entries.count + 1)
        }

        mutating func place(_ place: Int) throws(LayerError) {
            let entry = listing.entries[place]
            if entry.path.isEmpty, entry.kind != .opaqueMarker {
                nodes[root].entry = place
                return
            }
            if entry.kind == .opaqueMarker {
                guard let folder = try walk(entry.path[...], making: true, for: entry)?.node else { return }
                nodes[folder].isOpaque = true
                last = nil
                return
            }
            guard let folder = try parent(of: entry.path, making: true, for: entry), let parent = folder.node else {
                return
            }
            let name = entry.path.lastComponent
            let old = nodes[parent].children[name]
            switch entry.kind {
            case .whiteout:
                // What the layer itself has stays; its folder takes the place of the lower one.
                if let old {
                    if kind(of: old) == .directory { nodes[old].isOpaque = true }
                } else {
                    nodes[parent].children[name] = add(Node(entry: place))
                }
                last = nil
            case .directory:
                if let old, kind(of: old) == .directory {
                    nodes[old].entry = place
                } else {
                    // What was here hid what lower layers have: so does what takes its place.
                    nodes[parent].children[name] = add(Node(entry: place, isOpaque: old != nil))
                    last = nil
                }
            case .hardLink(let target):
                let source = try source(of: target, for: entry, replacing: folder.path.joined(name))
                if old != source { replace(name, in: folder, with: source) }
            default: replace(name, in: folder, with: add(Node(entry: place)))
            }
        }

        private mutating func add(_ node: Node) -> Int {
            nodes.append(node)
            return nodes.count - 1
        }

        private mutating func replace(_ name: [UInt8], in folder: Folder, with node: Int) {
            guard let parent = folder.node else { return }
            if let old = nodes[parent].children.updateValue(node, forKey: name), kind(of: old) != .whiteout {
                last = nil
            }
            if !followed.isEmpty, followed.remove(folder.path.joined(name)) != nil { last = nil }
        }

        private func kind(of node: Int) -> LayerEntry.Kind {
            if let other = borrowed[node] { return other.entry.kind }
            return nodes[node].entry.map { listing.entries[$0].kind } ?? .directory
        }

        /// The file that a hard link names: in this layer, or below, but not in a folder that the link takes the place of.
        private mutating func source(
            of target: [UInt8], for entry: LayerEntry, replacing replaced: [UInt8]
        ) throws(LayerError) -> Int {
            let missing = LayerIndex.fault(
                entry, "a hard link to '\(FilePath.printable(target))', which is no file of this layer or one below")
            guard let folder = try parent(of: target, making: false, for: entry) else { throw missing }
            let name = target.lastComponent
            guard !folder.path.joined(name).isBelow(replaced) else { throw missing }
            if let node = folder.node.flatMap({ nodes[$0].children[name] }) {
                guard kind(of: node) != .directory, kind(of: node) != .whiteout else { throw missing }
                return node
            }
            guard let lower, !folder.hidesLower, let node = try lower.node(at: folder.path.joined(name)),
                node.status.kind != .directory
            else { throw missing }
            let other = Borrowed(
                entry: try lower.entry(of: node), status: node.status, content: try lower.contentPlace(of: node))
            let number = add(Node())
            borrowed[number] = other
            return number
        }

        private mutating func parent(
            of path: [UInt8], making: Bool, for entry: LayerEntry
        ) throws(LayerError) -> Folder? {
            let end = path.lastIndex(of: UInt8(ascii: "/")) ?? 0
            if let last, last.path == path[..<end] { return last.folder }
            guard let folder = try walk(path[..<end], making: making, for: entry) else { return nil }
            if making { last = (path[..<end], folder) }
            return folder
        }

        /// The folder of a path, symlinks followed inside the root, missing ones made if so wished.
        ///
        /// - Returns: `nil` where none is and none is to be made; one that the layer has not is made, too.
        private mutating func walk(
            _ path: ArraySlice<UInt8>, making: Bool, for entry: LayerEntry
        ) throws(LayerError) -> Folder? {
            let top = Folder(node: root, path: [], hidesLower: nodes[root].isOpaque || lower == nil)
            var stack = [top]
            var pending: [[UInt8]] = Array(path).components.reversed()
            var links = 0
            func follow(_ target: [UInt8]) throws(LayerError) {
                links += 1
                guard links <= FolderCache.linkLimit else {
                    throw LayerIndex.fault(entry, "its name leads through too many symlinks")
                }
                if target.first == UInt8(ascii: "/") { stack = [top] }
                pending += target.components.reversed()
            }
            while let name = pending.popLast(), let folder = stack.last {
                if name.elementsEqual("..".utf8) {
                    if stack.count > 1 { stack.removeLast() }
                    continue
                }
                let path = folder.path.joined(name)
                let child = folder.node.flatMap { nodes[$0].children[name] }
                switch child.map({ (node: $0, kind: kind(of: $0)) }) {
                case (let node, .directory)?:
                    stack.append(
                        Folder(node: node, path: path, hidesLower: folder.hidesLower || nodes[node].isOpaque))
                case (_, .symlink(let target))?: try follow(target)
                case nil, (_, .whiteout)?:
                    let hidesLower = folder.hidesLower || child != nil
                    let below = hidesLower ? nil : try lower?.node(at: path)
                    switch below?.status.kind {
                    case .symlink?:
                        guard let lower, let below else { return nil }
                        followed.insert(path)
                        try follow(try lower.readLink(below))
                    case .directory? where !making:
                        stack.append(Folder(node: nil, path: path, hidesLower: false))
                    case nil where !making: return nil
                    case nil, .directory?:
                        guard let parent = folder.node else { return nil }
                        let made = add(Node(isOpaque: child != nil))
                        nodes[parent].children[name] = made
                        stack.append(Folder(node: made, path: path, hidesLower: hidesLower))
                    default: throw LayerIndex.belowFile(entry)
                    }
                default: throw LayerIndex.belowFile(entry)
                }
            }
            return stack.last
        }
    }

    private static func belowFile(_ entry: LayerEntry) -> LayerError {
        fault(entry, "it lies below a file that is not a folder")
    }

    private static func fault(_ entry: LayerEntry, _ reason: String) -> LayerError {
        .invalid(layer: "a layer", entry: FilePath.printable(entry.path), reason: reason)
    }
}
