import OCI
import Registry

/// The places that an image goes to.
struct Destinations: Sendable {
    let references: [ImageReference]
    let registries: Registries
    /// Whether a tag that its registry refuses to move is a warning in place of a failure.
    let ignoresImmutableTags: Bool
    let report: EventSink

    /// A repository that one or more of the destinations are tags of.
    struct Repository: Hashable, Sendable, CustomStringConvertible {
        let registry: String
        let name: String

        init(_ reference: ImageReference) {
            registry = reference.registry
            name = reference.repository
        }

        var description: String { "\(registry)/\(name)" }
    }

    /// A manifest or index as registries get it.
    struct Document: Sendable {
        let descriptor: Descriptor
        let bytes: [UInt8]
    }

    /// The destinations' repositories, each once: tags of one repository share its blobs.
    var repositories: [Repository] {
        references.reduce(into: []) { found, reference in
            let repository = Repository(reference)
            if !found.contains(repository) { found.append(repository) }
        }
    }

    func client(for repository: Repository) -> RegistryClient {
        registries.client(for: repository.registry, to: .push)
    }

    /// Stores an image at every destination, once its repository has all the blobs.
    ///
    /// A destination that fails does not keep the others from being tried: which of them have the image afterwards is told by the events,
    /// and by the error, which names every one that has not.
    ///
    /// - Parameters:
    ///   - documents: each after those that it names; the last is what the tags shall be.
    ///   - prepare: brings what is missing to a repository; asked for a second time when a registry misses a blob.
    func publish(
        _ documents: [Document],
        prepare: @escaping @Sendable (_ repository: Repository, _ isSecondTry: Bool) async throws -> Void
    ) async throws {
        let unprepared = await failures(of: repositories) { try await prepare($0, false) }
        var failed: [Int: any Error] = [:]
        for (index, reference) in references.enumerated() {
            let repository = repositories.firstIndex(of: Repository(reference))
            failed[index] = repository.flatMap { unprepared[$0] }
        }
        let ready = references.indices.filter { failed[$0] == nil }
        let unstored = await failures(of: ready) { index in
            do throws(RegistryError) { try await store(documents, at: references[index]) } catch {
                // A registry may have lost a blob that it took, to a cleaning at the wrong moment, or be many machines that do not
                // know at once what one of them was given.
                guard error.isOfMissingBlob else { throw error }
                try await prepare(Repository(references[index]), true)
                // Time for the machines to hear of each other.
                try await Task.sleep(for: .seconds(1))
                try await store(documents, at: references[index])
            }
        }
        for (place, error) in unstored { failed[ready[place]] = error }
        guard let first = failed.min(by: { $0.key < $1.key })?.value else { return }
        guard references.count > 1 else { throw first }
        let reasons = failed.sorted { $0.key < $1.key }.map { index, error in
            "\(references[index]): \(BuildError(error, doing: "not pushed").message)"
        }
        throw BuildError(
            "the image could not be pushed to \(failed.count) of \(references.count) destinations: "
                + reasons.joined(separator: "; "),
            hint: BuildError(first, doing: "").hint)
    }

    /// Does something for all elements at the same time, each to its end; the errors of those that failed, by their places.
    private func failures<Element: Sendable>(
        of elements: [Element], _ body: @escaping @Sendable (Element) async throws -> Void
    ) async -> [Int: any Error] {
        await withTaskGroup(of: (Int, any Error)?.self) { group in
            for (index, element) in elements.enumerated() {
                group.addTask {
                    do {
                        try await body(element)
                        return nil
                    } catch {
                        return (index, error)
                    }
                }
            }
            var failures: [Int: any Error] = [:]
            for await case let (index, error)? in group { failures[index] = error }
            return failures
        }
    }

    private func store(_ documents: [Document], at destination: ImageReference) async throws(RegistryError) {
        let client = registries.client(for: destination.registry, to: .push)
        guard let image = documents.last else { return }
        for child in documents.dropLast() {
            try await client.putManifest(
                child.bytes, mediaType: child.descriptor.mediaType, repository: destination.repository,
                reference: child.descriptor.digest.description)
        }
        do throws(RegistryError) {
            let result = try await client.putManifest(
                image.bytes, mediaType: image.descriptor.mediaType, repository: destination.repository,
                reference: destination.manifestName)
            if result == .present { report(.note("\(destination) cannot be moved, and is this image already")) }
        } catch {
            guard ignoresImmutableTags, error.isImmutableTag else { throw error }
            return report(.warning("\(destination) keeps the image that it has: \(error)"))
        }
        report(.published(reference: destination.description, digest: image.descriptor.digest))
    }
}
