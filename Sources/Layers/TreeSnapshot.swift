import Glibc
package import SystemIO
import SystemPackage

/// What a flat tree looked like at one moment, to find out later what a RUN changed in it.
///
/// A file changed when its type, inode, size, time of modification or time of change is another: nobody can set the time of
/// change, so no file is read to find out. A folder changed when its owner, mode or extended attributes are others; its
/// times change with what is in it, and go along then.
///
/// The changes are those that `OverlayChanges` finds for the same RUN, with one exception: a file that was written, or given its own
/// mode again, and is just as before counts as changed, for its old content is gone; and so do the other names of a file when one
/// of its names changes or is removed.
///
/// Memory: about 90 bytes and the name for each file.
package struct TreeSnapshot: Sendable {
    private struct Record {
        var nameStart: Int
        var nameLength: Int32
        var firstChild: Int32 = 0
        var childCount: Int32 = 0
        var permissions: UInt16
        var kind: FileStatus.Kind
        var uid: UInt32
        var gid: UInt32
        var inode: UInt64
        var size: Int64
        var modified: Timestamp
        var changed: Timestamp
    }

    /// The root first; what is in a folder stands together, sorted by name.
    private var records: [Record] = []
    private var names: [UInt8] = []
    /// Of folders only, by record.
    private var attributes: [Int: [ExtendedAttribute]] = [:]
    private let excluded: Set<[UInt8]>

    // MARK: Capture

    /// Looks at all of a tree. Other file systems mounted in it are left out, and so are their mount points.
    ///
    /// - Parameter excluding: paths that are no part of the image, with all below them.
    package static func capture(
        _ root: Directory, excluding: Set<[UInt8]>, cancellation: Cancellation
    ) throws(LayerError) -> TreeSnapshot {
        var snapshot = TreeSnapshot(excluded: excluding)
        try snapshot.fill(root, cancellation)
        snapshot.waitForTheClock()
        return snapshot
    }

    /// Kernels before 6.13 stamp files with a clock that stands still for up to 10 ms (HZ=100): a file changed just before the
    /// capture and again just after would carry the same time of change. So the capture ends only when that clock went on.
    private func waitForTheClock() {
        let tick: Int64 = 10_000_000  // nanoseconds
        let newest = records.max { $0.changed < $1.changed }?.changed ?? Timestamp(seconds: 0)
        let now = Timestamp.now
        guard abs(now.seconds - newest.seconds) <= 1 else { return }
        let age = (now.seconds - newest.seconds) * 1_000_000_000 + Int64(now.nanoseconds) - Int64(newest.nanoseconds)
        guard abs(age) < tick else { return }
        usleep(UInt32((tick - age) / 1000) + 1)
    }

    private init(excluded: Set<[UInt8]>) {
        self.excluded = excluded
    }

    private mutating func fill(_ root: Directory, _ cancellation: Cancellation) throws(LayerError) {
        let status = try system { () throws(SystemError) in try root.descriptor.status() }
        append([], status)
        // A stack instead of recursion: depth is the tree's choice.
        var descent = FolderDescent(from: root)
        var stack: [(path: [UInt8], rest: [(name: [UInt8], record: Int)])] = []
        stack.append(([], try fillFolder(0, root, [], device: status.device)))
        while let level = stack.last {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard let next = level.rest.last else {
                stack.removeLast()
                do throws(SystemError) { try descent.leave() } catch { throw .system(error) }
                continue
            }
            stack[stack.count - 1].rest.removeLast()
            do throws(SystemError) { try descent.enter(named: next.name) } catch { throw .system(error) }
            let path = level.path.joined(next.name)
            stack.append((path, try fillFolder(next.record, descent.current, path, device: status.device)))
        }
    }

    /// Records what is in a folder, and gives back the folders among it.
    private mutating func fillFolder(
        _ record: Int, _ directory: Directory, _ path: [UInt8], device: UInt64
    ) throws(LayerError) -> [(name: [UInt8], record: Int)] {
        let own = try system { () throws(SystemError) in try directory.imageAttributes(ofName: []) }
        if !own.isEmpty { attributes[record] = own }
        let first = records.count
        var folders: [(name: [UInt8], record: Int)] = []
        for (name, status) in try TreeSnapshot.list(directory, path, excluded, device: device) {
            if status.kind == .directory { folders.append((name, records.count)) }
            append(name, status)
        }
        records[record].firstChild = Int32(first)
        records[record].childCount = Int32(records.count - first)
        return folders
    }

    private mutating func append(_ name: [UInt8], _ status: FileStatus) {
        records.append(
            Record(
                nameStart: names.count, nameLength: Int32(name.count), permissions: status.permissions,
                kind: status.kind,
                uid: status.uid, gid: status.gid, inode: status.inode, size: status.size, modified: status.modified,
                changed: status.changed))
        names.append(contentsOf: name)
    }

    /// What in a folder belongs to the image, sorted bytewise.
    private static func list(
        _ directory: Directory, _ path: [UInt8], _ excluded: Set<[UInt8]>, device: UInt64
    ) throws(LayerError) -> [(name: [UInt8], status: FileStatus)] {
        try system { () throws(SystemError) in
            var found: [(name: [UInt8], status: FileStatus)] = []
            for name in try directory.sortedNames() {
                if !excluded.isEmpty, excluded.contains(path.joined(name.bytes)) { continue }
                guard let status = try directory.statusIfPresent(ofName: name.bytes), status.device == device else {
                    continue
                }
                found.append((name.bytes, status))
            }
            return found
        }
    }

    // MARK: Compare

    /// A folder of the tree while it is compared.
    private struct Level {
        let path: [UInt8]
        /// What is there now and is still to be looked at, the next last.
        var rest: [(name: [UInt8], status: FileStatus, old: Int?)]
    }

    /// What changed in the same tree since this moment, in canonical order; see `OverlayChanges`.
    ///
    /// - Parameter root: the folder that was captured.
    package func changes(in root: Directory, cancellation: Cancellation) throws(LayerError) -> TreeChanges {
        var collector = ChangeCollector(root)
        var descent = FolderDescent(from: root)
        let status = try system { () throws(SystemError) in try root.descriptor.status() }
        var stack = [try enter(root, [], status, old: 0, device: status.device, &collector)]
        while let level = stack.last {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard let next = level.rest.last else {
                collector.leave()
                stack.removeLast()
                do throws(SystemError) { try descent.leave() } catch { throw .system(error) }
                continue
            }
            stack[stack.count - 1].rest.removeLast()
            let path = level.path.joined(next.name)
            if next.status.kind == .directory {
                do throws(SystemError) { try descent.enter(named: next.name) } catch { throw .system(error) }
                stack.append(
                    try enter(
                        descent.current, path, next.status, old: next.old, device: status.device, &collector))
            } else if !isSameFile(next.old, next.status) {
                try collector.add(path, next.name, in: descent.current, next.status)
            }
        }
        return collector.changes
    }

    /// Begins a folder: its own change, and the deletions in it.
    private func enter(
        _ directory: Directory, _ path: [UInt8], _ status: FileStatus, old: Int?, device: UInt64,
        _ collector: inout ChangeCollector
    ) throws(LayerError) -> Level {
        // What was no folder had nothing in it.
        let old = old.flatMap { records[$0].kind == .directory ? $0 : nil }
        let now = try TreeSnapshot.list(directory, path, excluded, device: device)
        let isSame = try system { () throws(SystemError) in try isSameFolder(old, directory, status) }
        try collector.enter(path, status, modifiedBefore: isSame ? old.map { records[$0].modified } : nil)
        if !isSame { try collector.describeFolder() }
        var rest: [(name: [UInt8], status: FileStatus, old: Int?)] = []
        rest.reserveCapacity(now.count)
        var before = old.map { children(of: $0) } ?? 0..<0
        for (name, status) in now {
            while let record = before.first, self.name(of: record).lexicographicallyPrecedes(name) {
                try deleted(record, path, directory, &collector)
                before.removeFirst()
            }
            if let record = before.first, self.name(of: record).elementsEqual(name) {
                before.removeFirst()
                rest.append((name, status, record))
            } else {
                rest.append((name, status, nil))
            }
        }
        for record in before { try deleted(record, path, directory, &collector) }
        rest.reverse()
        return Level(path: path, rest: rest)
    }

    private func deleted(
        _ record: Int, _ path: [UInt8], _ directory: Directory, _ collector: inout ChangeCollector
    ) throws(LayerError) {
        let name = Array(name(of: record))
        // Still there, but covered by a mount since: not deleted.
        guard try system({ () throws(SystemError) in try directory.statusIfPresent(ofName: name) }) == nil else {
            return
        }
        try collector.addWhiteout(path.joined(name))
    }

    private func children(of record: Int) -> Range<Int> {
        let first = Int(records[record].firstChild)
        return first..<(first + Int(records[record].childCount))
    }

    private func name(of record: Int) -> ArraySlice<UInt8> {
        let start = records[record].nameStart
        return names[start..<(start + Int(records[record].nameLength))]
    }

    private func isSameFile(_ old: Int?, _ status: FileStatus) -> Bool {
        guard let old else { return false }
        let record = records[old]
        return record.kind == status.kind && record.inode == status.inode && record.size == status.size
            && record.modified == status.modified && record.changed == status.changed
    }

    private func isSameFolder(
        _ old: Int?, _ directory: Directory, _ status: FileStatus
    ) throws(SystemError) -> Bool {
        guard let old, records[old].permissions == status.permissions, records[old].uid == status.uid,
            records[old].gid == status.gid
        else { return false }
        return try directory.imageAttributes(ofName: []) == attributes[old] ?? []
    }
}
