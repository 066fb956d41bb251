// https://www.kernel.org/doc/html/latest/filesystems/overlayfs.html

import Glibc
package import SystemIO
import SystemPackage

/// Reads what a RUN changed from the upper directory of its overlay mount.
///
/// The changes come in canonical order: a folder, the deletions in it, then all else in it by name.
///
/// - Only a name that exists below is deleted by a whiteout: what a RUN made and removed again leaves nothing.
/// - An opaque folder (removed and made again) becomes whiteouts of the names that are gone: so the layer does not
///   depend on how the changes were found.
/// - A copy that overlayfs made (`chmod` to the same mode, opening for writing) and that equals the file below in attributes and
///   content is no change. Neither is a folder of which only the time of modification changed, or nothing: its
///   time goes along when something in it changed.
/// - A file with several names in the upper directory is one file and hard links. When a file below has several names,
///   overlayfs copies only the changed name: the others keep the old content, as the RUN saw it.
package enum OverlayChanges {
    /// - Parameters:
    ///   - upper: not mounted any more, or at rest.
    ///   - lower: the view of the layers below.
    ///   - ignoring: paths that are no part of the image, with all below them: mount points.
    package static func read(
        upper: Directory, lower: UnionTree, ignoring: Set<[UInt8]>, cancellation: Cancellation
    ) throws(LayerError) -> TreeChanges {
        var reader = UpperReader(upper, lower: lower, ignoring: ignoring, cancellation: cancellation)
        return try reader.read()
    }
}

private struct UpperReader {
    let lower: UnionTree
    let ignoring: Set<[UInt8]>
    let cancellation: Cancellation
    private var collector: ChangeCollector
    private var descent: FolderDescent

    /// A folder of the upper directory while it is walked.
    private struct Level {
        let path: [UInt8]
        /// What of it is still to be looked at, the next last.
        var rest: [Directory.Name]
        /// Whether it hides what is below; holds for all folders in it too.
        let isOpaque: Bool
        /// Whether the view below may have anything here: where it has nothing, nobody asks it again.
        let isNew: Bool
    }

    init(_ upper: Directory, lower: UnionTree, ignoring: Set<[UInt8]>, cancellation: Cancellation) {
        self.lower = lower
        self.ignoring = ignoring
        self.cancellation = cancellation
        collector = ChangeCollector(upper)
        descent = FolderDescent(from: upper)
    }

    mutating func read() throws(LayerError) -> TreeChanges {
        // A stack instead of recursion: depth is the RUN's choice.
        let top = descent.current
        let status = try system { () throws(SystemError) in try top.descriptor.status() }
        var stack = [try enter([], status, isOpaque: false, isNew: false)]
        while let last = stack.indices.last {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard let name = stack[last].rest.popLast()?.bytes else {
                collector.leave()
                stack.removeLast()
                try move { descent throws(SystemError) in try descent.leave() }
                continue
            }
            let path = stack[last].path.joined(name)
            let folder = descent.current
            guard let status = try system({ () throws(SystemError) in try folder.statusIfPresent(ofName: name) })
            else { continue }
            if status.kind == .directory {
                try move { descent throws(SystemError) in try descent.enter(named: name) }
                stack.append(try enter(path, status, isOpaque: stack[last].isOpaque, isNew: stack[last].isNew))
            } else {
                // Where the view below has no folder, there is nothing to compare with.
                let isSame = stack[last].isNew ? false : try isCopy(path, name, in: folder, status)
                if !isSame { try collector.add(path, name, in: folder, status) }
            }
        }
        return collector.changes
    }

    /// Begins the folder that the descent is in: its own change, and the deletions in it.
    private mutating func enter(
        _ path: [UInt8], _ status: FileStatus, isOpaque: Bool, isNew: Bool
    ) throws(LayerError) -> Level {
        let directory = descent.current
        let old = isNew ? nil : try lower.node(at: path)
        let marked = try system { () throws(SystemError) in try UnionFolder.hasOpaqueAttribute(directory, []) }
        let isOpaque = isOpaque || marked
        let isSame = try isSameFolder(old, directory, status)
        try collector.enter(path, status, modifiedBefore: isSame ? old?.status.modified : nil)
        if !isSame { try collector.describeFolder() }
        let names = try system { () throws(SystemError) in try directory.sortedNames() }
        var rest: [Directory.Name] = []
        var deleted: [[UInt8]] = []
        for name in names where ignoring.isEmpty || !ignoring.contains(path.joined(name.bytes)) {
            switch name.kind {
            case .file, .directory, .symlink, .blockDevice, .fifo: rest.append(name)
            case .characterDevice, .socket, nil:
                let status = try system { () throws(SystemError) in
                    try directory.statusIfPresent(ofName: name.bytes)
                }
                let isSocket = status?.kind == .socket
                if isSocket || status?.isOverlayWhiteout == true {
                    let hides = isNew ? false : try lower.node(at: path.joined(name.bytes)) != nil
                    if hides { deleted.append(name.bytes) }
                    if isSocket { try collector.addSocket(path.joined(name.bytes), hides: hides) }
                } else {
                    rest.append(name)
                }
            }
        }
        if isOpaque, !isNew {
            let kept = Set(names.map(\.bytes))
            for child in try lower.children(of: path)
            where !kept.contains(child.name) && !ignoring.contains(child.path) {
                deleted.append(child.name)
            }
        }
        for name in deleted.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            try collector.addWhiteout(path.joined(name))
        }
        return Level(
            path: path, rest: rest.reversed(), isOpaque: isOpaque, isNew: old?.status.kind != .directory)
    }

    private mutating func move(_ step: (inout FolderDescent) throws(SystemError) -> Void) throws(LayerError) {
        do throws(SystemError) { try step(&descent) } catch { throw .system(error) }
    }

    private func isSameFolder(
        _ old: UnionTree.Node?, _ directory: Directory, _ status: FileStatus
    ) throws(LayerError) -> Bool {
        guard let old, old.status.kind == .directory, old.status.permissions == status.permissions,
            old.status.uid == status.uid, old.status.gid == status.gid
        else { return false }
        let attributes = try system { () throws(SystemError) in try directory.imageAttributes(ofName: []) }
        return try lower.attributes(old) == attributes
    }

    /// Whether a file of the upper directory is what is below anyway.
    private func isCopy(
        _ path: [UInt8], _ name: [UInt8], in directory: Directory, _ status: FileStatus
    ) throws(LayerError) -> Bool {
        // A copy has one name; a second one was made by the RUN, and both must be told to link them.
        guard status.linkCount == 1, let old = try lower.node(at: path), old.status.kind == status.kind,
            old.status.permissions == status.permissions, old.status.uid == status.uid, old.status.gid == status.gid,
            old.status.size == status.size, old.status.modified == status.modified, old.status.node == status.node
        else { return false }
        let attributes = try system { () throws(SystemError) in try directory.imageAttributes(ofName: name) }
        guard try lower.attributes(old) == attributes else { return false }
        switch status.kind {
        case .symlink:
            let target = try system { () throws(SystemError) in try directory.readLink(name: name) }
            return try lower.readLink(old) == target
        case .file where status.size > 0:
            let oldFile: OwnedDescriptor
            do throws(LayerError) {
                oldFile = try lower.open(old)
            } catch {
                // Not unpacked: then nobody could copy it, and the file is new.
                guard case .invalid = error else { throw error }
                return false
            }
            let file = try system { () throws(SystemError) in try directory.openName(name, O_RDONLY) }
            return try sameContent(file, oldFile)
        default: return true
        }
    }

    private func sameContent(_ a: borrowing OwnedDescriptor, _ b: borrowing OwnedDescriptor) throws(LayerError) -> Bool
    {
        let size = 128 * 1024  // bytes
        let first = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        let second = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        guard let firstBytes = first.baseAddress, let secondBytes = second.baseAddress else { return false }
        defer {
            first.deallocate()
            second.deallocate()
        }
        do throws(SystemError) {
            while true {
                guard !cancellation.isCancelled else { throw SystemError(call: "read", errno: .canceled) }
                let count = try a.read(into: first)
                // Regular files give all that is asked for, but at their end.
                guard try b.read(into: second) == count else { return false }
                if count == 0 { return true }
                guard memcmp(firstBytes, secondBytes, count) == 0 else { return false }
            }
        } catch {
            throw error.errno == .canceled ? .cancelled : .system(error)
        }
    }
}

/// A failure of the kernel as one of this target.
func system<T: ~Copyable>(_ body: () throws(SystemError) -> T) throws(LayerError) -> T {
    do throws(SystemError) { return try body() } catch { throw .system(error) }
}
