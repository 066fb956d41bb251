// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

import OCI
import SystemIO

/// Signs requests to AWS with Signature Version 4.
///
/// libcurl has a signer, too; the one in Debian 12 (7.88.1) signs wrongly when header names share a prefix or a query is not
/// sorted, and takes no time but its own, so that a wrong clock cannot be made up for.
struct RequestSigner: Sendable {
    let credentials: AWSCredentials
    let region: String
    /// The name that signatures use, as `ecr`, `ecr-public`, `s3`, `sts`.
    let service: String

    /// A request as it will be sent, as far as the signature covers it.
    struct Message: Sendable {
        let method: String
        /// As sent, starting with a slash.
        var path = "/"
        var query: [(name: String, value: String)] = []
        /// All of them are signed; `Host` and `X-Amz-Date` must be among them, and the server must get the very same values.
        let headers: [(name: String, value: String)]
        let body: [UInt8]
    }

    /// The value of the header `Authorization`.
    ///
    /// - Parameter date: the value of `X-Amz-Date`, as `20260313T200304Z`.
    func authorization(for message: Message, date: String) -> String {
        let headers = RequestSigner.canonicalHeaders(message.headers)
        let names = headers.map(\.name).joined(separator: ";")
        let canonical = [
            message.method, canonicalPath(message.path), RequestSigner.canonicalQuery(message.query),
            headers.map { "\($0.name):\($0.value)\n" }.joined(), names, Digest(sha256: SHA256.hash(message.body)).hex,
        ].joined(separator: "\n")
        let day = String(date.prefix(8))
        let scope = "\(day)/\(region)/\(service)/aws4_request"
        let text = ["AWS4-HMAC-SHA256", date, scope, Digest(sha256: SHA256.hash(Array(canonical.utf8))).hex].joined(
            separator: "\n")
        var key = Array("AWS4\(credentials.secretAccessKey)".utf8)
        for part in [day, region, service, "aws4_request"] {
            key = SHA256.authenticate(Array(part.utf8), key: key)
        }
        let signature = Digest(sha256: SHA256.authenticate(Array(text.utf8), key: key)).hex
        return "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(names), "
            + "Signature=\(signature)"
    }

    /// The value of `X-Amz-Date`.
    static func date(_ time: Timestamp) -> String {
        time.rfc3339.filter { $0 != "-" && $0 != ":" }
    }

    /// Names in lower case and sorted by their bytes; values without blanks around them, and with single blanks inside.
    private static func canonicalHeaders(
        _ headers: [(name: String, value: String)]
    ) -> [(name: String, value: String)] {
        let lowered = headers.map { (name: $0.name.lowercased(), value: collapsed($0.value)) }
        return lowered.sorted { a, b in a.name.utf8.lexicographicallyPrecedes(b.name.utf8) }
    }

    private static func collapsed(_ value: String) -> String {
        value.split(separator: " ").joined(separator: " ")
    }

    /// Each segment encoded once more than it is sent, as all services but S3 want it.
    private func canonicalPath(_ path: String) -> String {
        guard service != AWSService.s3.signingName else { return path }
        return path.split(separator: "/", omittingEmptySubsequences: false).map {
            HTTPURL.percentEncoded(String($0))
        }.joined(separator: "/")
    }

    private static func canonicalQuery(_ query: [(name: String, value: String)]) -> String {
        let pairs = query.map { (HTTPURL.percentEncoded($0.name), HTTPURL.percentEncoded($0.value)) }
        return pairs.sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}
