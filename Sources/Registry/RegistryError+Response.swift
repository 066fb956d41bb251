// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes

import FoundationEssentials

extension RegistryError {
    /// Explains an answer that was not hoped for.
    ///
    /// - Parameter credential: where the credentials came from that went along, if any did.
    static func unexpected(
        _ response: HTTPResponse, to method: HTTPRequest.Method, credential: CredentialSource? = nil
    ) -> RegistryError {
        let errors = SpecError.read(response.body)
        let codes = errors.map(\.code).filter { !$0.isEmpty }
        var said = errors.map(\.text).filter { !$0.isEmpty }.joined(separator: "; ")
        if errors.isEmpty { said = plainText(response) }
        let name = reasonPhrases[response.status].map { " \($0)" } ?? ""
        var message = "\(response.status)\(name)" + (said.isEmpty ? "" : ": \(said)")
        if response.status == 401 || response.status == 403 {
            let who =
                credential.map { "the credentials from \($0)" }
                ?? "a request without credentials (none were found for it)"
            message = "registry \(response.url.authority) refused \(who): \(message)"
        }
        return RegistryError(
            response.status == 401 ? .credentials : .status(response.status),
            request: "\(method.rawValue) \(response.url)", codes: codes, message: message,
            hint: hint(for: response, codes: codes, said: said, hasCredential: credential != nil),
            isTemporary: RetryPolicy.isTemporary(status: response.status), retryAfter: response.retryAfter)
    }

    private static func hint(
        for response: HTTPResponse, codes: [String], said: String, hasCredential: Bool
    ) -> String? {
        switch response.status {
        case 401 where !hasCredential:
            "add a login for \(response.url.authority) to config.json, or name a file that has one with --auth-file"
        case 400 where said.contains("HTTP request to an HTTPS server"):
            "this registry speaks https: do not list it with --insecure-registry"
        // nginx's page.
        case 400 where String(decoding: response.body, as: UTF8.self).contains("No required SSL certificate was sent"):
            "the server asks for a client certificate: give it with --registry-client-cert \(response.url.authority)=CERTIFICATE,KEY"
        case 404 where codes.contains("NAME_UNKNOWN"):
            "the repository does not exist; some registries (ECR among them) need it to be created before the first push"
        case 404 where codes.contains("MANIFEST_UNKNOWN"): "check the tag: the repository has no such image"
        case 403: "the credentials may lack the permission for this repository"
        case 405 where said.lowercased().contains("not allowed"): "the registry may be read-only"
        case 407: "the proxy wants credentials: give them in the proxy address"
        case 413: "a proxy in front of the registry limits the size of uploads"
        case 429: "the registry limits the rate of requests"
        default: nil
        }
    }

    /// The text of a body that is not the registry's JSON; HTML pages say nothing.
    private static func plainText(_ response: HTTPResponse) -> String {
        let text = String(decoding: response.body.prefix(1024), as: UTF8.self)
        let isPage = text.contains("<html") || text.contains("<!DOCTYPE") || text.contains("<HTML")
        if isPage { return "" }
        let line = text.split(whereSeparator: \.isNewline).first ?? ""
        return printable(line)
    }

    /// Names for the statuses people meet. https://www.iana.org/assignments/http-status-codes
    static let reasonPhrases = [
        400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
        407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
        416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
        503: "Service Unavailable", 504: "Gateway Timeout",
    ]
}

/// One entry of the `errors` list of a registry's answer.
struct SpecError: Decodable {
    let code: String
    let message: String

    enum CodingKeys: CodingKey {
        case code, message
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        code = printable((try? container.decode(String.self, forKey: .code)) ?? "", limit: 60)
        message = printable((try? container.decode(String.self, forKey: .message)) ?? "")
    }

    var text: String {
        code.isEmpty || message.isEmpty ? code + message : "\(code): \(message)"
    }

    private struct Answer: Decodable {
        let errors: [SpecError]
    }

    /// The errors of a body; none when it is not the registry's JSON.
    static func read(_ body: [UInt8]) -> [SpecError] {
        guard body.first == UInt8(ascii: "{") else { return [] }
        let data = Data(body)
        if let answer = try? JSONDecoder().decode(Answer.self, from: data) { return Array(answer.errors.prefix(5)) }
        // Gateways answer {"message": ...} alone.
        return (try? JSONDecoder().decode(SpecError.self, from: data)).map { [$0] } ?? []
    }
}
