// https://distribution.github.io/distribution/spec/auth/token/
// https://distribution.github.io/distribution/spec/auth/oauth/

import FoundationEssentials

/// A bearer token and how long it may be used.
struct Token: Sendable {
    let text: String
    let expiry: ContinuousClock.Instant
}

/// Fetches bearer tokens from wherever a registry's challenge points.
struct TokenServer: Sendable {
    let transport: any HTTPTransport
    let retrier: Retrier

    /// More than any token has (bytes).
    private static let answerLimit = 64 * 1024

    /// Asks for a token: by GET, or with OAuth2's POST when the credential is an identity token.
    ///
    /// - Throws: kind `credentials`, naming the credential's source, when the server refuses them.
    func token(
        realm: HTTPURL, service: String?, scopes: [String], credential: Credential?
    ) async throws(RegistryError) -> Token {
        try await retrier.run { _ throws(RegistryError) in
            guard case .identityToken(let refresh, let user)? = credential?.secret else {
                var header: String?
                if case .password(let user, let password)? = credential?.secret { header = basic(user, password) }
                return try read(
                    try await get(realm, service, scopes, authorization: header), method: .get, credential)
            }
            let posted = try await post(realm, service, scopes, refresh)
            guard posted.status == 404 || posted.status == 405 else {
                return try read(posted, method: .post, credential)
            }
            // This server has no OAuth2: show the token as the password that it stands for.
            let header = basic(user.isEmpty ? "<token>" : user, refresh)
            return try read(try await get(realm, service, scopes, authorization: header), method: .get, credential)
        }
    }

    private func get(
        _ realm: HTTPURL, _ service: String?, _ scopes: [String], authorization: String?
    ) async throws(RegistryError) -> HTTPResponse {
        var url = realm
        if let service { url = url.addingQuery("service", service) }
        for scope in scopes { url = url.addingQuery("scope", scope) }
        let headers = authorization.map { [(name: "Authorization", value: $0)] } ?? []
        return try await transport.sendFollowing(
            HTTPRequest(.get, url, headers: headers, sink: .bytes(limit: TokenServer.answerLimit)),
            AddressPolicy(registry: realm))
    }

    private func post(
        _ realm: HTTPURL, _ service: String?, _ scopes: [String], _ refreshToken: String
    ) async throws(RegistryError) -> HTTPResponse {
        var form = ["grant_type=refresh_token", "refresh_token=\(HTTPURL.percentEncoded(refreshToken))"]
        form.append("client_id=imgbuild")
        if let service { form.append("service=\(HTTPURL.percentEncoded(service))") }
        if !scopes.isEmpty { form.append("scope=\(HTTPURL.percentEncoded(scopes.joined(separator: " ")))") }
        // Not followed: the secret is in the body, and a redirect would carry it along.
        return try await transport.send(
            HTTPRequest(
                .post, realm, headers: [(name: "Content-Type", value: "application/x-www-form-urlencoded")],
                body: .bytes(Array(form.joined(separator: "&").utf8)),
                sink: .bytes(limit: TokenServer.answerLimit)))
    }

    private struct Answer: Decodable {
        let token: String?
        let accessToken: String?
        let expiresIn: Double?

        enum CodingKeys: String, CodingKey {
            case token
            case accessToken = "access_token"
            case expiresIn = "expires_in"
        }
    }

    private func read(
        _ response: HTTPResponse, method: HTTPRequest.Method, _ credential: Credential?
    ) throws(RegistryError) -> Token {
        guard response.status == 200 else {
            throw .unexpected(response, to: method, credential: credential?.source)
        }
        let answer = try? JSONDecoder().decode(Answer.self, from: Data(response.body))
        let candidates = [answer?.token, answer?.accessToken].compactMap { $0 }
        guard let answer, let text = candidates.first(where: { !$0.isEmpty }) else {
            throw RegistryError(
                .answer, request: "\(method.rawValue) \(response.url)",
                message: "the token server's answer holds no token")
        }
        return Token(text: text, expiry: retrier.pacing.now() + TokenServer.usableLife(of: answer.expiresIn))
    }

    /// How long to use a token that lives `seconds` by its server's word: less a tenth, and less a minute if it is long-lived, so
    /// that it does not end during a request. Without a word it is a minute, as the specification says.
    static func usableLife(of seconds: Double?) -> Duration {
        // A day is longer than any build; infinities and absurd numbers end there.
        let life = min(max(seconds ?? 60, 0), 86400)
        return .seconds(life >= 120 ? min(life * 0.9, life - 60) : life * 0.9)
    }
}
