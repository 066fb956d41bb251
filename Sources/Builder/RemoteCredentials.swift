import FoundationEssentials
import Registry

/// What the secrets of a build say to the servers that ADD names, under BuildKit's names.
///
/// Ids are looked up for the host of an address as it is normalised: in lower case.
struct RemoteCredentials: Sendable {
    private let secrets: BuildSecrets

    init(_ secrets: BuildSecrets) {
        self.secrets = secrets
    }

    /// `HTTP_AUTH_TOKEN_host` (sent as `Bearer`), else `HTTP_AUTH_HEADER_host` (the whole value of the header); the host
    /// without a port.
    ///
    /// - Throws: `BuildError` for a secret that cannot stand in a header.
    func authorization(for url: HTTPURL) throws -> FileClient.Authorization? {
        let host = url.host.filter { !"[]".contains($0) }
        let (token, header) = ("HTTP_AUTH_TOKEN_" + host, "HTTP_AUTH_HEADER_" + host)
        if let value = try value(token) {
            return FileClient.Authorization(header: "Bearer \(value)", origin: "the secret \(token)")
        }
        return try value(header).map { FileClient.Authorization(header: $0, origin: "the secret \(header)") }
    }

    /// `GIT_AUTH_HEADER` and `GIT_AUTH_TOKEN`, of which `GIT_AUTH_HEADER.host` and `GIT_AUTH_TOKEN.host` (with the port, if the
    /// address has one) come first. A header of the scheme Basic becomes the name and password that it holds.
    ///
    /// - Returns: `nil` if there are none, and for what is not fetched over http or https.
    /// - Throws: `BuildError` for a secret that cannot stand in a header.
    func credentials(for location: GitLocation) throws -> GitCredentials? {
        guard location.origin != nil, let host = location.host?.lowercased() else { return nil }
        for suffix in [".\(host)", ""] {
            let (header, token) = ("GIT_AUTH_HEADER" + suffix, "GIT_AUTH_TOKEN" + suffix)
            if let value = try value(header) {
                return GitCredentials(header: value, origin: "the secret \(header)")
            }
            if let value = try value(token) {
                return GitCredentials(token: value, username: nil, host: host, origin: "the secret \(token)")
            }
        }
        return nil
    }

    /// A secret as text, without the line end that files have.
    private func value(_ id: String) throws -> String? {
        guard let secret = secrets[id] else { return nil }
        var bytes = secret.bytes[...]
        while bytes.last == UInt8(ascii: "\n") || bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            throw BuildError(
                "the secret '\(id)' cannot be sent to a server: it is empty, or holds a line break or other characters that no header may have"
            )
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension GitCredentials {
    /// The value of an `Authorization` header.
    fileprivate init(header: String, origin: String) {
        let words = header.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0].lowercased() == "basic", let pair = Data(base64Encoded: String(words[1]))
        else {
            self.init(username: nil, password: nil, origin: origin)
            self.header = header
            return
        }
        let parts = String(decoding: pair, as: UTF8.self).split(
            separator: ":", maxSplits: 1, omittingEmptySubsequences: false
        ).map(String.init)
        self.init(username: parts[0], password: parts.count > 1 ? parts[1] : "", origin: origin)
    }
}
