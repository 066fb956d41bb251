// https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#CoreConcepts

/// An object of Amazon S3, or of what speaks its protocol: `s3://BUCKET/KEY`.
package struct S3Object: Sendable, Hashable {
    let bucket: String
    /// As it is, not percent-encoded.
    let key: String

    /// S3's own limit (bytes).
    private static let longestKey = 1024

    /// - Throws: kind `configuration` for what names no bucket, or no object in it.
    package init(parsing text: String) throws(RegistryError) {
        func failure(_ reason: String) -> RegistryError {
            RegistryError(
                .configuration, message: "'\(printable(text))' names no object of S3: \(reason)",
                hint: "write it as s3://BUCKET/KEY, as s3://sources/app/context.tar.gz")
        }
        let scheme = "s3://"
        guard text.hasPrefix(scheme) else { throw failure("it does not begin with \(scheme)") }
        let rest = text.dropFirst(scheme.count)
        let name = rest.prefix { $0 != "/" }
        guard !name.isEmpty else { throw failure("the bucket is missing") }
        // What has been a bucket's name at any time.
        guard name.wholeMatch(of: /[A-Za-z0-9._-]{3,255}/) != nil else {
            throw failure("'\(printable(name))' cannot be the name of a bucket")
        }
        let key = rest[name.endIndex...].dropFirst()
        guard !key.isEmpty else { throw failure("the key is missing") }
        guard !key.hasSuffix("/") else { throw failure("a key that ends in '/' stands for a folder") }
        guard key.utf8.count <= S3Object.longestKey else {
            throw failure("the key is longer than \(S3Object.longestKey) bytes")
        }
        bucket = String(name)
        self.key = String(key)
    }

    /// Where the object is asked for.
    ///
    /// - Parameter isPathStyle: whether the bucket stands in the path in place of the host's name.
    func url(at endpoint: HTTPURL, isPathStyle: Bool) throws(RegistryError) -> HTTPURL {
        var base = String(endpoint.path)
        while base.last == "/" { base.removeLast() }
        let path = key.split(separator: "/", omittingEmptySubsequences: false).map {
            HTTPURL.percentEncoded(String($0))
        }.joined(separator: "/")
        let target = isPathStyle ? "\(base)/\(bucket)/\(path)" : "\(base)/\(path)"
        let authority = isPathStyle ? endpoint.authority : "\(bucket).\(endpoint.authority)"
        guard let url = HTTPURL(scheme: endpoint.scheme, authority: authority, target: target) else {
            throw RegistryError(.configuration, message: "\(self) has no address at \(endpoint)")
        }
        return url
    }

    /// Whether the bucket can be a part of a host's name that a certificate for `*.s3...` holds for: no capitals, no dots.
    var fitsIntoHost: Bool { bucket.wholeMatch(of: /[a-z0-9][a-z0-9-]{1,61}[a-z0-9]/) != nil }
}

extension S3Object: CustomStringConvertible {
    package var description: String { "s3://\(bucket)/\(printable(key))" }
}
