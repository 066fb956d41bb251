// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#push

package import OCI
import SystemIO

extension RegistryClient {
    /// What came of an attempt to mount a blob.
    package enum MountResult: Sendable {
        /// The repository has the blob now.
        case mounted
        /// Not mounted; the registry opened this upload in its place, to be given to `uploadBlob`.
        case session(UploadSession)
        /// Not mounted.
        case declined
    }

    /// Asks the registry to take a blob over from another of its repositories, without any bytes being sent.
    ///
    /// A registry that cannot, or may not for these credentials, is no error: the result says so.
    package func mountBlob(
        _ digest: Digest, from source: String, to repository: String
    ) async throws(RegistryError) -> MountResult {
        let target =
            "blobs/uploads/?mount=\(HTTPURL.percentEncoded(digest.description))"
            + "&from=\(HTTPURL.percentEncoded(source))"
        let exchange = Exchange(
            method: .post, target: .path(target), repository: repository,
            scopes: [Scope.push(repository), Scope.pull(source)])
        do throws(RegistryError) {
            let response = try await conversation.sendPatiently(exchange, expecting: [201, 202])
            if response.status == 201 { return .mounted }
            return .session(try await UploadSession(response, conversation))
        } catch {
            // Whatever is wrong with the credentials or the registry, the upload that follows says it better.
            if let status = error.status, (400...599).contains(status) { return .declined }
            switch error.kind {
            case .credentials, .answer: return .declined
            default: throw error
            }
        }
    }

    /// Puts a blob into a repository, unless it is there already.
    ///
    /// A blob goes in one request. When that breaks, the next try starts from the first byte, after a look whether the registry
    /// has the blob in spite of the lost answer.
    ///
    /// - Parameters:
    ///   - source: holds exactly the descriptor's bytes, and does not change meanwhile.
    ///   - session: what `mountBlob` left open.
    ///   - onSent: told from time to time how many bytes were sent; it starts again with each try.
    /// - Returns: whether bytes were sent; false when the registry had the blob.
    @discardableResult
    package func uploadBlob(
        _ descriptor: Descriptor, repository: String, source: BlobSource, session: UploadSession? = nil,
        onSent: (@Sendable (Int64) -> Void)? = nil
    ) async throws(RegistryError) -> Bool {
        let upload = BlobUpload(
            descriptor: descriptor, repository: repository, source: source, client: self, onSent: onSent)
        return try await upload.run(session)
    }

    /// What came of a manifest on its way into a repository.
    package enum StoreResult: Sendable {
        case stored
        /// The registry refused to move the tag, which names these very bytes already.
        case present
    }

    /// Stores a manifest or index under a tag or its digest. Everything it names has to be there already.
    ///
    /// A registry that refuses to move a tag is no error when the tag names these very bytes.
    ///
    /// - Parameters:
    ///   - mediaType: as the document itself says.
    ///   - reference: a tag, or a digest.
    @discardableResult
    package func putManifest(
        _ bytes: [UInt8], mediaType: MediaType, repository: String, reference: String
    ) async throws(RegistryError) -> StoreResult {
        let digest = Digest(sha256: SHA256.hash(bytes))
        let exchange = Exchange(
            method: .put, target: .path("manifests/\(reference)"),
            headers: [(name: "Content-Type", value: mediaType.rawValue)], body: .bytes(bytes), repository: repository,
            scopes: [Scope.push(repository)])
        do throws(RegistryError) {
            let response = try await conversation.sendPatiently(exchange, expecting: [200, 201, 202, 204])
            if let told = response.head["Docker-Content-Digest"], told != digest.description {
                throw RegistryError(
                    .content, request: "PUT \(response.url)",
                    message:
                        "the registry stored the manifest under the digest \(printable(told, limit: 80)), not \(digest)"
                )
            }
            return .stored
        } catch  where error.isImmutableTag {
            let named = ImageReference(registry: registry, repository: repository, tag: reference)
            let present = try await headManifest(of: named)?.digest
            guard present == digest else {
                throw error.with(
                    message: error.message + (present.map { "; the tag '\(reference)' is \($0), not \(digest)" } ?? ""),
                    hint: "tags of this repository cannot be moved: push under a new tag")
            }
            return .present
        }
    }

    /// Makes sure that these credentials may push to a repository: an upload is opened and given up again at once.
    ///
    /// Nothing is left at the registry, as far as it lets clients give uploads up (ECR forgets them by itself after some time).
    package func checkPush(to repository: String) async throws(RegistryError) {
        let session = try await conversation.retrier.run { _ throws(RegistryError) in
            try await conversation.openUpload(in: repository)
        }
        await conversation.abandon(session, in: repository)
    }
}

extension Conversation {
    /// Asks for an upload.
    ///
    /// A repository that does not exist is made, where that is wanted; the error that tells of it is then temporary.
    func openUpload(in repository: String) async throws(RegistryError) -> UploadSession {
        let exchange = Exchange(
            method: .post, target: .path("blobs/uploads/"), repository: repository, scopes: [Scope.push(repository)])
        do throws(RegistryError) {
            return try await UploadSession(try await send(exchange, expecting: [202]), self)
        } catch  where error.status == 404 && error.codes.contains("NAME_UNKNOWN") {
            guard try await makeMissingRepository(repository) else { throw error }
            // A registry of many machines may take a moment to know of it everywhere.
            throw error.with(isTemporary: true)
        } catch  where error.kind == .connection(.lost) && ECRHost(registry) != nil {
            throw error.with(hint: "does the repository '\(repository)' exist? ECR also hangs up where it does not")
        }
    }

    /// Lets the registry forget an upload that nobody will finish. It does so by itself one day: failures do not matter.
    func abandon(_ session: UploadSession, in repository: String) async {
        _ = try? await send(
            Exchange(
                method: .delete, target: .url(session.location), repository: repository,
                scopes: [Scope.push(repository)]),
            expecting: [200, 202, 204])
    }
}

extension RegistryError {
    /// Whether a registry refused to move a tag. ECR answers TAG_INVALID, others say it only in words.
    package var isImmutableTag: Bool {
        guard let status, [400, 403, 409, 412].contains(status) else { return false }
        return codes.contains("TAG_INVALID") || message.lowercased().contains("immutable")
    }
    /// Whether a registry misses a blob that a manifest names.
    package var isOfMissingBlob: Bool { codes.contains("MANIFEST_BLOB_UNKNOWN") || codes.contains("BLOB_UNKNOWN") }
}
