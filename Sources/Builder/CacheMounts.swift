import Dockerfile
import Glibc
import SystemIO
import SystemPackage

/// The contents of `RUN --mount=type=cache`, kept from build to build in the state folder.
///
/// ```
/// mounts/<key>/<n>/contents    what a RUN sees; n is 0, or higher for a private cache that is in use several times
/// ```
///
/// A lock on `<n>` says who uses it: flock, so that a dead owner's lock is gone. `contents` is complete or absent.
struct CacheMounts: Sendable {
    let folder: Directory
    /// `BUILDKIT_CACHE_MOUNT_NS`: caches of different projects in one state folder stay apart.
    let namespace: String
    let cancellation: Cancellation
    let report: EventSink

    /// What tells one cache from another.
    struct Key: Hashable, Sendable {
        var namespace: String
        var id: String
        /// As a cache is made for one owner, another owner gets another cache.
        var owner: RunMount.Owner
        /// What the cache begins with: the identity of its source, empty for an empty one.
        var origin: [String]

        /// A name for a folder, framed so that no two keys meet in it.
        var name: FilePath {
            let parts = ["1", namespace, id, "\(owner.uid)", "\(owner.gid)", "\(owner.mode)"] + origin
            let framed = parts.flatMap { Array("\($0.utf8.count):".utf8) + Array($0.utf8) }
            let digits = Array("0123456789abcdef")
            return FilePath(String(SHA256.hash(framed).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }))
        }
    }

    /// Takes a cache for one run, waiting while another build has it for itself.
    ///
    /// - Parameters:
    ///   - sharing: as in the Dockerfile.
    ///   - fill: makes the first contents under the given name in the given folder. Blocks.
    func take(
        _ key: Key, sharing: RunMount.Sharing, pool: BlockingPool,
        fill: @escaping @Sendable (FilePath, Directory) throws -> Void
    ) async throws -> CacheLease {
        let place = try openOrMake(key.name, in: folder)
        if sharing == .private {
            for number in 0... {
                let instance = try openOrMake(FilePath("\(number)"), in: place)
                guard try CacheMounts.lock(instance, LOCK_EX) else { continue }
                try await complete(instance, pool, fill)
                return try CacheLease(instance)
            }
        }
        let instance = try openOrMake("0", in: place)
        guard sharing == .shared else {
            try await wait(for: instance, LOCK_EX, key)
            try await complete(instance, pool, fill)
            return try CacheLease(instance)
        }
        while true {
            try await wait(for: instance, LOCK_SH, key)
            if try instance.statusIfPresent(of: CacheLease.contents) != nil { return try CacheLease(instance) }
            if try CacheMounts.lock(instance, LOCK_EX) {
                try await complete(instance, pool, fill)
            } else {
                // Another build is about to fill it, and may then use it for long: not to be waited out, but shared.
                flock(instance.descriptor.raw, LOCK_UN)
                try await Task.sleep(for: .milliseconds(Int.random(in: 5...50)))
            }
        }
    }

    /// Whether the first instance of a cache has contents.
    func isFilled(_ key: Key) -> Bool {
        let contents = key.name.appending("0").appending(CacheLease.contents.components)
        return (try? folder.statusIfPresent(of: contents)) ?? nil != nil
    }

    /// Makes the first contents of a cache that begins empty.
    static func makeEmpty(_ name: FilePath, in folder: Directory, _ owner: RunMount.Owner) throws {
        try folder.makeDirectory(name, mode: 0o700)
        let made = try folder.openDirectory(name, .noSymlinks)
        guard fchown(made.descriptor.raw, owner.uid, owner.gid) == 0 else { throw SystemError.last("fchown", name) }
        guard fchmod(made.descriptor.raw, mode_t(owner.mode)) == 0 else { throw SystemError.last("fchmod", name) }
    }

    private func openOrMake(_ name: FilePath, in parent: Directory) throws(SystemError) -> Directory {
        do throws(SystemError) { try parent.makeDirectory(name, mode: 0o700) } catch {
            guard error.errno == .fileExists else { throw error }
        }
        return try parent.openDirectory(name, .noSymlinks)
    }

    private func complete(
        _ instance: Directory, _ pool: BlockingPool, _ fill: @escaping @Sendable (FilePath, Directory) throws -> Void
    ) async throws {
        guard try instance.statusIfPresent(of: CacheLease.contents) == nil else { return }
        try await pool.run { () throws(any Error) in
            let new: FilePath = "new"
            // A builder that died may have left a part.
            try instance.removeTree(new)
            try fill(new, instance)
            try instance.rename(new, to: CacheLease.contents)
        }
    }

    /// Whether the lock could be had at once.
    static func lock(_ instance: Directory, _ kind: Int32) throws(SystemError) -> Bool {
        while true {
            if flock(instance.descriptor.raw, kind | LOCK_NB) == 0 { return true }
            if errno == EWOULDBLOCK { return false }
            guard errno == EINTR else { throw .last("flock", instance.path) }
        }
    }

    private func wait(for instance: Directory, _ kind: Int32, _ key: Key) async throws {
        var isTold = false
        while try !CacheMounts.lock(instance, kind) {
            if cancellation.isCancelled { throw BuildError("the build was interrupted") }
            if !isTold { report(.note("waiting for the cache '\(key.id)', which another build uses")) }
            isTold = true
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

/// A cache that one run may use; given back by `release()`, at the latest when the last reference is gone.
final class CacheLease: Sendable {
    static let contents: FilePath = "contents"
    /// The folder that `contents` is in, locked.
    let instance: Directory

    init(_ instance: Directory) throws(SystemError) {
        try instance.markUsed()
        self.instance = instance
    }

    /// Gives the cache back now. A reference may live on for a moment on the thread that ran the command, and the next run
    /// would find the cache in use.
    func release() {
        flock(instance.descriptor.raw, LOCK_UN)
    }
}
