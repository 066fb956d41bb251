// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pushing-blobs

import OCI
import SystemIO
package import SystemPackage

/// Where the bytes of an upload come from; each try reads them from the start.
package enum BlobSource: Sendable {
    case bytes([UInt8])
    /// A whole file.
    case file(FilePath)
    /// A part of an open file.
    case range(FileRange)
}

/// An upload that a registry has opened.
package struct UploadSession: Sendable {
    let location: HTTPURL

    /// Reads the address of an upload from the answer that opened or continued it.
    init(_ response: HTTPResponse, _ conversation: Conversation) async throws(RegistryError) {
        let request = "upload at \(response.url)"
        guard let location = response.head["Location"] else {
            throw RegistryError(
                .answer, request: request, message: "\(response.status) without a Location to send the bytes to")
        }
        self.location = try AddressPolicy(registry: try await conversation.base()).checked(
            location, from: response.url, in: request, called: "upload location")
    }
}

/// One blob on its way out.
struct BlobUpload: Sendable {
    let descriptor: Descriptor
    let repository: String
    let source: BlobSource
    let client: RegistryClient
    let onSent: (@Sendable (Int64) -> Void)?

    private var conversation: Conversation { client.conversation }
    private var scopes: [String] { [Scope.push(repository)] }

    func run(_ opened: UploadSession?) async throws(RegistryError) -> Bool {
        if let host = ECRHost(client.registry), descriptor.size > host.longestLayer {
            throw RegistryError(
                .content,
                message:
                    "the layer \(descriptor.digest) has \(descriptor.size) bytes; Amazon ECR takes \(host.longestLayer) at most",
                hint: "split the instruction that made it")
        }
        let body = try body()
        if opened == nil, try await isThere() { return false }
        return try await conversation.retrier.run { attempt throws(RegistryError) in
            // The answer that was lost may have been a success.
            if attempt > 1, try await isThere() { return true }
            let session: UploadSession
            if attempt == 1, let opened {
                session = opened
            } else {
                session = try await conversation.openUpload(in: repository)
            }
            do throws(RegistryError) {
                try await send(body, to: session)
            } catch  where error.isTemporary || error.kind == .cancelled {
                throw error
            } catch  where BlobUpload.isLostSession(error) {
                // The registry forgot the upload, or another process behind the same name never knew it.
                throw error.with(isTemporary: true)
            } catch {
                await conversation.abandon(session, in: repository)
                throw error
            }
            return true
        }
    }

    private func isThere() async throws(RegistryError) -> Bool {
        try await client.blobExists(descriptor.digest, repository: repository, scopes: scopes)
    }

    private func body() throws(RegistryError) -> HTTPBody {
        let count: Int64
        let body: HTTPBody
        switch source {
        case .bytes(let bytes):
            count = Int64(bytes.count)
            body = .bytes(bytes)
        case .range(let range):
            count = range.count
            body = .file(range)
        case .file(let path):
            do throws(SystemError) {
                let range = try FileRange(opening: path, count: descriptor.size)
                count = try range.descriptor.status().size
                body = .file(range)
            } catch {
                throw .file(error)
            }
        }
        guard count == descriptor.size else {
            throw RegistryError(
                .content,
                message:
                    "the blob \(descriptor.digest) is \(count) bytes long here, its descriptor says \(descriptor.size)")
        }
        return body
    }

    /// The whole blob in one PUT, which every registry is used to; in one PATCH for a registry that refuses that.
    private func send(_ body: HTTPBody, to session: UploadSession) async throws(RegistryError) {
        do throws(RegistryError) {
            try await put(body, to: session)
        } catch  where BlobUpload.refusesWholeBlobs(error) {
            let response = try await conversation.send(
                exchange(.patch, session.location, body), expecting: [200, 201, 202, 204])
            // Where nothing else is named, the upload goes on where it was.
            let next = response.head["Location"] == nil ? session : try await UploadSession(response, conversation)
            try await put(.none, to: next)
        }
    }

    private func put(_ body: HTTPBody, to session: UploadSession) async throws(RegistryError) {
        let url = session.location.addingQuery("digest", descriptor.digest.description)
        let response = try await conversation.send(
            exchange(.put, url, body), expecting: [200, 201, 202, 204])
        if let told = response.head["Docker-Content-Digest"], told != descriptor.digest.description {
            throw RegistryError(
                .content, request: "PUT \(response.url)",
                message:
                    "the registry stored the blob under the digest \(printable(told, limit: 80)), not \(descriptor.digest)"
            )
        }
        // "Accepted" is a promise, not yet a blob.
        guard response.status == 202 else { return }
        guard try await isThere() else {
            throw RegistryError(
                .answer, request: "PUT \(response.url)",
                message: "the registry accepted the blob and does not have it", isTemporary: true)
        }
    }

    private func exchange(_ method: HTTPRequest.Method, _ url: HTTPURL, _ body: HTTPBody) -> Exchange {
        Exchange(
            method: method, target: .url(url), headers: [(name: "Content-Type", value: "application/octet-stream")],
            body: body, repository: repository, scopes: scopes, onSent: onSent)
    }

    private static func isLostSession(_ error: RegistryError) -> Bool {
        // ECR, when a part of the bytes did not get there: "None of the provided layer digests match ..."
        if error.status == 400, error.message.contains("provided layer digests match") { return true }
        return error.status == 404
            && (error.codes.contains("BLOB_UPLOAD_UNKNOWN") || error.codes.contains("BLOB_UPLOAD_INVALID"))
    }

    private static func refusesWholeBlobs(_ error: RegistryError) -> Bool {
        guard let status = error.status else { return false }
        return [405, 415, 501].contains(status) || (status == 400 && error.codes == ["UNSUPPORTED"])
    }
}
