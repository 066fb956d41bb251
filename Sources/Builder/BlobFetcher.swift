import Glibc
import Layers
import OCI
import Registry
import SystemIO
import SystemPackage

/// Where the bytes of a layer can be had from.
enum BlobOrigin: Sendable, Hashable {
    /// Made by this build, or fetched already.
    case store
    case registry(String, repository: String)
    case layout(FilePath)
}

/// Brings blobs into the store, verified.
struct BlobFetcher: Sendable {
    let store: BlobStore
    let registries: Registries
    let pool: BlockingPool
    let report: EventSink

    /// Makes sure that a layer's blob is in the store. After a failure the store is as it was.
    func fetch(_ stored: StoredLayer) async throws {
        let descriptor = stored.layer.descriptor
        guard !store.contains(descriptor) else { return }
        let start = ContinuousClock.now
        let file = try store.makeFile()
        let name = file.name
        let raw = file.descriptor.raw
        let from: String
        do {
            switch stored.origin {
            case .store: throw BuildError("the blob \(descriptor.digest) disappeared from the state folder")
            case .registry(let registry, let repository):
                from = "\(registry)/\(repository)"
                try await registries.client(for: registry, to: .pull).blob(
                    descriptor, repository: repository, to: .file(raw))
            case .layout(let path):
                from = path.printable
                try await pool.run { () throws(any Error) in try BlobFetcher.copy(descriptor, from: path, to: raw) }
            }
            try store.adopt(name, as: descriptor.digest)
        } catch {
            store.discard(name)
            throw error
        }
        report(.baseFetched(descriptor, from: from, seconds: (ContinuousClock.now - start).seconds))
    }

    /// Copies a blob out of a layout, and checks size and digest as the bytes pass.
    private static func copy(_ descriptor: Descriptor, from layout: FilePath, to file: Int32) throws {
        let blob = try ImageLayout(opening: layout).openBlob(descriptor)
        let target = OwnedDescriptor(taking: fcntl(file, F_DUPFD_CLOEXEC, 0))
        var hasher = SHA256()
        var size: Int64 = 0
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = try blob.read(into: buffer)
            guard count > 0 else { break }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            hasher.update(bytes)
            size += Int64(count)
            try target.writeAll(bytes)
        }
        let digest = Digest(sha256: hasher.finish())
        guard digest == descriptor.digest, size == descriptor.size else {
            throw BuildError(
                "the blob \(descriptor.digest) in the layout \(layout.printable) is damaged: it holds \(size) bytes with the digest \(digest)"
            )
        }
    }
}

extension Duration {
    /// The same as a number of seconds.
    var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
