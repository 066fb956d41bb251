import Glibc
import Layers
import OCI
package import SystemIO
package import SystemPackage

/// The builder's own folder: blobs, trees, scratch. Shared by any number of builds at a time.
///
/// ```
/// blobs/sha256/<hex>     verified blobs; visible only by a rename after they were verified
/// steps/<key>            what a step came to (see `StepCache`)
/// indices/<hex>          what a layer lists, by its diffID (see `LayerIndices`)
/// trees/<name>/          an unpacked layer, complete or absent: root/ and the list of its implied folders (see `TreeStore`)
/// mounts/<key>/<n>/      contents of a cache mount (see `CacheMounts`)
/// work/<build>/          one build's scratch, locked by its owner; what a dead owner left is removed by the next build
/// lock                   shared while a build tells that it uses something, exclusive while something is pruned
/// ```
///
/// In a user namespace trees and mounts have other owners on the disk, and other marks of overlayfs: they are in folders of their
/// own, `trees-<ids>` and `mounts-<ids>`, one for each mapping of ids.
///
/// Time of modification of a blob, record, index, tree or cache: when a build last used it.
package final class StateDirectory: Sendable {
    package let path: FilePath
    let blobs: Directory
    let steps: Directory
    let indices: Directory
    let trees: Directory
    let mounts: Directory
    let work: Directory
    /// What overlayfs can be told with here.
    let attributes: TreeConvention.AttributeNamespace
    private let root: Directory
    private static let lock: FilePath = "lock"

    /// Opens the folder, making it (mode 0700) first, and removes the scratch of builds that died.
    package init(opening path: FilePath) throws(SystemError) {
        _ = try Directory(creating: path)
        // Absolute: the sandbox names trees by path while it stands elsewhere.
        let path = try StateDirectory.absolute(path)
        self.path = path
        root = try Directory(opening: path)
        blobs = try Directory(creating: path.appending("blobs").appending("sha256"))
        steps = try Directory(creating: path.appending("steps"))
        indices = try Directory(creating: path.appending("indices"))
        work = try Directory(creating: path.appending("work"))
        attributes = try StateDirectory.attributes(in: work)
        let suffix = attributes == .trusted ? "" : "-" + (try IdentityMapping.current()).key
        trees = try Directory(creating: path.appending("trees" + suffix))
        mounts = try Directory(creating: path.appending("mounts" + suffix))
        removeDeadScratch()
    }

    /// Finds out by trying: only who rules the machine's first user namespace may set `trusted.*`.
    private static func attributes(
        in folder: Directory
    ) throws(SystemError) -> TreeConvention.AttributeNamespace {
        let probe = ExtendedAttribute(name: "trusted.imgbuild", value: [UInt8(ascii: "y")])
        do throws(SystemError) {
            try folder.setAttribute(probe, on: ".")
            try folder.removeAttribute(named: probe.name, of: ".")
            return .trusted
        } catch {
            switch error.errno {
            case .notPermitted: return .user
            // Another build tries at the same time.
            case Errno(rawValue: ENODATA): return .trusted
            // No attributes at all: mounting will say so.
            case .notSupported: return .trusted
            default: throw error
            }
        }
    }

    /// Runs `body`, which finds something and marks it as used, while nothing is pruned. What was marked is not pruned before
    /// this build has ended.
    func whileNobodyPrunes<T>(_ body: () throws(SystemError) -> T) throws(SystemError) -> T {
        let lock = try takeLock(LOCK_SH)
        defer { _ = lock.raw }
        return try body()
    }

    /// Runs `body`, which takes things out of the folder, while no build looks for any.
    func whileNobodyLooks<T>(_ body: () throws -> T) throws -> T {
        let lock = try takeLock(LOCK_EX)
        defer { _ = lock.raw }
        return try body()
    }

    /// A lock of its own for each caller, for threads that share a descriptor share its lock. Gone with the descriptor.
    private func takeLock(_ kind: Int32) throws(SystemError) -> OwnedDescriptor {
        let file = try root.open(StateDirectory.lock, O_RDWR | O_CREAT, mode: 0o600, .noSymlinks)
        while flock(file.raw, kind) != 0 {
            guard errno == EINTR else { throw .last("flock", StateDirectory.lock) }
        }
        return file
    }

    private static func absolute(_ path: FilePath) throws(SystemError) -> FilePath {
        guard let resolved = realpath(path.string, nil) else { throw .last("realpath", path) }
        defer { free(resolved) }
        return FilePath(platformString: resolved)
    }

    /// A new scratch folder, which only this build uses.
    func makeScratch() throws(SystemError) -> Scratch {
        // The name is free within this folder only: pid and a counter of nanoseconds are enough, mkdir decides.
        while true {
            let now = Timestamp.now
            let name = FilePath("\(getpid())-\(now.seconds)-\(now.nanoseconds)")
            do throws(SystemError) {
                try work.makeDirectory(name, mode: 0o700)
            } catch  where error.errno == .fileExists { continue }
            let folder: Directory
            do throws(SystemError) {
                folder = try work.openDirectory(name, .noSymlinks)
            } catch  where error.errno == .noSuchFileOrDirectory {
                // Nobody's lock was on it yet: a build that started meanwhile took it for a dead one's.
                continue
            }
            guard flock(folder.descriptor.raw, LOCK_EX | LOCK_NB) == 0 else { continue }
            // A cleaner may have removed it before the lock was held.
            guard try work.statusIfPresent(of: name)?.inode == folder.descriptor.status().inode else { continue }
            return Scratch(folder: folder, name: name, parent: work)
        }
    }

    /// When the oldest of the builds that are at work now began; `nil` if there is none but, it may be, `own`.
    func oldestBuild(but own: Scratch) throws(SystemError) -> Timestamp? {
        try StateDirectory.oldestBuild(in: root, but: own)
    }

    /// The same for a state folder that nothing is to be changed in.
    static func oldestBuild(in root: Directory, but own: Scratch? = nil) throws(SystemError) -> Timestamp? {
        guard try root.statusIfPresent(of: "work") != nil else { return nil }
        let work = try root.openDirectory("work", .noSymlinks)
        var oldest: Timestamp?
        for name in try work.names() where name != own?.name {
            guard let folder = try? work.openDirectory(name, .noSymlinks) else { continue }
            // The name of a scratch folder says when it was made.
            let numbers = name.string.split(separator: "-").compactMap { Int64($0) }
            guard flock(folder.descriptor.raw, LOCK_EX | LOCK_NB) != 0, numbers.count == 3 else { continue }
            let start = Timestamp(seconds: numbers[1], nanoseconds: Int32(truncatingIfNeeded: numbers[2]))
            oldest = min(oldest ?? start, start)
        }
        return oldest
    }

    /// Removes the scratch folders whose owner is dead: its lock is gone with it. Failing to is no failure of a build.
    private func removeDeadScratch() {
        guard let names = try? work.names() else { return }
        for name in names {
            guard let folder = try? work.openDirectory(name, .noSymlinks) else { continue }
            guard flock(folder.descriptor.raw, LOCK_EX | LOCK_NB) == 0 else { continue }
            try? work.removeTree(name)
        }
    }
}

/// One build's scratch folder. Removed by `remove()`; by the next build if this process dies first.
final class Scratch: Sendable {
    let folder: Directory
    let name: FilePath
    private let parent: Directory

    init(folder: Directory, name: FilePath, parent: Directory) {
        self.folder = folder
        self.name = name
        self.parent = parent
    }

    var path: FilePath { folder.path }

    /// A new folder in the scratch, whose path is used by no other caller.
    func makeFolder(_ prefix: String) throws(SystemError) -> Directory {
        var number = 0
        while true {
            let name = FilePath("\(prefix)-\(number)")
            do throws(SystemError) {
                try folder.makeDirectory(name, mode: 0o700)
            } catch  where error.errno == .fileExists {
                number += 1
                continue
            }
            return try folder.openDirectory(name, .noSymlinks)
        }
    }

    /// A new file in the scratch, open for reading and writing.
    func makeFile(_ prefix: String) throws(SystemError) -> ScratchFile {
        var number = 0
        while true {
            let name = FilePath("\(prefix)-\(number)")
            do throws(SystemError) {
                return ScratchFile(
                    descriptor: try folder.open(name, O_RDWR | O_CREAT | O_EXCL, mode: 0o600, .noSymlinks), name: name)
            } catch  where error.errno == .fileExists {
                number += 1
            }
        }
    }

    /// Removes the folder and all in it.
    func remove() throws(SystemError) {
        try parent.removeTree(name)
    }
}

/// A new file of the scratch folder.
struct ScratchFile: ~Copyable {
    let descriptor: OwnedDescriptor
    let name: FilePath
}

extension Directory {
    /// Marks a folder as used now.
    func markUsed() throws(SystemError) {
        guard futimens(descriptor.raw, nil) == 0 else { throw .last("futimens", path) }
    }
}
