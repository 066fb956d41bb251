/// A key pair of AWS, and where it came from.
package struct AWSCredentials: Sendable, Hashable {
    package let accessKeyID: String
    let secretAccessKey: String
    /// Goes along with temporary keys.
    let sessionToken: String?
    /// When temporary keys end, on our own clock; `nil` for those that do not.
    let expiry: ContinuousClock.Instant?
    /// For people: `the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`.
    package let source: String

    init(
        accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil,
        expiry: ContinuousClock.Instant? = nil, source: String
    ) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken.flatMap { $0.isEmpty ? nil : $0 }
        self.expiry = expiry
        self.source = source
    }

    /// What no text for people may hold.
    var secrets: [String] { [secretAccessKey] + (sessionToken.map { [$0] } ?? []) }
}

/// Keys never print their secret.
extension AWSCredentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "AWS credentials from \(source)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["source": source]) }
}

/// Whom AWS takes us for.
package struct AWSIdentity: Sendable, Hashable {
    package let account: String
    /// `arn:aws:sts::123456789012:assumed-role/builder/...`
    package let arn: String
}
