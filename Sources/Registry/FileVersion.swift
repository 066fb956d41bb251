// https://www.rfc-editor.org/rfc/rfc9110#section-8.8

import SystemIO

/// By which a server tells one version of a file from another, byte for byte.
///
/// A document: it is kept with what the file was.
package struct FileVersion: Sendable, Hashable, Codable {
    /// A strong one.
    let etag: String?
    let lastModified: String?

    /// Seconds after which a time of modification tells versions apart for sure (RFC 9110, 8.8.2.2): a file that changes
    /// twice in a second has one time for both.
    private static let settling: Int64 = 60
    /// Bytes of a header that is worth keeping.
    private static let limit = 1024

    /// - Returns: `nil` for an answer that tells no version.
    init?(_ head: HTTPHead) {
        etag = head["ETag"].flatMap { $0.hasPrefix("\"") && $0.utf8.count <= FileVersion.limit ? $0 : nil }
        lastModified = head["Last-Modified"].flatMap { text in
            guard let time = HTTPDate.parse(text), let now = head["Date"].flatMap(HTTPDate.parse),
                now.seconds - time.seconds >= FileVersion.settling
            else { return nil }
            return text
        }
        if etag == nil, lastModified == nil { return nil }
    }

    /// What asks a server whether its file is another one. Where there is an ETag, it alone counts, as for servers.
    var condition: (name: String, value: String) {
        etag.map { (name: "If-None-Match", value: $0) } ?? (name: "If-Modified-Since", value: lastModified ?? "")
    }

    /// Whether an answer is of this version.
    func isThat(of head: HTTPHead) -> Bool {
        guard let version = FileVersion(head) else { return false }
        return etag.map { $0 == version.etag } ?? (lastModified == version.lastModified)
    }
}

extension FileClient {
    /// Asks a server whether what it has at `url` is still the version that was fetched before. Nothing of the file is fetched.
    ///
    /// - Returns: `false` also where the server does not say so, or cannot be asked: then the file has to be fetched.
    package func isUnchanged(
        _ url: HTTPURL, since version: FileVersion, authorization: Authorization? = nil
    ) async -> Bool {
        var request = HTTPRequest(.head, url, headers: [version.condition])
        if let authorization { request.headers.append((name: "Authorization", value: authorization.header)) }
        guard let answer = try? await transport.sendFollowing(request, AddressPolicy(registry: url)) else {
            return false
        }
        switch answer.status {
        case 304: return true
        case 200: return version.isThat(of: answer.head)
        default: return false
        }
    }
}
