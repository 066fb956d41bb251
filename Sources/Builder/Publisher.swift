import Layers
import OCI
import Registry
import SystemIO

/// Brings an image to its destinations: blobs as soon as they exist, the manifest last.
struct Publisher: Sendable {
    let destinations: [ImageReference]
    let blobs: BlobFetcher
    let registries: Registries
    let report: EventSink

    /// Blobs on their way at the same time.
    private static let width = 4

    private struct Repository: Hashable {
        let registry: String
        let name: String
    }

    /// The destinations' repositories, each once: tags of one repository share its blobs.
    private var repositories: [Repository] {
        destinations.reduce(into: []) { found, destination in
            let repository = Repository(registry: destination.registry, name: destination.repository)
            if !found.contains(repository) { found.append(repository) }
        }
    }

    /// Uploads layers until the stream ends. The first failure is thrown, the rest is cancelled.
    func publish(layers: AsyncStream<StoredLayer>) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var running = 0
            var seen: Set<Digest> = []
            for await stored in layers where seen.insert(stored.layer.descriptor.digest).inserted {
                for repository in repositories {
                    if running == Publisher.width {
                        try await group.next()
                        running -= 1
                    }
                    group.addTask { try await publish(stored, to: repository) }
                    running += 1
                }
            }
            try await group.waitForAll()
        }
    }

    private func publish(_ stored: StoredLayer, to repository: Repository) async throws {
        let client = registries.client(for: repository.registry)
        let descriptor = stored.layer.descriptor
        let place = "\(repository.registry)/\(repository.name)"
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
        let sent = try await client.uploadBlob(
            descriptor, repository: repository.name, source: .file(blobs.store.path(of: descriptor)), session: session)
        report(.pushed(descriptor, to: place, how: sent ? .uploaded : .present))
    }

    /// Stores config and manifest at every destination. All layers must be there.
    func finish(_ image: BuiltImage) async throws {
        for repository in repositories {
            let client = registries.client(for: repository.registry)
            try await client.uploadBlob(
                image.manifest.config, repository: repository.name, source: .bytes(image.configBytes))
        }
        for destination in destinations {
            let client = registries.client(for: destination.registry)
            try await client.putManifest(
                image.manifestBytes, mediaType: image.descriptor.mediaType, repository: destination.repository,
                reference: destination.manifestName)
            report(.published(reference: destination.description, digest: image.descriptor.digest))
        }
    }
}
