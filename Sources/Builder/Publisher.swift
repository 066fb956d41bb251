import Layers
import OCI
import Registry
import SystemIO

/// Brings an image that is being built to its destinations: blobs as soon as they exist, the manifest last.
struct Publisher: Sendable {
    let destinations: Destinations
    let blobs: BlobFetcher

    /// Blobs on their way at the same time.
    static let width = 4

    private var report: EventSink { destinations.report }

    /// Uploads layers until the stream ends. The first failure is thrown, the rest is cancelled.
    func publish(layers: AsyncStream<StoredLayer>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var running = 0
            var seen: Set<Digest> = []
            for await stored in layers where seen.insert(stored.layer.descriptor.digest).inserted {
                for repository in destinations.repositories {
                    if running == Publisher.width {
                        try await group.next()
                        running -= 1
                    }
                    group.addTask {
                        do { try await publish(stored, to: repository) } catch {
                            // The step is done again, and its layer comes by once more.
                            guard blobs.cached.isLost(stored.layer.descriptor.digest) else { throw error }
                        }
                    }
                    running += 1
                }
            }
            try await group.waitForAll()
        }
    }

    private func publish(_ stored: StoredLayer, to repository: Destinations.Repository) async throws {
        let client = destinations.client(for: repository)
        let descriptor = stored.layer.descriptor
        let place = repository.description
        guard try await !client.blobExists(descriptor.digest, repository: repository.name) else {
            return report(.pushed(descriptor, to: place, how: .present))
        }
        var session: UploadSession?
        if case .registry(let registry, let source) = stored.origin, registry == repository.registry,
            source != repository.name
        {
            switch try await client.mountBlob(descriptor.digest, from: source, to: repository.name) {
            case .mounted: return report(.pushed(descriptor, to: place, how: .mounted))
            case .session(let opened): session = opened
            case .declined: break
            }
        }
        try await blobs.fetch(stored)
        let progress = TransferProgress(of: descriptor, .to(place), report: report)
        let sent = try await client.uploadBlob(
            descriptor, repository: repository.name, source: .file(blobs.store.path(of: descriptor)), session: session,
            onSent: progress.note)
        report(.pushed(descriptor, to: place, how: sent ? .uploaded : .present))
    }

    /// Stores config and manifest at every destination. All layers must have been published.
    func finish(_ image: BuiltImage) async throws {
        let document = Destinations.Document(descriptor: image.descriptor, bytes: image.manifestBytes)
        try await destinations.publish([document]) { repository, isSecondTry in
            if isSecondTry { for layer in image.layers { try await publish(layer, to: repository) } }
            try await destinations.client(for: repository).uploadBlob(
                image.manifest.config, repository: repository.name, source: .bytes(image.configBytes))
        }
    }
}
