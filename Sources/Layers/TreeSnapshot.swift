import Glibc
package import SystemIO
import SystemPackage

/// What a flat tree looked like at one moment, to find out later what a RUN changed in it; then it is of that later moment.
///
/// A file changed when its type, inode, size, time of modification or time of change is another: nobody can set the time of
/// change, so no file is read to find out, and of a folder whose time of change is the same no names are read. A folder changed when its owner, mode or extended attributes are others; its
/// times change with what is in it, and go along then.
///
/// The changes are those that `OverlayChanges` finds for the same RUN, with two exceptions. A file that was written, or given its own
/// mode again, and is just as before counts as changed at first, for its old content is gone; `FileOrigins` finds it in the layers. And
/// when a file with several names is changed by one of them, it has changed by all of them.
///
/// Memory: about 100 bytes and the name for each file.
package struct TreeSnapshot: Sendable {
    private struct Record {
        let name: NameTable.Place
        let kind: FileStatus.Kind
        let permissions: UInt16
        let uid: UInt32
        let gid: UInt32
        let inode: UInt64
        let size: Int64
        let modified: Timestamp
        let changed: Timestamp
        /// Of a folder: where it stands among `folders`.
        let folder: Int32

        init(_ status: FileStatus, name: NameTable.Place, folder: Int32) {
            self.name = name
            kind = status.kind
            permissions = status.permissions
            uid = status.uid
            gid = status.gid
            inode = status.inode
            size = status.size
            modified = status.modified
            changed = status.changed
            self.folder = folder
        }

        /// Of a folder it is then known that its names are the same.
        func isSame(as status: FileStatus) -> Bool {
            inode == status.inode && changed == status.changed && kind == status.kind && size == status.size
                && modified == status.modified
        }

        /// As far as a RUN can set it.
        func looksLike(_ status: FileStatus) -> Bool {
            kind == status.kind && size == status.size && modified == status.modified
                && permissions == status.permissions && uid == status.uid && gid == status.gid
        }

        func isSameFolder(as status: FileStatus) -> Bool {
            kind == .directory && permissions == status.permissions && uid == status.uid && gid == status.gid
        }
    }

    /// What is in a folder, sorted by name.
    private struct Folder {
        var records: [Record] = []
        var names = NameTable()
        /// Of the folder itself.
        var attributes: [ExtendedAttribute] = []

        func name(of record: Record) -> ArraySlice<UInt8> { names[record.name] }

        /// Where the name stands.
        func index(of name: [UInt8]) -> Int? {
            var range = 0..<records.count
            while !range.isEmpty {
                let middle = range.lowerBound + range.count / 2
                let found = self.name(of: records[middle])
                if found.elementsEqual(name) { return middle }
                range =
                    found.lexicographicallyPrecedes(name)
                    ? (middle + 1)..<range.upperBound : range.lowerBound..<middle
            }
            return nil
        }

        mutating func append(_ name: ArraySlice<UInt8>, _ status: FileStatus, folder: Int32) {
            records.append(Record(status, name: names.append(name), folder: folder))
        }
    }

    /// The root first.
    private var folders = [Folder()]
    /// Places in `folders` of folders that are no more.
    private var unused: [Int32] = []
    private var root: Record?
    /// The latest time of change in the tree.
    private var newest = Timestamp(seconds: 0)
    /// Paths that are no part of the image, with all below them.
    package let excluded: Set<[UInt8]>
    private let foldersOfExcluded: Set<[UInt8]>
    private let rootName: NameTable.Place

    private init(excluding excluded: Set<[UInt8]>) {
        self.excluded = excluded
        foldersOfExcluded = Set(excluded.map(\.parent))
        var names = NameTable()
        rootName = names.append([])
    }

    /// Looks at all of a tree. Other file systems mounted in it are left out, and so are their mount points.
    ///
    /// - Parameter excluding: paths that are no part of the image, with all below them.
    package static func capture(
        _ root: Directory, excluding: Set<[UInt8]>, cancellation: Cancellation
    ) throws(LayerError) -> TreeSnapshot {
        var snapshot = TreeSnapshot(excluding: excluding)
        var nobody: ChangeCollector?
        try snapshot.walk(root, &nobody, cancellation)
        return snapshot
    }

    /// What changed in the same tree since this moment, in canonical order; see `OverlayChanges`. The snapshot is then one of now.
    /// After a failure it is of no use.
    ///
    /// - Parameter root: the folder that was captured.
    package mutating func changes(in root: Directory, cancellation: Cancellation) throws(LayerError) -> TreeChanges {
        var collector: ChangeCollector? = ChangeCollector(root)
        try walk(root, &collector, cancellation)
        return collector?.changes ?? TreeChanges()
    }

    /// Waits until a file that is changed again gets another time of change.
    ///
    /// Kernels before 6.13 stamp files with a clock that stands still for up to 10 ms (HZ=100): a file changed just before it was looked
    /// at and again just after would carry the same time. So nothing may be changed before that clock went on.
    package func waitForTheClock() {
        let tick: Int64 = 10_000_000  // nanoseconds
        let now = Timestamp.now
        guard abs(now.seconds - newest.seconds) <= 1 else { return }
        let age = (now.seconds - newest.seconds) * 1_000_000_000 + Int64(now.nanoseconds) - Int64(newest.nanoseconds)
        guard abs(age) < tick else { return }
        usleep(UInt32((tick - age) / 1000) + 1)
    }

    // MARK: The walk

    /// A folder of the tree while it is looked at.
    private struct Level {
        let path: [UInt8]
        /// What is still to be told or entered, the next last.
        var rest: [Next]
    }

    private struct Next {
        let name: [UInt8]
        let status: FileStatus
        /// What had the name before.
        let old: Record?
        /// Of a folder: where it stands among `folders`.
        let folder: Int32
    }

    /// Looks at all of the tree, and tells `collector` what is not as it was.
    private mutating func walk(
        _ top: Directory, _ collector: inout ChangeCollector?, _ cancellation: Cancellation
    ) throws(LayerError) {
        let status = try system { () throws(SystemError) in try top.descriptor.status() }
        var listing = FolderListing()
        var descent = FolderDescent(from: top)
        // A stack instead of recursion: depth is the tree's choice.
        var stack = [
            try enter(
                top, [], Next(name: [], status: status, old: root, folder: 0), device: status.device, &listing,
                &collector)
        ]
        root = Record(status, name: rootName, folder: 0)
        while let last = stack.indices.last {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard let next = stack[last].rest.popLast() else {
                collector?.leave()
                stack.removeLast()
                do throws(SystemError) { try descent.leave() } catch { throw .system(error) }
                continue
            }
            let path = stack[last].path.joined(next.name)
            if next.status.kind == .directory {
                do throws(SystemError) { try descent.enter(named: next.name) } catch { throw .system(error) }
                stack.append(
                    try enter(descent.current, path, next, device: status.device, &listing, &collector))
            } else {
                let before = next.old.flatMap { $0.looksLike(next.status) ? $0.inode : nil }
                try collector?.add(path, next.name, in: descent.current, next.status, inodeBefore: before)
            }
        }
    }

    /// Begins a folder: its own change, and the deletions in it.
    private mutating func enter(
        _ directory: Directory, _ path: [UInt8], _ entered: Next, device: UInt64, _ listing: inout FolderListing,
        _ collector: inout ChangeCollector?
    ) throws(LayerError) -> Level {
        newest = max(newest, entered.status.changed)
        if let old = entered.old, old.isSame(as: entered.status),
            let rest = try look(again: Int(entered.folder), directory, device: device, tells: collector != nil)
        {
            try collector?.enter(path, entered.status, modifiedBefore: old.modified)
            return Level(path: path, rest: rest)
        }
        var now = Folder()
        do throws(SystemError) {
            try listing.read(directory)
            now.attributes = try directory.imageAttributes(ofName: [])
        } catch {
            throw .system(error)
        }
        let before = folders[Int(entered.folder)]
        let isSame = entered.old?.isSameFolder(as: entered.status) == true && before.attributes == now.attributes
        try collector?.enter(path, entered.status, modifiedBefore: isSame ? entered.old?.modified : nil)
        if !isSame { try collector?.describeFolder() }
        now.records.reserveCapacity(listing.entries.count)
        let holdsExcluded = foldersOfExcluded.contains(path)
        var rest: [Next] = []
        var position = 0
        for entry in listing.entries {
            let (name, status) = (listing.name(of: entry), entry.status)
            guard status.device == device, !holdsExcluded || !excluded.contains(path.joined(Array(name))) else {
                continue
            }
            if status.kind == .socket {
                try collector?.addSocket(path.joined(Array(name)))
                continue
            }
            while position < before.records.count,
                before.name(of: before.records[position]).lexicographicallyPrecedes(name)
            {
                try isGone(before, position, path, directory, &collector)
                position += 1
            }
            var old: Record?
            if position < before.records.count, before.name(of: before.records[position]).elementsEqual(name) {
                old = before.records[position]
                position += 1
            }
            if status.kind == .directory {
                // What was no folder had nothing in it.
                let folder = old?.kind == .directory ? old?.folder ?? 0 : makeFolder()
                now.append(name, status, folder: folder)
                rest.append(Next(name: Array(name), status: status, old: old, folder: folder))
            } else {
                if let old, old.kind == .directory { free(old.folder) }
                now.append(name, status, folder: 0)
                newest = max(newest, status.changed)
                if collector != nil, old?.isSame(as: status) != true {
                    rest.append(Next(name: Array(name), status: status, old: old, folder: 0))
                }
            }
        }
        for position in position..<before.records.count { try isGone(before, position, path, directory, &collector) }
        folders[Int(entered.folder)] = now
        rest.reverse()
        return Level(path: path, rest: rest)
    }

    /// Looks at the names that a folder had and still has, for it itself did not change.
    ///
    /// - Returns: `nil` if it is not so: something is mounted there.
    private mutating func look(
        again folder: Int, _ directory: Directory, device: UInt64, tells: Bool
    ) throws(LayerError) -> [Next]? {
        var rest: [Next] = []
        var others: [(index: Int, record: Record)] = []
        for index in folders[folder].records.indices.reversed() {
            let old = folders[folder].records[index]
            let status: FileStatus?
            do throws(SystemError) { status = try folders[folder].names.status(of: old.name, in: directory) } catch {
                throw .system(error)
            }
            guard let status, status.device == device, status.kind == old.kind else { return nil }
            newest = max(newest, status.changed)
            let isSame = old.isSame(as: status)
            if status.kind == .directory || !isSame && tells {
                let name = Array(folders[folder].name(of: old))
                rest.append(Next(name: name, status: status, old: old, folder: old.folder))
            }
            if !isSame { others.append((index, Record(status, name: old.name, folder: old.folder))) }
        }
        for (index, record) in others { folders[folder].records[index] = record }
        return rest
    }

    private mutating func isGone(
        _ folder: Folder, _ position: Int, _ path: [UInt8], _ directory: Directory, _ collector: inout ChangeCollector?
    ) throws(LayerError) {
        let record = folder.records[position]
        if record.kind == .directory { free(record.folder) }
        let name = Array(folder.name(of: record))
        // Still there, but covered by a mount since: not deleted. A socket is nothing to a layer.
        let status = try system { () throws(SystemError) in try directory.statusIfPresent(ofName: name) }
        guard status == nil || status?.kind == .socket else { return }
        try collector?.addWhiteout(path.joined(name))
    }

    private mutating func makeFolder() -> Int32 {
        if let place = unused.popLast() { return place }
        folders.append(Folder())
        return Int32(folders.count - 1)
    }

    /// Forgets a folder and all below it.
    private mutating func free(_ folder: Int32) {
        var pending = [folder]
        while let folder = pending.popLast() {
            pending.append(contentsOf: folders[Int(folder)].records.filter { $0.kind == .directory }.map(\.folder))
            folders[Int(folder)] = Folder()
            unused.append(folder)
        }
    }

    // MARK: Changes of our own

    /// Looks again at what `changes.settle(in:latest:)` may have set the times of.
    package mutating func acceptSettled(_ changes: TreeChanges, in root: Directory) throws(LayerError) {
        var parent: (path: [UInt8], folder: Int, directory: Directory)?
        for path in changes.settledPaths {
            do throws(SystemError) {
                guard !path.isEmpty else {
                    self.root = Record(try root.descriptor.status(), name: rootName, folder: 0)
                    continue
                }
                if parent?.path != path.parent {
                    guard let folder = place(of: path.parent) else { continue }
                    let opened = try root.open(bytes: path.parent, O_PATH | O_DIRECTORY, .noSymlinks)
                    parent = (path.parent, folder, Directory(taking: opened, path: FilePath()))
                }
                guard let parent, let index = folders[parent.folder].index(of: path.lastComponent),
                    let status = try parent.directory.statusIfPresent(ofName: path.lastComponent)
                else { continue }
                let old = folders[parent.folder].records[index]
                folders[parent.folder].records[index] = Record(status, name: old.name, folder: old.folder)
                newest = max(newest, status.changed)
            } catch {
                throw .system(error)
            }
        }
    }

    /// Where a folder stands among `folders`.
    private func place(of path: [UInt8]) -> Int? {
        var place = 0
        for name in path.components {
            guard let index = folders[place].index(of: name) else { return nil }
            let record = folders[place].records[index]
            guard record.kind == .directory else { return nil }
            place = Int(record.folder)
        }
        return place
    }
}
