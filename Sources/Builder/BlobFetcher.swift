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

    /// The repository of an image.
    init(_ image: ImageReference) {
        self = .registry(image.registry, repository: image.repository)
    }
}

/// For people.
extension BlobOrigin: CustomStringConvertible {
    var description: String {
        switch self {
        case .store: "the state folder"
        case .registry(let registry, let repository): "\(registry)/\(repository)"
        case .layout(let path): path.printable
        }
    }
}

/// Brings blobs into the store, verified.
struct BlobFetcher: Sendable {
    let store: BlobStore
    let registries: Registries
    let cached: CachedLayers
    let pool: BlockingPool
    let report: EventSink
    private let flights = SingleFlight<Digest, Void>(keeps: false)

    init(
        store: BlobStore, registries: Registries, cached: CachedLayers, pool: BlockingPool, report: @escaping EventSink
    ) {
        self.store = store
        self.registries = registries
        self.cached = cached
        self.pool = pool
        self.report = report
    }

    /// Reads a blob while it arrives, and returns soon after its growth has ended.
    typealias Reader = @Sendable (ArrivingBlob) async -> Void

    /// Makes sure that a layer's blob is in the store. After a failure the store is as it was.
    ///
    /// - Parameter reader: gets the blob on its way if it comes from a registry now and for this call, and has ended when this returns.
    func fetch(_ stored: StoredLayer, readBy reader: Reader? = nil) async throws {
        let descriptor = stored.layer.descriptor
        do {
            try await flights.value(of: descriptor.digest) {
                if try await !isHere(descriptor) { try await bring(stored, reader) }
            }
        } catch {
            giveUp(stored, error)
            throw error
        }
    }

    private func isHere(_ descriptor: Descriptor) async throws -> Bool {
        guard store.contains(descriptor) else { return false }
        if try await pool.run({ () throws(any Error) in try store.isSound(descriptor) }) { return true }
        report(.warning("the blob \(descriptor.digest) in the state folder was damaged, and is removed"))
        return false
    }

    /// Notes that a layer's bytes cannot be had or used. If a cache has lent it, its step will be done.
    func giveUp(_ stored: StoredLayer, _ error: any Error) {
        guard !Task.isCancelled, !cached.isLost(stored.layer.descriptor.digest),
            cached.lose(stored.layer.descriptor.digest)
        else { return }
        report(
            .warning(
                "the cached layer \(stored.layer.descriptor.digest) cannot be used, and its step is done: \(error)"))
    }

    private func bring(_ stored: StoredLayer, _ reader: Reader?) async throws {
        let descriptor = stored.layer.descriptor
        let start = ContinuousClock.now
        let file = try store.makeFile()
        let name = file.name
        let raw = file.descriptor.raw
        let blob = try ArrivingBlob(writtenTo: file.descriptor)
        async let reading: Void = read(blob, of: stored, by: reader)
        let from: BlobOrigin
        do {
            from = try await fetch(stored, to: raw, blob.growth)
            try store.adopt(name, as: descriptor.digest)
            blob.growth.end(isSound: true)
        } catch {
            blob.growth.end(isSound: false)
            store.discard(name)
            throw error
        }
        report(.baseFetched(descriptor, from: "\(from)", seconds: (ContinuousClock.now - start).seconds))
        await reading
    }

    private func read(_ blob: ArrivingBlob, of stored: StoredLayer, by reader: Reader?) async {
        guard case .registry = stored.origin else { return }
        await reader?(blob)
    }

    /// Writes a blob to an open file, from the first of its places that has it.
    ///
    /// - Returns: that place.
    private func fetch(_ stored: StoredLayer, to file: Int32, _ growth: FileGrowth) async throws -> BlobOrigin {
        let places = [stored.origin] + stored.fallbacks
        for (index, place) in places.enumerated() {
            let isLast = index + 1 == places.count
            do {
                try await fetch(stored.layer.descriptor, from: place, isLast: isLast, to: file, growth)
                return place
            } catch {
                guard !isLast, !Task.isCancelled else { throw error }
                report(
                    .warning(
                        "a layer cannot be had from the mirror's \(place): \(error); trying \(places[index + 1])"))
                // What came of it is not what the next place begins with.
                guard ftruncate(file, 0) == 0 else { throw SystemError.last("ftruncate") }
            }
        }
        throw BuildError("[internal error] the blob \(stored.layer.descriptor.digest) has no place")
    }

    private func fetch(
        _ descriptor: Descriptor, from place: BlobOrigin, isLast: Bool, to file: Int32, _ growth: FileGrowth
    ) async throws {
        switch place {
        case .store: throw BuildError("the blob \(descriptor.digest) disappeared from the state folder")
        case .registry(let registry, let repository):
            let progress = TransferProgress(of: descriptor, .from("\(place)"), report: report)
            try await registries.client(for: registry, to: isLast ? .pull : .mirror).blob(
                descriptor, repository: repository, to: .file(file)
            ) { bytes in
                growth.advance(to: bytes)
                progress.note(bytes)
            }
        case .layout(let path):
            try await pool.run { () throws(any Error) in try BlobFetcher.copy(descriptor, from: path, to: file) }
        }
    }

    /// Copies a blob out of a layout, and checks size and digest as the bytes pass.
    private static func copy(_ descriptor: Descriptor, from layout: FilePath, to file: Int32) throws {
        let blob = try ImageLayout(opening: layout).openBlob(descriptor)
        let target = OwnedDescriptor(taking: fcntl(file, F_DUPFD_CLOEXEC, 0))
        // Read and hashed by another thread, while this one writes.
        let stream = HashedStream(blob, format: .none)
        var size: Int64 = 0
        do throws(Decompressor.Failure) {
            while let bytes = try stream.next() {
                size += Int64(bytes.count)
                do throws(SystemError) { try target.writeAll(bytes) } catch { throw .system(error) }
            }
        } catch {
            guard case .system(let error) = error else { throw error }
            throw error
        }
        let digest = Digest(sha256: stream.digest)
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
