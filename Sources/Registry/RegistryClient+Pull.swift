// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pull

package import OCI
import SystemIO

extension RegistryClient {
    /// Longest manifest (bytes); registries store no longer ones.
    private static let manifestLimit = 4 * 1024 * 1024
    /// Longest blob that is read into memory (bytes): configs, which have a few KiB.
    package static let smallBlobLimit = 8 * 1024 * 1024

    /// Fetches the manifest or index that `reference` names: by digest if it has one, else by tag.
    ///
    /// The bytes are those of the registry; their digest is computed here, and is the one asked for.
    package func manifest(of reference: ImageReference) async throws(RegistryError) -> FetchedManifest {
        try await manifest(named: reference.manifestName, digest: reference.digest, repository: reference.repository)
    }

    /// Fetches one manifest of an index.
    package func manifest(_ descriptor: Descriptor, repository: String) async throws(RegistryError) -> FetchedManifest {
        try await manifest(named: descriptor.digest.description, digest: descriptor.digest, repository: repository)
    }

    private func manifest(
        named name: String, digest: Digest?, repository: String
    ) async throws(RegistryError) -> FetchedManifest {
        let response = try await conversation.sendPatiently(
            manifestExchange(.get, name, repository), expecting: [200])
        let fetched = try FetchedManifest(
            bytes: response.body, contentType: response.head["Content-Type"], expected: digest,
            request: "GET \(response.url)")
        if let told = response.head["Docker-Content-Digest"], told != fetched.descriptor.digest.description {
            conversation.say(
                "registry \(registry) names the digest \(printable(told, limit: 80)) for \(repository):\(name), "
                    + "but the manifest it sent has \(fetched.descriptor.digest): this one is used")
        }
        return fetched
    }

    /// What a tag or digest stands for; `nil` when there is no such manifest. The digest is the registry's word.
    package func headManifest(of reference: ImageReference) async throws(RegistryError) -> Descriptor? {
        let exchange = manifestExchange(.head, reference.manifestName, reference.repository)
        // 403 and 405 are answered here, too: the GET below either works or says why not.
        let response = try await conversation.sendPatiently(exchange, expecting: [200, 403, 404, 405])
        if response.status == 404 { return nil }
        if response.status == 200, let size = response.head.contentLength,
            let digest = response.head["Docker-Content-Digest"].flatMap({ try? Digest(parsing: $0) }),
            let type = response.head["Content-Type"]?.prefix(while: { $0 != ";" }),
            reference.digest == nil || reference.digest == digest
        {
            return Descriptor(mediaType: MediaType(rawValue: String(type)), digest: digest, size: size)
        }
        do throws(RegistryError) {
            return try await manifest(of: reference).descriptor
        } catch  where error.status == 404 {
            return nil
        }
    }

    private func manifestExchange(_ method: HTTPRequest.Method, _ name: String, _ repository: String) -> Exchange {
        let accepted = MediaType.acceptedManifests.map(\.rawValue).joined(separator: ", ")
        return Exchange(
            method: method, target: .path("manifests/\(name)"), headers: [(name: "Accept", value: accepted)],
            sink: .bytes(limit: RegistryClient.manifestLimit), repository: repository,
            scopes: [Scope.pull(repository)])
    }

    /// Whether the registry has a blob. A registry that refuses to tell (403, 405) is taken to have it not.
    package func blobExists(_ digest: Digest, repository: String) async throws(RegistryError) -> Bool {
        try await blobExists(digest, repository: repository, scopes: [Scope.pull(repository)])
    }

    func blobExists(_ digest: Digest, repository: String, scopes: [String]) async throws(RegistryError) -> Bool {
        let exchange = Exchange(
            method: .head, target: .path("blobs/\(digest)"), repository: repository, scopes: scopes)
        return try await conversation.sendPatiently(exchange, expecting: [200, 403, 404, 405]).status == 200
    }

    /// Fetches a blob into memory.
    ///
    /// - Throws: kind `content` when it has more than `smallBlobLimit` bytes, or is not what the descriptor says.
    package func smallBlob(_ descriptor: Descriptor, repository: String) async throws(RegistryError) -> [UInt8] {
        guard descriptor.size <= RegistryClient.smallBlobLimit else {
            throw RegistryError(
                .content,
                message: "\(descriptor.digest) has \(descriptor.size) bytes: too many for a document of the type "
                    + printable(descriptor.mediaType.rawValue))
        }
        let memory = MemoryDestination()
        try await blob(descriptor, repository: repository, to: .memory(memory))
        return memory.take()
    }

    /// Fetches a blob, and checks size and SHA-256 as the bytes pass.
    ///
    /// After success the destination holds exactly the descriptor's bytes. After failure it holds anything: throw it away.
    /// A broken connection goes on where it broke, as often as there is progress.
    ///
    /// - Parameter onReceived: told from time to time how many bytes are there.
    package func blob(
        _ descriptor: Descriptor, repository: String, to destination: BlobDestination,
        onReceived: (@Sendable (Int64) -> Void)? = nil
    ) async throws(RegistryError) {
        let download = BlobDownload(
            descriptor: descriptor, repository: repository, conversation: conversation,
            receiver: BlobReceiver(descriptor, destination, onReceived))
        try await download.run()
    }
}
