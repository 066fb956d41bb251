import Synchronization

/// What all operations on a registry share: its address, its tokens, its patience.
final class Conversation: Sendable {
    let registry: String
    let retrier: Retrier
    private let plainHTTP: Bool
    private let transport: any HTTPTransport
    private let authenticator: Authenticator
    private let bases = AnswerCache<String, HTTPURL>()
    private let notice: @Sendable (String) -> Void
    private let said = Mutex<Set<String>>([])
    private let makeRepository: RepositoryMaker?
    private let madeRepositories = AnswerCache<String, Bool>()

    init(
        registry: String, plainHTTP: Bool, transport: any HTTPTransport, credentials: any CredentialProvider,
        retrier: Retrier, makeRepository: RepositoryMaker?, notice: @escaping @Sendable (String) -> Void
    ) {
        self.registry = registry
        self.plainHTTP = plainHTTP
        self.transport = transport
        self.retrier = retrier
        self.makeRepository = makeRepository
        self.notice = notice
        authenticator = Authenticator(
            registry: registry, credentials: credentials,
            tokens: TokenServer(transport: transport, retrier: retrier), pacing: retrier.pacing)
    }

    /// Makes a repository that does not exist, if that is wanted; once, however many layers find it missing.
    ///
    /// - Returns: false when it is not wanted.
    func makeMissingRepository(_ repository: String) async throws(RegistryError) -> Bool {
        guard let makeRepository else { return false }
        return try await madeRepositories.value(for: repository) { () throws(RegistryError) in
            try await makeRepository(repository)
            return true
        }
    }

    /// Tells the user something once.
    func say(_ text: String) {
        // A registry may send a different text each time.
        let isNew = said.withLock { $0.count < 100 && $0.insert(text).inserted }
        if isNew { notice(text) }
    }

    /// The address of the registry, found out by one ping, which also tells how to authenticate.
    func base() async throws(RegistryError) -> HTTPURL {
        try await bases.value(for: registry) { () throws(RegistryError) in
            // Docker Hub's name in references is not where its registry is.
            let authority = registry == "docker.io" ? "registry-1.docker.io" : registry
            guard let https = HTTPURL(scheme: .https, authority: authority, target: "/v2/"),
                let http = HTTPURL(scheme: .http, authority: authority, target: "/v2/")
            else {
                throw RegistryError(.configuration, message: "'\(printable(registry))' is not the host of a registry")
            }
            return try await retrier.run { _ throws(RegistryError) in
                if plainHTTP { return try await ping(http) }
                guard AddressPolicy.reach(of: https.host) == .loopback else { return try await ping(https) }
                do throws(RegistryError) {
                    return try await ping(https)
                } catch {
                    switch error.kind {
                    case .connection(.notTLS), .connection(.refused), .connection(.lost), .connection(.tls):
                        return try await plainPing(http, after: error)
                    default: throw error
                    }
                }
            }
        }
    }

    /// Tries plain HTTP where TLS did not work. A server that says it speaks TLS makes the first failure the one that counts.
    private func plainPing(_ url: HTTPURL, after failure: RegistryError) async throws(RegistryError) -> HTTPURL {
        do throws(RegistryError) {
            return try await ping(url)
        } catch {
            throw error.status == 400 && error.message.contains("HTTPS") ? failure : error
        }
    }

    private func ping(_ url: HTTPURL) async throws(RegistryError) -> HTTPURL {
        let response = try await transport.sendFollowing(HTTPRequest(.get, url), AddressPolicy(registry: url))
        switch response.status {
        case 200: break
        case 401:
            // The challenge of another host, after a redirect, is not ours.
            guard response.url.origin == url.origin else { throw .unexpected(response, to: .get) }
            try authenticator.learn(from: response, base: url)
        // Some registries refuse the ping and serve everything else.
        case 403, 404: break
        default: throw .unexpected(response, to: .get)
        }
        return url
    }

    /// Sends once, with a second try only for credentials that were refused.
    ///
    /// - Parameter expecting: the statuses that are answers; any other is thrown as an error.
    func send(_ exchange: Exchange, expecting: Set<Int>) async throws(RegistryError) -> HTTPResponse {
        let base = try await base()
        let policy = AddressPolicy(registry: base)
        let url: HTTPURL
        switch exchange.target {
        case .url(let named): url = named
        case .path(let path):
            guard let made = base.resolving("/v2/\(exchange.repository)/\(path)") else {
                throw RegistryError(
                    .configuration, message: "'\(printable(exchange.repository))' cannot stand in an address")
            }
            url = made
        }
        var request = HTTPRequest(
            exchange.method, url, headers: exchange.headers, body: exchange.body, sink: exchange.sink,
            onSent: exchange.onSent)
        let isHome = url.origin == base.origin
        var authorization: Authenticator.Authorization?
        if isHome {
            authorization = try await authenticator.authorization(
                for: exchange.scopes, repository: exchange.repository)
        }
        if let header = authorization?.header { request.headers.append((name: "Authorization", value: header)) }
        var response = try await transport.sendFollowing(request, policy)
        if isHome, response.url.origin == base.origin, authenticator.isRefusal(response) {
            if response.status == 401 {
                try authenticator.learn(from: response, base: base, scopes: exchange.scopes)
            }
            let renewed = try await authenticator.authorization(
                for: exchange.scopes, repository: exchange.repository, rejected: authorization?.header)
            if let renewed, renewed.header != authorization?.header {
                authorization = renewed
                request.headers.removeAll { $0.name == "Authorization" }
                request.headers.append((name: "Authorization", value: renewed.header))
                response = try await transport.sendFollowing(request, policy)
            }
        }
        for warning in response.head.all("Warning") { passOn(warning) }
        if expecting.contains(response.status) { return response }
        let isForeign = response.url.origin != base.origin
        var error = RegistryError.unexpected(
            response, to: exchange.method, credential: isForeign ? nil : authorization?.source)
        if !isForeign, let host = ECRHost(registry) {
            error = error.explained(by: host, method: exchange.method, exchange.repository, authorization?.source)
        }
        // A storage address expires; the registry gives a new one to the next try.
        let isExpired = isForeign && exchange.method == .get && [401, 403].contains(response.status)
        throw isExpired ? error.with(isTemporary: true) : error
    }

    /// Sends, and tries again as the policy says.
    func sendPatiently(_ exchange: Exchange, expecting: Set<Int>) async throws(RegistryError) -> HTTPResponse {
        try await retrier.run { _ throws(RegistryError) in try await send(exchange, expecting: expecting) }
    }

    /// Passes on `299 - "text"`. https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#warnings
    private func passOn(_ warning: String) {
        guard warning.hasPrefix("299 "), let open = warning.firstIndex(of: "\""),
            let close = warning.lastIndex(of: "\""), open < close
        else { return }
        say("registry \(registry) says: \(printable(warning[warning.index(after: open)..<close]))")
    }
}
