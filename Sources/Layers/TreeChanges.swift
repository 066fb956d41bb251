import Glibc
package import SystemIO
import SystemPackage

/// What a RUN changed in a tree, in canonical order, and what it left there that no layer holds.
package struct TreeChanges: Sendable, Hashable {
    /// The entries of the layer. Empty when the RUN changed nothing.
    package fileprivate(set) var entries: [LayerChange] = []
    /// Sockets: no archive holds them, and none outlives its process.
    fileprivate var sockets: [[UInt8]] = []
    /// Those of them in whose place a tree of overlayfs needs a whiteout.
    fileprivate var hidingSockets: Set<[UInt8]> = []
    /// Folders that are as before but for their time of modification, and that time as it was.
    fileprivate var touchedFolders: [[UInt8]: Timestamp] = [:]

    /// Changes of which only the time of change, or the inode, tells.
    fileprivate(set) var doubts: [Doubt] = []
    /// Folders that are entries only for what is in them, and their time of modification before.
    fileprivate var carriers: [[UInt8]: Timestamp] = [:]
    /// How many entries are names of an inode that has several.
    fileprivate var names: [UInt64: Int] = [:]

    /// A file that looks as before, and may have been written all the same.
    struct Doubt: Sendable, Hashable {
        /// Where its entry stands.
        let entry: Int
        /// The inode that had the name before.
        let inodeBefore: UInt64
    }

    package var isEmpty: Bool { entries.isEmpty }

    /// Whether there are files that look as before: `FileOrigins` can tell whether they are.
    package var hasDoubts: Bool { !doubts.isEmpty }

    /// What `settle` may set times of; sorted, so that names of one folder stand together.
    var settledPaths: [[UInt8]] {
        let told = entries.filter { $0.entry.kind != .whiteout }.map(\.entry.path)
        return (told + Array(touchedFolders.keys)).sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Makes the tree what the layer unpacks to: without sockets, and with the times that the layer has. So a later step sees
    /// the same, whether the tree was left by the RUN or unpacked from its layer.
    ///
    /// - Parameters:
    ///   - root: the folder that the changes were read from.
    ///   - latest: the time that later ones are set back to in the layer.
    package func settle(in root: Directory, latest: Timestamp?) throws(LayerError) {
        var folders = touchedFolders
        for path in sockets {
            try TreeChanges.at(path, in: root) { parent, name throws(SystemError) in
                try parent.remove(name)
                guard hidingSockets.contains(path) else { return }
                let made = name.withCString { mknodat(parent.descriptor.raw, $0, S_IFCHR, 0) }
                guard made == 0 else { throw .last("mknodat", name) }
            }
        }
        if !sockets.isEmpty {
            let parents = Set(sockets.map(\.parent))
            for change in entries where change.entry.kind == .directory && parents.contains(change.entry.path) {
                folders[change.entry.path] = min(change.entry.modified, latest ?? change.entry.modified)
            }
        }
        if let latest {
            for change in entries where change.entry.modified > latest {
                switch change.entry.kind {
                case .whiteout, .opaqueMarker, .hardLink: continue
                case .directory: folders[change.entry.path] = latest
                default: try TreeChanges.setTime(latest, of: change.entry.path, in: root)
                }
            }
        }
        for (path, time) in folders {
            try TreeChanges.setTime(time, of: path, in: root)
        }
    }

    /// Takes out entries that turned out to be no changes, and folders that were there only for them.
    ///
    /// An inode with several names stays whole: as long as one of them is a change, all are told, to be linked.
    mutating func takeOut(_ same: Set<Int>) {
        var counts: [UInt64: Int] = [:]
        for index in same { counts[entries[index].inode, default: 0] += 1 }
        var kept: [LayerChange] = []
        var needed: Set<[UInt8]> = []
        for (index, change) in entries.enumerated().reversed() {
            let (entry, inode) = (change.entry, change.inode)
            if same.contains(index), counts[inode] == names[inode] ?? 1 { continue }
            if entry.kind == .directory, let before = carriers[entry.path], !needed.contains(entry.path) {
                if entry.modified != before { touchedFolders[entry.path] = before }
                continue
            }
            needed.insert(entry.path.parent)
            kept.append(change)
        }
        entries = kept.reversed()
        doubts = []
    }

    private static func setTime(
        _ time: Timestamp, of path: [UInt8], in root: Directory
    ) throws(LayerError) {
        try at(path, in: root) { parent, name throws(SystemError) in
            let times = time.asModificationTime
            let result = name.withCString { utimensat(parent.descriptor.raw, $0, times, AT_SYMLINK_NOFOLLOW) }
            guard result == 0 else { throw .last("utimensat", FilePath(bytes: path)) }
        }
    }

    private static func at(
        _ path: [UInt8], in root: Directory, _ body: (Directory, FilePath) throws(SystemError) -> Void
    ) throws(LayerError) {
        do throws(SystemError) {
            // Folders were opened without following links when the changes were read; the same holds here.
            let parent = Directory(
                taking: try root.open(bytes: path.parent, O_PATH | O_DIRECTORY, .noSymlinks), path: FilePath())
            try body(parent, path.isEmpty ? "." : FilePath(bytes: path.lastComponent))
        } catch {
            throw .system(error)
        }
    }
}

/// Gathers the changes of a tree while it is walked in canonical order.
///
/// The folders on the way to a change become entries too, with their attributes of now: programs that unpack layer by
/// layer would invent them. The root is an exception: it becomes an entry only when it is described itself.
struct ChangeCollector {
    private(set) var changes = TreeChanges()
    private let root: Directory
    private var ancestors: [Ancestor] = []
    /// The first name of each file with several names, by inode.
    private var links: [UInt64: [UInt8]] = [:]
    private var isRootTold = false

    private struct Ancestor {
        let path: [UInt8]
        let status: FileStatus
        /// Its time of modification before; `nil` for a new folder.
        let modifiedBefore: Timestamp?
        var isTold: Bool
    }

    /// - Parameter root: the folder that is walked.
    init(_ root: Directory) {
        self.root = root
    }

    // MARK: The walk

    /// What follows is in this folder.
    ///
    /// - Throws: for a path that no tar can be relied on to hold.
    mutating func enter(_ path: [UInt8], _ status: FileStatus, modifiedBefore: Timestamp?) throws(LayerError) {
        try ChangeCollector.check(path)
        ancestors.append(
            Ancestor(path: path, status: status, modifiedBefore: modifiedBefore, isTold: path.isEmpty))
    }

    mutating func leave() {
        let folder = ancestors.removeLast()
        // The root is an entry only when it is described: its time is then right, and else as before.
        let isTold = folder.path.isEmpty ? isRootTold : folder.isTold
        guard !isTold, let before = folder.modifiedBefore, before != folder.status.modified else { return }
        changes.touchedFolders[folder.path] = before
    }

    /// PATH_MAX less its NUL: no call of the kernel takes a longer name, and so no program can unpack it.
    private static func check(_ path: [UInt8]) throws(LayerError) {
        guard path.count < Int(PATH_MAX) else {
            throw .invalid(
                layer: "the new layer", entry: FilePath.printable(path[..<256]) + "...",
                reason: "its name is longer than 4095 bytes, and no layer can hold it")
        }
    }

    // MARK: Changes

    /// The folder itself changed, or is new.
    mutating func describeFolder() throws(LayerError) {
        try tellAncestors()
        guard let folder = ancestors.last, folder.path.isEmpty else { return }
        isRootTold = true
        try tell(folder)
    }

    mutating func addWhiteout(_ path: [UInt8]) throws(LayerError) {
        try ChangeCollector.check(path)
        try tellAncestors()
        changes.entries.append(LayerChange(entry: LayerEntry(path: path, kind: .whiteout), inode: 0))
    }

    /// A socket is there: for a layer it is as if nothing were.
    ///
    /// - Parameter hides: what is below it in a stack of overlayfs.
    mutating func addSocket(_ path: [UInt8], hides: Bool = false) throws(LayerError) {
        try ChangeCollector.check(path)
        changes.sockets.append(path)
        if hides { changes.hidingSockets.insert(path) }
    }

    /// Anything but a folder or a socket is new or changed.
    ///
    /// - Parameter inodeBefore: of the file that had the name and looked the same.
    mutating func add(
        _ path: [UInt8], _ name: [UInt8], in directory: Directory, _ status: FileStatus, inodeBefore: UInt64? = nil
    ) throws(LayerError) {
        try ChangeCollector.check(path)
        let kind: LayerEntry.Kind
        switch status.kind {
        case .directory, .socket: return
        case .file where status.linkCount > 1:
            if let first = links[status.inode] {
                kind = .hardLink(target: first)
            } else {
                links[status.inode] = path
                kind = .file(size: status.size)
            }
        case .file: kind = .file(size: status.size)
        case .symlink:
            kind = .symlink(
                target: try system { () throws(SystemError) in try directory.readLink(name: name) })
        case .characterDevice: kind = .characterDevice(status.node)
        case .blockDevice: kind = .blockDevice(status.node)
        case .fifo: kind = .fifo
        }
        try tellAncestors()
        let attributes = try system { () throws(SystemError) in try directory.imageAttributes(ofName: name) }
        if let inodeBefore {
            changes.doubts.append(TreeChanges.Doubt(entry: changes.entries.count, inodeBefore: inodeBefore))
        }
        if status.linkCount > 1 { changes.names[status.inode, default: 0] += 1 }
        changes.entries.append(
            LayerChange(entry: LayerEntry(path: path, kind: kind, status, attributes), inode: status.inode))
    }

    private mutating func tellAncestors() throws(LayerError) {
        guard ancestors.last?.isTold == false else { return }
        for index in ancestors.indices where !ancestors[index].isTold {
            ancestors[index].isTold = true
            try tell(ancestors[index])
        }
    }

    private mutating func tell(_ folder: Ancestor) throws(LayerError) {
        let attributes = try system { () throws(SystemError) in
            let own = Directory(
                taking: try root.open(bytes: folder.path, O_RDONLY | O_DIRECTORY, .noSymlinks), path: FilePath())
            return try own.imageAttributes(ofName: [])
        }
        if let before = folder.modifiedBefore { changes.carriers[folder.path] = before }
        changes.entries.append(
            LayerChange(
                entry: LayerEntry(path: folder.path, kind: .directory, folder.status, attributes),
                inode: folder.status.inode))
    }
}
