// https://www.rfc-editor.org/rfc/rfc9110

package import OCI
package import SystemIO

/// Fetches files from addresses that a user named: with the patience that registries get, without their tokens.
package struct FileClient: Sendable {
    let transport: any HTTPTransport
    private let policy: RetryPolicy
    private let pacing: Pacing

    package init(transport: any HTTPTransport, retry: RetryPolicy = .standard, pacing: Pacing = .real) {
        self.transport = transport
        policy = retry
        self.pacing = pacing
    }

    /// What is sent as `Authorization`. No description shows it.
    package struct Authorization: Sendable, CustomStringConvertible {
        let header: String
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
        /// By which the server tells whether it is still this file, if it does.
        package let version: FileVersion?
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
        let receiver = FileReceiver(.file(descriptor))
        let transfer = FileTransfer(receiver: receiver, retrier: Retrier(policy: policy, pacing: pacing))
        return try await transfer.run { () throws(RegistryError) in
            do throws(RegistryError) {
                return try await fetchRest(url, authorization, receiver)
            } catch {
                throw FileClient.explained(error)
            }
        }
    }

    private func fetchRest(
        _ url: HTTPURL, _ authorization: Authorization?, _ receiver: FileReceiver
    ) async throws(RegistryError) -> File {
        var request = HTTPRequest(.get, url, sink: .receiver(receiver))
        if let authorization { request.headers.append((name: "Authorization", value: authorization.header)) }
        request.headers += receiver.startTry()
        // The policy speaks of a registry and where it may send us; here the user's server is in its place.
        let response = try await transport.sendFollowing(request, AddressPolicy(registry: url))
        switch response.status {
        case 200, 206: return try receiver.finish(response, request: "GET \(response.url)")
        case 416 where receiver.received > 0: throw receiver.startAgain(request: "GET \(response.url)")
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
