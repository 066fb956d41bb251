import Layers
import SystemIO

/// The entries of the layer that one COPY, ADD or WORKDIR makes, before any byte of it is written.
///
/// Owners, modes and names are decided here and go straight into tar headers: nothing is laid out on disk. What lies
/// below is looked at through a view of the stage's tree; what is planned hides it.
struct LayerPlan {
    /// Where the bytes of a planned file come from.
    enum Content {
        case none
        case bytes([UInt8])
        /// A file of a context or of another stage.
        case file(UnionTree, UnionTree.Node)
        /// A file of a layer that is not unpacked.
        case packed(ContentPlace)
        /// A stretch of a scratch file that holds the files of an unpacked archive one after the other.
        case stretch(ArchiveSpool, offset: Int64)

        /// The bytes of a regular file, wherever it is.
        init(of file: UnionTree.Node, in tree: UnionTree) throws(LayerError) {
            if file.status.size == 0 {
                self = .none
            } else if let place = try tree.contentPlace(of: file) {
                self = .packed(place)
            } else {
                self = .file(tree, file)
            }
        }
    }

    struct Planned {
        var entry: LayerEntry
        var content: Content
        var link: LinkKey?
    }

    /// Says of planned files that they are names of one file: within one source, the same file.
    struct LinkKey: Hashable {
        let source: Int
        let device: UInt64
        let inode: UInt64
    }

    /// What stands at a path: in the plan, else below it.
    enum Occupant: Equatable {
        case nothing
        case directory
        case symlink(target: [UInt8])
        case other
    }

    private let below: UnionTree
    private(set) var planned = PlannedEntries()
    /// What is planned right in each folder.
    private var members: [ImagePath: Set<ImagePath>] = [:]
    /// Folders that exist only in the plan: nothing below them can exist either.
    private var fresh: Set<ImagePath> = []
    /// Folders of the plan that hide what lies below them: first a file took a folder's place, then a folder the file's.
    private var opaque: Set<ImagePath> = []
    /// How folders are made that nobody describes.
    var implied: ImpliedDirectories
    /// Whether symlinks of the image lead on, or give way to folders and files as with `--link`.
    private let followsSymlinks: Bool

    /// Owner and mode of folders that a destination needs and the image does not have.
    struct ImpliedDirectories {
        var permissions: UInt16 = 0o755
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        var modified: Timestamp
    }

    init(on below: UnionTree, implied: ImpliedDirectories, followsSymlinks: Bool = true) {
        self.below = below
        self.implied = implied
        self.followsSymlinks = followsSymlinks
    }

    var isEmpty: Bool { planned.isEmpty }

    // MARK: Looking

    func occupant(of path: ImagePath) throws -> Occupant {
        if path.isRoot { return .directory }
        if let planned = planned[path] {
            return switch planned.entry.kind {
            case .directory: .directory
            case .symlink(let target): .symlink(target: target)
            default: .other
            }
        }
        if fresh.contains(path.parent) { return .nothing }
        guard let node = try below.node(at: path.bytes) else { return .nothing }
        return switch node.status.kind {
        case .directory: .directory
        case .symlink: .symlink(target: try below.readLink(node))
        default: .other
        }
    }

    /// Symlinks that one path may lead through, as in Linux (MAXSYMLINKS).
    private static let symlinkLimit = 40

    /// Where a path leads when the symlinks in it are followed, each clamped to the image's root.
    ///
    /// Components that do not exist are kept as they are, so that they can be made.
    ///
    /// - Throws: `BuildError` for a path through a file, and for symlinks in a circle.
    func resolve(_ path: ImagePath, followLast: Bool = true) throws -> ImagePath {
        var pending = Array(path.components.map(Array.init).reversed())
        var resolved = ImagePath.root
        var followed = 0
        while let component = pending.popLast() {
            if component == [UInt8(ascii: ".")] { continue }
            if component == [UInt8(ascii: "."), UInt8(ascii: ".")] {
                resolved = resolved.parent
                continue
            }
            let next = resolved.appending(component)
            switch try occupant(of: next) {
            case .symlink(let target) where followsSymlinks && (followLast || !pending.isEmpty):
                followed += 1
                guard followed <= LayerPlan.symlinkLimit else {
                    throw BuildError("'\(path.absolute)' leads through more than \(LayerPlan.symlinkLimit) symlinks")
                }
                if target.first == UInt8(ascii: "/") { resolved = .root }
                pending += target.split(separator: UInt8(ascii: "/")).map(Array.init).reversed()
            case .other where !pending.isEmpty:
                throw BuildError("'\(next.absolute)' is not a directory, and '\(path.absolute)' leads through it")
            default:
                resolved = next
            }
        }
        return resolved
    }

    // MARK: Planning

    /// Plans an entry at a resolved path, with every folder that leads to it.
    mutating func place(_ entry: LayerEntry, content: Content = .none, link: LinkKey? = nil) throws {
        let path = ImagePath(trusting: entry.path)
        try addAncestors(of: path)
        if entry.kind == .directory {
            try occupyByDirectory(path)
        } else if fresh.remove(path) != nil {
            var below: [ImagePath] = []
            forEachPlanned(below: path) { below.append($0) }
            fresh.subtract(below)
            opaque.remove(path)
        }
        plan(Planned(entry: entry, content: content, link: link), at: path)
    }

    private mutating func plan(_ item: Planned, at path: ImagePath) {
        guard planned.set(item, at: path), !path.isRoot else { return }
        members[path.parent, default: []].insert(path)
    }

    /// What is planned below a path: costs what it gives, not what is planned elsewhere.
    private func forEachPlanned(below path: ImagePath, _ body: (ImagePath) -> Void) {
        var pending = [path]
        while let folder = pending.popLast() {
            for member in members[folder] ?? [] {
                body(member)
                pending.append(member)
            }
        }
    }

    /// Notes whether a folder that is planned now shows what lies below it.
    private mutating func occupyByDirectory(_ path: ImagePath) throws {
        guard try occupant(of: path) != .directory else { return }
        fresh.insert(path)
        if planned[path] != nil, try below.node(at: path.bytes)?.status.kind == .directory { opaque.insert(path) }
    }

    /// Plans an entry as unpackers lay it down: whatever has its name gives way, but a folder to a folder.
    mutating func replace(_ entry: LayerEntry, content: Content, link: LinkKey?) throws {
        let path = ImagePath(trusting: entry.path)
        if entry.kind != .directory, try occupant(of: path) == .directory {
            var gone: [ImagePath] = []
            forEachPlanned(below: path) { gone.append($0) }
            for below in gone {
                planned.remove(below)
                fresh.remove(below)
                opaque.remove(below)
                members[below] = nil
            }
            members[path] = nil
        }
        try place(entry, content: content, link: link)
    }

    /// Plans the folder at a resolved path as it is, or makes it.
    mutating func ensureDirectory(_ path: ImagePath) throws {
        guard !path.isRoot else { return }
        try addAncestors(of: path)
        try addDirectory(path)
    }

    /// A layer names each folder on the way to its entries: unpackers that apply layers one by one would make up
    /// its owner and mode otherwise.
    private mutating func addAncestors(of path: ImagePath) throws {
        // The usual case, once for each file of a big folder.
        if planned[path.parent] != nil || path.parent.isRoot { return }
        for ancestor in path.ancestors { try addDirectory(ancestor) }
    }

    private mutating func addDirectory(_ path: ImagePath) throws {
        guard planned[path] == nil else { return }
        if !fresh.contains(path.parent), let node = try below.node(at: path.bytes), node.status.kind == .directory {
            let entry = LayerEntry(
                path: path.bytes, kind: .directory, permissions: node.status.permissions, uid: node.status.uid,
                gid: node.status.gid,
                modified: node.status.modified, attributes: try attributes(below: node))
            plan(Planned(entry: entry, content: .none), at: path)
            return
        }
        fresh.insert(path)
        let entry = LayerEntry(
            path: path.bytes, kind: .directory, permissions: implied.permissions, uid: implied.uid,
            gid: implied.gid, modified: implied.modified)
        plan(Planned(entry: entry, content: .none), at: path)
    }

    /// The attributes of a folder that is there. An SELinux label is the machine's, not the image's.
    private func attributes(below node: UnionTree.Node) throws(LayerError) -> [ExtendedAttribute] {
        try below.attributes(node).filter { $0.name != "security.selinux" }
    }

    // MARK: Writing

    /// The plan in the order in which layers hold it, further names of one file turned into hard links to its first.
    func ordered() -> [Planned] {
        var items: [Planned] = []
        forEachInOrder { items.append($0) }
        return items
    }

    private func forEachInOrder(_ body: (Planned) throws -> Void) rethrows {
        let markers = opaque.map {
            Planned(entry: LayerEntry(path: $0.bytes, kind: .opaqueMarker), content: .none)
        }
        var first: [LinkKey: [UInt8]] = [:]
        try planned.forEachInLayerOrder(with: markers) { item in
            guard let link = item.link else { return try body(item) }
            var item = item
            if let target = first[link] {
                item.entry.kind = .hardLink(target: target)
                item.content = .none
            } else {
                first[link] = item.entry.path
            }
            try body(item)
        }
    }

    /// Whether the plan changes anything: folders that exist already, named as they are, do not.
    func changesAnything() throws -> Bool {
        for item in planned.values {
            guard item.entry.kind == .directory else { return true }
            let path = ImagePath(trusting: item.entry.path)
            guard !fresh.contains(path), let node = try below.node(at: path.bytes), node.status.kind == .directory,
                node.status.permissions == item.entry.permissions, node.status.uid == item.entry.uid,
                node.status.gid == item.entry.gid, try attributes(below: node) == item.entry.attributes
            else { return true }
        }
        return false
    }

    /// What must be read from layers before the plan can be written.
    var contentPlaces: Set<ContentPlace> {
        planned.values.reduce(into: []) { places, item in
            if case .packed(let place) = item.content { places.insert(place) }
        }
    }

    struct Written {
        /// For a view of the layer that does not unpack it.
        var entries: [LayerEntry] = []
        /// Whether every file that was read is still the one that was planned.
        var isSteady = true
    }

    /// Writes all entries and their content.
    ///
    /// - Parameter contents: what was read of `contentPlaces`.
    func write(to writer: inout LayerWriter, _ contents: LayerContents.Found) throws -> Written {
        var written = Written()
        try forEachInOrder { item in
            switch item.content {
            case .none: try writer.add(item.entry)
            case .bytes(let bytes): try writer.add(item.entry, bytes: bytes)
            case .file(let tree, let node):
                let file = try tree.open(node)
                try writer.add(item.entry, content: file)
                // The kernel sets the time of change at each writing, and nobody can set it back.
                if try file.status().changed != node.status.changed { written.isSteady = false }
            case .packed(let place):
                try writer.add(item.entry, content: contents.spool.file, at: try contents.offset(of: place))
            case .stretch(let spool, let offset): try writer.add(item.entry, content: spool.file, at: offset)
            }
            written.entries.append(item.entry)
        }
        return written
    }
}
