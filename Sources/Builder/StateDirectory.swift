import Glibc
import OCI
package import SystemIO
package import SystemPackage

/// The builder's own folder: blobs, trees, scratch. Shared by any number of builds at a time.
///
/// ```
/// blobs/sha256/<hex>     verified blobs; visible only by a rename after they were verified
/// trees/<diffID hex>/    an unpacked layer, complete or absent: root/ and the list of its implied folders
/// mounts/<key>/<n>/      contents of a cache mount (see `CacheMounts`)
/// work/<build>/          one build's scratch, locked by its owner; what a dead owner left is removed by the next build
/// ```
package final class StateDirectory: Sendable {
    package let path: FilePath
    let blobs: Directory
    let trees: Directory
    let mounts: Directory
    private let work: Directory

    /// Opens the folder, making it (mode 0700) first, and removes the scratch of builds that died.
    package init(opening path: FilePath) throws(SystemError) {
        _ = try Directory(creating: path)
        // Absolute: the sandbox names trees by path while it stands elsewhere.
        let path = try StateDirectory.absolute(path)
        self.path = path
        blobs = try Directory(creating: path.appending("blobs").appending("sha256"))
        trees = try Directory(creating: path.appending("trees"))
        mounts = try Directory(creating: path.appending("mounts"))
        work = try Directory(creating: path.appending("work"))
        removeDeadScratch()
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
    private let name: FilePath
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
