import Layers
import OCI
import Registry
import SystemIO

/// Brings an image to its destinations: blobs as soon as they exist, the manifest last.
struct Publisher: Sendable {
    let destinations: [ImageReference]
    let blobs: BlobFetcher
    let registries: Registries
    /// Whether a tag that its registry refuses to move is a warning in place of a failure.
    let ignoresImmutableTags: Bool
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
        let client = registries.client(for: repository.registry, to: .push)
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
    ///
    /// A destination that fails does not keep the others from being tried: which of them have the image afterwards is told by the events,
    /// and by the error, which names every one that has not.
    func finish(_ image: BuiltImage) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for repository in repositories {
                group.addTask {
                    try await registries.client(for: repository.registry, to: .push).uploadBlob(
                        image.manifest.config, repository: repository.name, source: .bytes(image.configBytes))
                }
            }
            try await group.waitForAll()
        }
        let failures = await withTaskGroup(of: (Int, any Error)?.self) { group in
            for (index, destination) in destinations.enumerated() {
                group.addTask {
                    do {
                        try await publish(image, at: destination)
                        return nil
                    } catch {
                        return (index, error)
                    }
                }
            }
            var failures: [(Int, any Error)] = []
            for await case let failure? in group { failures.append(failure) }
            return failures.sorted { $0.0 < $1.0 }
        }
        guard let first = failures.first else { return }
        guard destinations.count > 1 else { throw first.1 }
        let reasons = failures.map { "\(destinations[$0.0]): \(BuildError($0.1, doing: "not pushed").message)" }
        throw BuildError(
            "the image could not be pushed to \(failures.count) of \(destinations.count) destinations: "
                + reasons.joined(separator: "; "),
            hint: BuildError(first.1, doing: "").hint)
    }

    private func publish(_ image: BuiltImage, at destination: ImageReference) async throws {
        do throws(RegistryError) {
            try await put(image, at: destination)
        } catch {
            guard error.isOfMissingBlob else {
                guard ignoresImmutableTags, error.isImmutableTag else { throw error }
                return report(.warning("\(destination) keeps the image that it has: \(error)"))
            }
            try await complete(image, at: destination)
            try await put(image, at: destination)
        }
        report(.published(reference: destination.description, digest: image.descriptor.digest))
    }

    private func put(_ image: BuiltImage, at destination: ImageReference) async throws(RegistryError) {
        try await registries.client(for: destination.registry, to: .push).putManifest(
            image.manifestBytes, mediaType: image.descriptor.mediaType, repository: destination.repository,
            reference: destination.manifestName)
    }

    /// Looks for each blob of an image once more, and sends what is missing.
    ///
    /// A registry may have lost a blob that it took, to a cleaning at the wrong moment, or be many machines that do not know at
    /// once what one of them was given.
    private func complete(_ image: BuiltImage, at destination: ImageReference) async throws {
        let repository = Repository(registry: destination.registry, name: destination.repository)
        for layer in image.layers { try await publish(layer, to: repository) }
        try await registries.client(for: repository.registry, to: .push).uploadBlob(
            image.manifest.config, repository: repository.name, source: .bytes(image.configBytes))
        // Time for the machines to hear of each other.
        try await Task.sleep(for: .seconds(1))
    }
}
