// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html

import FoundationEssentials
import SystemIO

/// Credentials that a container's surroundings serve: EKS Pod Identity, and ECS.
struct ContainerCredentials: Sendable {
    private let context: AWSContext

    init(_ context: AWSContext) {
        self.context = context
    }

    /// Tries, and the pause between them, as AWS's own tools have them.
    private static let attempts = 3
    private static let pause = Duration.seconds(1)

    func find() async throws(RegistryError) -> AWSCredentialChain.Finding {
        let variables = context.variables
        let address: String
        let name: String
        if let relative = variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
            name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
            address = "http://169.254.170.2\(relative.hasPrefix("/") ? "" : "/")\(relative)"
        } else if let full = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            name = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
            address = full
        } else {
            return .absent("no container credentials (AWS_CONTAINER_CREDENTIALS_FULL_URI is not set)")
        }
        guard let url = HTTPURL(parsing: address) else {
            throw RegistryError(.configuration, message: "\(name) is not an http or https address")
        }
        guard ContainerCredentials.isTrusted(url) else {
            throw RegistryError(
                .configuration,
                message: "\(name) names \(url.authority), to which credentials are not sent over plain http",
                hint: "over http it may be this machine itself, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]")
        }
        var asked: RegistryError?
        for attempt in 1...ContainerCredentials.attempts {
            do throws(RegistryError) {
                return .found(try await fetch(url, name))
            } catch {
                guard error.isTemporary, attempt < ContainerCredentials.attempts else { throw error }
                asked = error
            }
            do { try await context.pacing.sleep(ContainerCredentials.pause) } catch { throw .cancelled() }
        }
        throw asked ?? .cancelled()
    }

    /// Whether the token may go there: over https anywhere, over http only to this machine and to AWS's own addresses.
    static func isTrusted(_ url: HTTPURL) -> Bool {
        if url.scheme == .https { return true }
        if ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"].contains(url.host) { return true }
        return AddressPolicy.reach(of: url.host) == .loopback
    }

    private func fetch(_ url: HTTPURL, _ variable: String) async throws(RegistryError) -> AWSCredentials {
        var headers = [(name: "Accept", value: "application/json")]
        if let token = try await token() { headers.append((name: "Authorization", value: token)) }
        let request = HTTPRequest(.get, url, headers: headers)
        let response: HTTPResponse
        do throws(RegistryError) {
            response = try await context.container.send(request)
        } catch {
            var error = error
            error.hint = "\(variable) is set, so this source has to answer: is its agent running on this node?"
            throw error
        }
        guard response.status == 200 else {
            let failure = AWSFailure(response)
            let said = [failure.code, failure.message].filter { !$0.isEmpty }.joined(separator: ": ")
            throw RegistryError(
                .credentials, request: request.summary,
                message: "the container credentials of \(variable) were refused: \(response.status)"
                    + (said.isEmpty ? "" : " \(said)"),
                hint: "is a role associated with this service account (EKS Pod Identity), or with this task (ECS)?",
                isTemporary: RetryPolicy.isTemporary(status: response.status))
        }
        return try ServedCredentials.read(response, context, source: "the container (\(variable))")
    }

    private func token() async throws(RegistryError) -> String? {
        if let file = context.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] {
            return try await context.token(in: file, named: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        }
        guard let token = context.variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] else { return nil }
        guard token.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) else {
            throw RegistryError(
                .credentials, message: "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a character that no header may have")
        }
        return token
    }
}

/// The JSON in which containers and machines are served their credentials.
struct ServedCredentials: Decodable {
    private let code: String?
    private let message: String?
    private let accessKeyID: String?
    private let secretAccessKey: String?
    private let token: String?
    private let expiration: String?

    enum CodingKeys: String, CodingKey {
        case code = "Code"
        case message = "Message"
        case accessKeyID = "AccessKeyId"
        case secretAccessKey = "SecretAccessKey"
        case token = "Token"
        case expiration = "Expiration"
    }

    static func read(
        _ response: HTTPResponse, _ context: AWSContext, source: String
    ) throws(RegistryError) -> AWSCredentials {
        let request = "GET \(response.url)"
        guard let answer = try? JSONDecoder().decode(ServedCredentials.self, from: Data(response.body)) else {
            throw RegistryError(
                .answer, request: request, message: "\(source) answers something other than credentials")
        }
        if let code = answer.code, code != "Success" {
            let message = answer.message.map { ": \(printable($0))" } ?? ""
            throw RegistryError(
                .credentials, request: request,
                message: "\(source) has no credentials: \(printable(code, limit: 80))\(message)")
        }
        guard let id = answer.accessKeyID, !id.isEmpty, let secret = answer.secretAccessKey, !secret.isEmpty else {
            throw RegistryError(.answer, request: request, message: "the credentials of \(source) are not complete")
        }
        let end = answer.expiration.flatMap { Timestamp(rfc3339: $0) }
        return AWSCredentials(
            accessKeyID: id, secretAccessKey: secret, sessionToken: answer.token,
            expiry: end.map { context.clock.instant(of: $0, context.pacing) }, source: source)
    }
}
