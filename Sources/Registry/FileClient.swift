// https://www.rfc-editor.org/rfc/rfc9110

package import OCI
package import SystemIO

/// Fetches files from addresses that a user named: with the patience that registries get, without their tokens.
package struct FileClient: Sendable {
    private let transport: any HTTPTransport
    private let policy: RetryPolicy
    private let pacing: Pacing

    package init(transport: any HTTPTransport, retry: RetryPolicy = .standard, pacing: Pacing = .real) {
        self.transport = transport
        policy = retry
        self.pacing = pacing
    }

    /// What is sent as `Authorization`. No description shows it.
    package struct Authorization: Sendable, CustomStringConvertible {
        fileprivate let header: String
        /// Where it is from, for messages: "the user information in the address".
        package let origin: String

        /// - Parameter header: the scheme and what belongs to it: printable ASCII, which the caller has seen to.
        package init(header: String, origin: String) {
            self.header = header
            self.origin = origin
        }

        /// HTTP Basic.
        package init(user: String, password: String, origin: String) {
            self.init(header: basic(user, password), origin: origin)
        }

        package var description: String { "an authorization from \(origin)" }
    }

    /// What was fetched.
    package struct File: Sendable, Hashable {
        /// Of all its bytes.
        package let digest: Digest
        /// In bytes.
        package let size: Int64
        /// What the server says, if it says something that is a time.
        package let lastModified: Timestamp?
    }

    /// Writes what is at `url` to an open file, from its start.
    ///
    /// The address itself may be any, since the user named it; where servers redirect to has to pass `AddressPolicy`. A
    /// transfer that breaks goes on where it broke if the server names the version of the file (a strong ETag), and starts
    /// again otherwise. After a failure the file holds an unknown part.
    ///
    /// - Parameters:
    ///   - authorization: sent to the origin of `url`, and to no other that a redirect leads to.
    ///   - descriptor: stays the caller's and has to be open until this returns. Its file offset is not used.
    /// - Throws: `RegistryError`, final: it was tried again as the policy says.
    package func fetch(
        _ url: HTTPURL, authorization: Authorization? = nil, to descriptor: Int32
    ) async throws(RegistryError) -> File {
        let retrier = Retrier(policy: policy, pacing: pacing)
        let receiver = FileReceiver(.file(descriptor))
        var start = pacing.now()
        var attempt = 1
        var mark: Int64 = 0
        while true {
            do throws(RegistryError) {
                return try await fetchRest(url, authorization, receiver)
            } catch {
                // Only bytes that need not come again are progress.
                if receiver.version != nil, receiver.received - mark >= FileClient.progress {
                    start = pacing.now()
                    attempt = 1
                    mark = receiver.received
                }
                try await retrier.recover(from: FileClient.explained(error), attempt: attempt, since: start)
                attempt += 1
            }
        }
    }

    /// A try that brought this much is not counted against the limit of tries (bytes).
    private static let progress: Int64 = 1024 * 1024

    private func fetchRest(
        _ url: HTTPURL, _ authorization: Authorization?, _ receiver: FileReceiver
    ) async throws(RegistryError) -> File {
        var request = HTTPRequest(.get, url, sink: .receiver(receiver))
        if let authorization { request.headers.append((name: "Authorization", value: authorization.header)) }
        request.headers += receiver.startTry()
        // The policy speaks of a registry and where it may send us; here the user's server is in its place.
        let response = try await transport.sendFollowing(request, AddressPolicy(registry: url))
        switch response.status {
        case 200, 206: return try receiver.finish(response)
        case 416 where receiver.received > 0:
            // The file became shorter meanwhile: all of it is asked for again.
            receiver.version = nil
            throw RegistryError(
                .connection(.lost), request: "GET \(response.url)", message: "the file changed while it was fetched",
                isTemporary: true)
        default:
            throw FileClient.refusal(response, authorization: response.url.origin == url.origin ? authorization : nil)
        }
    }

    private static func refusal(_ response: HTTPResponse, authorization: Authorization?) -> RegistryError {
        let name = RegistryError.reasonPhrases[response.status].map { " \($0)" } ?? ""
        let hint: String? =
            switch response.status {
            case 401, 403:
                authorization.map { "the server refused \($0.origin)" } ?? "the server wants credentials, and got none"
            case 404, 410: "check the address"
            case 407: "the proxy wants credentials: give them in the proxy address"
            default: nil
            }
        return RegistryError(
            .status(response.status), request: "GET \(response.url)",
            message: "the server answered \(response.status)\(name)", hint: hint,
            isTemporary: RetryPolicy.isTemporary(status: response.status), retryAfter: response.retryAfter)
    }

    /// The same failure without advice that only helps with registries.
    private static func explained(_ error: RegistryError) -> RegistryError {
        var error = error
        switch error.kind {
        case .connection(.unknownHost): error.hint = "check the spelling of the host, and the DNS of this machine"
        case .connection(.refused): error.hint = "is a server listening there?"
        case .connection(.certificate):
            error.hint = "if its authority is one of your own, name a bundle that has it with SSL_CERT_FILE"
        case .connection(.notTLS): error.hint = "if the server speaks plain http, write http://"
        case .connection(.tls): error.hint = nil
        case .address: error.hint = "if that is where the file is, name that address itself"
        default: break
        }
        return error
    }
}

/// Takes a file's bytes, hashes them, and passes them on.
///
/// @unchecked: one transfer at a time uses it, and the `await` between two transfers orders their accesses.
private final class FileReceiver: HTTPReceiver, @unchecked Sendable {
    private let destination: BlobDestination
    private var hash = SHA256()
    /// Bytes that were hashed and passed on.
    private(set) var received: Int64 = 0
    /// The strong ETag of what was received; `nil` where a transfer cannot go on.
    var version: String?
    private var isRangeAsked = false
    private var hasBegun = false
    /// The length of the whole file, once a server said it.
    private var total: Int64?

    init(_ destination: BlobDestination) {
        self.destination = destination
    }

    /// Gets ready for a request, and returns the headers that ask for what is missing.
    func startTry() -> [(name: String, value: String)] {
        hasBegun = false
        isRangeAsked = received > 0 && version != nil
        guard isRangeAsked, let version else { return [] }
        // With If-Range, a server whose file is another one by now sends all of it.
        return [(name: "Range", value: "bytes=\(received)-"), (name: "If-Range", value: version)]
    }

    func begin(_ head: HTTPHead) throws(RegistryError) {
        hasBegun = true
        guard head.status == 206 else { return try restart(head) }
        guard isRangeAsked, let range = ContentRange(head["Content-Range"] ?? ""), range.start == received else {
            throw RegistryError(.answer, message: "the server sends a part of the file that was not asked for")
        }
        total = range.total ?? total
    }

    private func restart(_ head: HTTPHead) throws(RegistryError) {
        try destination.restart?()
        hash = SHA256()
        received = 0
        total = head.contentLength
        version = head["ETag"].flatMap { $0.hasPrefix("\"") ? $0 : nil }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) throws(RegistryError) {
        try destination.write(bytes, received)
        hash.update(bytes)
        received += Int64(bytes.count)
    }

    /// Ends the file with the answer that brought its last bytes.
    func finish(_ response: HTTPResponse) throws(RegistryError) -> FileClient.File {
        // An answer without a body never comes to `begin`.
        if !hasBegun { try begin(response.head) }
        if let total, total != received {
            throw RegistryError(
                .connection(.lost), request: "GET \(response.url)",
                message: "the file ended after \(received) of \(total) bytes", isTemporary: true)
        }
        var finished = SHA256()
        swap(&finished, &hash)
        return FileClient.File(
            digest: Digest(sha256: finished.finish()), size: received,
            lastModified: response.head["Last-Modified"].flatMap(HTTPDate.parse))
    }
}
