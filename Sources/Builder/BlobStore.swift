import Glibc
import OCI
import Synchronization
import SystemIO
import SystemPackage

/// The blobs of the state folder, by digest. What is visible here was verified.
struct BlobStore: Sendable {
    private let state: StateDirectory
    private let blobs: Directory
    private let scratch: Scratch
    private let sound = SoundBlobs()

    init(_ state: StateDirectory, scratch: Scratch) {
        self.state = state
        blobs = state.blobs
        self.scratch = scratch
    }

    private func name(_ digest: Digest) -> FilePath {
        FilePath(digest.hex)
    }

    /// Whether the blob is here with the size that its descriptor says. If so, it stays until the build ends.
    func contains(_ descriptor: Descriptor) -> Bool {
        let found = try? state.whileNobodyPrunes { () throws(SystemError) -> Bool in
            let file = try blobs.open(name(descriptor.digest), O_RDONLY, .noSymlinks)
            let status = try file.status()
            guard status.kind == .file, status.size == descriptor.size else { return false }
            guard futimens(file.raw, nil) == 0 else { throw .last("futimens") }
            return true
        }
        return found ?? false
    }

    func open(_ descriptor: Descriptor) throws(SystemError) -> OwnedDescriptor {
        try blobs.open(name(descriptor.digest), O_RDONLY, .noSymlinks)
    }

    /// The blob's path, for readers that open it by themselves.
    func path(of descriptor: Descriptor) -> FilePath {
        blobs.path.appending(descriptor.digest.hex)
    }

    /// A file to write a blob into before it has a name.
    func makeFile() throws(SystemError) -> ScratchFile {
        try scratch.makeFile("blob")
    }

    /// Makes a written and verified scratch file visible under its digest. Others may have been faster: it is the same.
    func adopt(_ file: FilePath, as digest: Digest) throws(SystemError) {
        try scratch.folder.rename(file, to: name(digest), in: blobs)
        sound.insert(digest)
    }

    /// Whether the bytes of a blob that is here are what its name says: read once in a build, and not at all if this build brought them.
    /// A blob that is damaged is gone afterwards. Blocks.
    func isSound(_ descriptor: Descriptor) throws(SystemError) -> Bool {
        if sound.contains(descriptor.digest) { return true }
        let file = try open(descriptor)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var hasher = SHA256()
        while true {
            let count = try file.read(into: buffer)
            guard count > 0 else { break }
            hasher.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        guard Digest(sha256: hasher.finish()) == descriptor.digest else {
            try blobs.remove(name(descriptor.digest))
            return false
        }
        sound.insert(descriptor.digest)
        return true
    }

    /// Forgets a file that did not become a blob.
    func discard(_ file: FilePath) {
        try? scratch.folder.remove(file)
    }

    /// Stores a small document.
    func add(_ bytes: [UInt8]) throws(SystemError) -> Digest {
        let digest = Digest(sha256: SHA256.hash(bytes))
        let file = try makeFile()
        try file.descriptor.writeAll(bytes)
        try adopt(file.name, as: digest)
        return digest
    }
}

/// The blobs whose bytes were looked at by this build.
private final class SoundBlobs: Sendable {
    private let digests = Mutex(Set<Digest>())

    func contains(_ digest: Digest) -> Bool {
        digests.withLock { $0.contains(digest) }
    }

    func insert(_ digest: Digest) {
        _ = digests.withLock { $0.insert(digest) }
    }
}
