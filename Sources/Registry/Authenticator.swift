// https://distribution.github.io/distribution/spec/auth/token/
// https://distribution.github.io/distribution/spec/auth/oauth/

import FoundationEssentials
import Synchronization

/// Finds the `Authorization` for requests to one registry.
final class Authenticator: Sendable {
    private let registry: String
    private let credentials: any CredentialProvider
    private let tokens: TokenServer
    private let state = Mutex(State())
    private let pacing: Pacing
    private let cache = AnswerCache<TokenKey, Token>()

    private struct State {
        var method = Method.none
        /// Scopes that the registry asked for beyond those we thought of, by those we thought of.
        var learned: [[String]: [String]] = [:]
    }

    private enum Method: Hashable, Sendable {
        case none
        case basic
        case bearer(realm: HTTPURL, service: String?)
    }

    private struct TokenKey: Hashable, Sendable {
        let realm: HTTPURL
        let service: String?
        let scopes: [String]
        let credential: Credential?
    }

    /// What goes along with a request.
    struct Authorization: Sendable {
        let header: String
        let source: CredentialSource?

        fileprivate init(_ header: String, _ credential: Credential?) {
            self.header = header
            source = credential?.source
        }
    }

    init(registry: String, credentials: any CredentialProvider, tokens: TokenServer, pacing: Pacing) {
        self.registry = registry
        self.credentials = credentials
        self.tokens = tokens
        self.pacing = pacing
    }

    /// Takes in what the registry asks for.
    ///
    /// - Parameters:
    ///   - response: an answer with status 401.
    ///   - base: the registry's own address, which decides what its token server may be.
    ///   - scopes: what the request was sent with.
    /// - Throws: kind `credentials` when nothing we know is on offer, `address` when the token server is not safe to use.
    func learn(from response: HTTPResponse, base: HTTPURL, scopes: [String] = []) throws(RegistryError) {
        let challenges = Challenge.parse(response.head.all("WWW-Authenticate"))
        let request = "GET \(response.url)"
        if let bearer = challenges.first(where: { $0.scheme == "bearer" }) {
            guard let realm = bearer.parameters["realm"], !realm.isEmpty else {
                throw RegistryError(
                    .answer, request: request, message: "the registry asks for a token and does not say from where")
            }
            let url = try AddressPolicy(registry: base).checked(
                realm, from: response.url, in: request, called: "token server (realm)")
            let asked = bearer.parameters["scope", default: ""].split(separator: " ").map(String.init)
            let extra = asked.prefix(Authenticator.scopeLimit).filter { !Authenticator.covers(scopes, $0) }
            state.withLock { state in
                state.method = .bearer(realm: url, service: bearer.parameters["service"])
                if !extra.isEmpty { state.learned[scopes] = extra }
            }
        } else if challenges.contains(where: { $0.scheme == "basic" }) {
            state.withLock { $0.method = .basic }
        } else {
            let offered = challenges.map { printable($0.scheme, limit: 30) }.joined(separator: ", ")
            throw RegistryError(
                .credentials, request: request,
                message: "the registry answers 401 and offers no way to authenticate that is known here"
                    + (offered.isEmpty ? "" : " (only \(offered))"))
        }
    }

    /// More scopes than any honest challenge names.
    private static let scopeLimit = 16

    /// Whether one of `scopes` gives at least what `asked` does.
    private static func covers(_ scopes: [String], _ asked: String) -> Bool {
        func split(_ scope: String) -> (name: Substring, actions: Set<Substring>)? {
            guard let colon = scope.lastIndex(of: ":") else { return nil }
            return (scope[..<colon], Set(scope[scope.index(after: colon)...].split(separator: ",")))
        }
        guard let wanted = split(asked) else { return scopes.contains(asked) }
        return scopes.contains { scope in
            guard let have = split(scope) else { return false }
            return have.name == wanted.name && wanted.actions.isSubset(of: have.actions)
        }
    }

    /// Whether an answer says that the credentials which went along are not, or no longer, good.
    ///
    /// ECR says it with 403 when a login has ended ("Your authorization token has expired. Reauthenticate and try again.", as
    /// JSON and as plain text); any other 403 speaks of permissions.
    func isRefusal(_ response: HTTPResponse) -> Bool {
        if response.status == 401 { return true }
        guard response.status == 403, ECRHost(registry) != nil else { return false }
        let text = String(decoding: response.body.prefix(4096), as: UTF8.self).lowercased()
        return text.contains("authorization token has expired") || text.contains("authorization token is invalid")
    }

    /// What to send with a request, or `nil` when the registry wants nothing, or nothing is known for it.
    ///
    /// - Parameter rejected: a header that was just refused and must not be used again.
    func authorization(
        for scopes: [String], repository: String, rejected: String? = nil
    ) async throws(RegistryError) -> Authorization? {
        guard state.withLock({ $0.method }) != .none else { return nil }
        let credential = try await credentials.credential(registry: registry, repository: repository)
        let first: Authorization?
        do throws(RegistryError) {
            first = try await authorization(with: credential, scopes, rejected: rejected)
        } catch {
            // A token server that refuses a credential may like its successor.
            let isRefused = error.kind == .credentials || error.status == 403
            guard let credential, isRefused, let other = try await successor(of: credential, repository) else {
                throw error
            }
            return try await authorization(with: other, scopes, rejected: rejected)
        }
        guard let credential, let first, first.header == rejected,
            let other = try await successor(of: credential, repository)
        else { return first }
        return try await authorization(with: other, scopes, rejected: rejected)
    }

    /// The credential that there is after one was refused; `nil` when it is the same.
    private func successor(
        of refused: Credential, _ repository: String
    ) async throws(RegistryError) -> Credential? {
        credentials.forget(refused, registry: registry)
        let other = try await credentials.credential(registry: registry, repository: repository)
        return other == refused ? nil : other
    }

    private func authorization(
        with credential: Credential?, _ scopes: [String], rejected: String?
    ) async throws(RegistryError) -> Authorization? {
        let (method, learned) = state.withLock { ($0.method, $0.learned[scopes] ?? []) }
        switch (method, credential?.secret) {
        case (.none, _): return nil
        case (_, .registryToken(let token)?): return Authorization("Bearer \(token)", credential)
        case (.basic, nil): return nil
        case (.basic, .password(let user, let password)?): return Authorization(basic(user, password), credential)
        case (.basic, .identityToken(let token, let user)?):
            return Authorization(basic(user.isEmpty ? "<token>" : user, token), credential)
        case (.bearer(let realm, let service), _):
            let all = scopes + learned
            let key = TokenKey(realm: realm, service: service, scopes: all.sorted(), credential: credential)
            if let rejected { cache.forget(key) { "Bearer \($0.text)" == rejected } }
            let now = pacing.now
            let token = try await cache.value(for: key, where: { $0.expiry > now() }) { () throws(RegistryError) in
                try await tokens.token(realm: realm, service: service, scopes: all, credential: credential)
            }
            return Authorization("Bearer \(token.text)", credential)
        }
    }
}

/// The header of https://www.rfc-editor.org/rfc/rfc7617
func basic(_ user: String, _ password: String) -> String {
    "Basic " + Data("\(user):\(password)".utf8).base64EncodedString()
}
