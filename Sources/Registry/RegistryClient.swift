// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md

/// Speaks to one registry.
///
/// A value that may be copied and used by many tasks at the same time; all copies share tokens, and pause together when the
/// registry asks them to. Operations are tried again as `RetryPolicy` says, so an error that comes out is final.
package struct RegistryClient: Sendable {
    /// Host and port as in references; `docker.io` for Docker Hub.
    package let registry: String
    let conversation: Conversation

    /// - Parameters:
    ///   - registry: `host` or `host:port`, as in `ImageReference.registry`.
    ///   - plainHTTP: whether this registry is to be spoken to over http, as `--insecure-registry` says. Otherwise it is https; only
    ///     a registry on this machine itself is tried over http when it does not speak TLS.
    ///   - makeRepository: makes a repository that turns out to be missing when something is pushed to it; `nil` where a missing
    ///     one is an error.
    ///   - notice: told what the user should know although nothing failed.
    package init(
        registry: String, plainHTTP: Bool = false, transport: any HTTPTransport, credentials: any CredentialProvider,
        retry: RetryPolicy = .standard, pacing: Pacing = .real, makeRepository: RepositoryMaker? = nil,
        notice: @escaping @Sendable (String) -> Void
    ) {
        self.registry = registry
        conversation = Conversation(
            registry: registry, plainHTTP: plainHTTP, transport: transport, credentials: credentials,
            retrier: Retrier(policy: retry, pacing: pacing), makeRepository: makeRepository, notice: notice)
    }

    /// Whether this is Amazon ECR, by its name.
    package var isECR: Bool { ECRHost(registry) != nil }

    /// Makes sure that the registry is there and speaks this protocol. Other operations do this by themselves.
    package func ping() async throws(RegistryError) {
        _ = try await conversation.base()
    }
}

/// Makes the repository of this name.
package typealias RepositoryMaker = @Sendable (String) async throws(RegistryError) -> Void

/// What a request may do, as token servers write it: `repository:team/app:pull,push`.
enum Scope {
    static func pull(_ repository: String) -> String { "repository:\(repository):pull" }
    static func push(_ repository: String) -> String { "repository:\(repository):pull,push" }
}

/// A request to a registry before it has an address and an authorization.
struct Exchange: Sendable {
    var method: HTTPRequest.Method
    var target: Target
    var headers: [(name: String, value: String)] = []
    var body = HTTPBody.none
    var sink = HTTPSink.bytes(limit: HTTPRequest.errorBodyLimit)
    /// The repository whose credential is used.
    var repository: String
    /// The first one counts most: some token servers look at no other.
    var scopes: [String]
    var onSent: (@Sendable (Int64) -> Void)?

    enum Target: Sendable {
        /// A path under `/v2/<repository>/`.
        case path(String)
        /// An address that the registry named and that was checked.
        case url(HTTPURL)
    }
}
