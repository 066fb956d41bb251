package import SystemIO

/// A conversation with a registry that failed, told for the person who has to mend it.
///
/// No text in it holds a secret: addresses come without queries, headers and credentials never come at all.
package struct RegistryError: Error, Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// No connection, or one that broke.
        case connection(ConnectionFailure)
        /// An answer with a status that ends the operation.
        case status(Int)
        /// The registry wants other credentials, or they could not be found out.
        case credentials
        /// Nothing that could give credentials is configured.
        case noCredentials
        /// The bytes are not those that were asked for.
        case content
        /// An answer that does not follow the specification.
        case answer
        /// The registry named an address that is not safe to use.
        case address
        /// A configuration file or setting that cannot be used.
        case configuration
        /// Reading or writing the builder's own files failed.
        case file(SystemError)
        case cancelled
    }

    /// What broke a connection.
    package enum ConnectionFailure: Sendable, Hashable {
        case unknownHost, unknownProxy, refused, timedOut, certificate, notTLS, tls, lost, tooLarge, other
    }

    package let kind: Kind
    /// What was being done: `GET https://registry/v2/app/manifests/1`.
    package let request: String?
    /// The error codes of the registry's answer, as `MANIFEST_UNKNOWN`.
    package let codes: [String]
    /// Why it failed, in one sentence without a full stop.
    package let message: String
    /// What to do about it.
    package var hint: String?
    /// Whether the same request may succeed a little later.
    package var isTemporary: Bool
    /// How long the server asked us to wait.
    package var retryAfter: Duration?

    package init(
        _ kind: Kind, request: String? = nil, codes: [String] = [], message: String, hint: String? = nil,
        isTemporary: Bool = false, retryAfter: Duration? = nil
    ) {
        self.kind = kind
        self.request = request
        self.codes = codes
        self.message = message
        self.hint = hint
        self.isTemporary = isTemporary
        self.retryAfter = retryAfter
    }

    /// The HTTP status, when an answer was the reason.
    package var status: Int? {
        guard case .status(let status) = kind else { return nil }
        return status
    }

    static func cancelled() -> RegistryError {
        RegistryError(.cancelled, message: "cancelled")
    }

    /// A failure of our own files, as a full disk.
    package static func file(_ error: SystemError) -> RegistryError {
        RegistryError(.file(error), message: error.description)
    }

    /// A copy that says more; `request` is kept where one is named already.
    func with(
        request: String? = nil, message: String? = nil, hint: String? = nil, isTemporary: Bool? = nil
    ) -> RegistryError {
        RegistryError(
            kind, request: self.request ?? request, codes: codes, message: message ?? self.message,
            hint: hint ?? self.hint,
            isTemporary: isTemporary ?? self.isTemporary, retryAfter: retryAfter)
    }
}

extension RegistryError: CustomStringConvertible {
    package var description: String {
        (request.map { "\($0): " } ?? "") + message
    }
}

/// Text of a server shortened and freed of control characters, fit for an error text.
func printable(_ text: some StringProtocol, limit: Int = 300) -> String {
    var out = ""
    var count = 0
    for scalar in text.unicodeScalars {
        if count == limit { return out + "..." }
        count += 1
        let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
        // Bidirectional overrides would let a server rewrite the line they stand in.
        let isOverride = (0x202a...0x202e).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
        out.unicodeScalars.append(isControl || isOverride ? " " : scalar)
    }
    return out
}
