import OCI
import SystemIO
import Testing

@testable import Registry

@Suite("authentication")
struct AuthenticationTests {
    /// A registry that wants `Bearer <good>` and hands out tokens at /token, all on one port.
    private func registry(
        token: @escaping @Sendable (LoopbackServer.Request, Int) -> LoopbackServer.Reply,
        accepts: @escaping @Sendable (String) -> Bool = { $0 == "Bearer good" }, challenge: String? = nil
    ) throws -> LoopbackServer {
        try LoopbackServer { request, before in
            if request.path == "/token" { return token(request, before) }
            guard accepts(request.headers["authorization"] ?? "") else {
                let text = challenge ?? #"Bearer realm="/token",service="reg",scope="repository:r:pull""#
                return .answer(401, ["WWW-Authenticate": text])
            }
            switch request.method {
            case "HEAD": return .answer(404)
            case "POST": return .answer(202, ["Location": "/upload"])
            case "PUT": return .answer(201)
            default: return .text(200, #"{"schemaVersion":2,"config":{},"layers":[]}"#)
            }
        }
    }

    private func pull(_ server: LoopbackServer, _ credentials: FixedCredentials = .none) async throws {
        let reference = ImageReference(registry: server.authority, repository: "r", tag: "1")
        _ = try await client(server.authority, credentials: credentials).manifest(of: reference)
    }

    @Test("a token is fetched with the password, for the service and scope, and kept")
    func bearer() async throws {
        let server = try registry { _, _ in .text(200, #"{"access_token":"good","expires_in":300}"#) }
        let client = client(server.authority, credentials: .password("u", "p"))
        let reference = ImageReference(registry: server.authority, repository: "r", tag: "1")
        _ = try await client.manifest(of: reference)
        _ = try await client.manifest(of: reference)
        let asked = server.requests.filter { $0.path == "/token" }
        #expect(asked.map(\.target) == ["/token?service=reg&scope=repository%3Ar%3Apull"])
        #expect(asked.first?.headers["authorization"] == "Basic dTpw")
    }

    @Test("many workers that need a token at the same time fetch one")
    func singleFlight() async throws {
        let server = try registry { _, _ in .text(200, #"{"token":"good","expires_in":300}"#) }
        let client = client(server.authority)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for tag in 0..<8 {
                let reference = ImageReference(registry: server.authority, repository: "r", tag: "\(tag)")
                group.addTask { _ = try await client.manifest(of: reference) }
            }
            try await group.waitForAll()
        }
        #expect(server.count("GET", "/token") == 1)
        #expect(server.requests.filter { $0.path == "/v2/" }.count == 1)
    }

    @Test("a token without a life of its own is not used again")
    func expired() async throws {
        let server = try registry { _, _ in .text(200, #"{"token":"good","expires_in":-120}"#) }
        let client = client(server.authority)
        for tag in ["1", "2"] {
            _ = try await client.manifest(of: ImageReference(registry: server.authority, repository: "r", tag: tag))
        }
        #expect(server.count("GET", "/token") == 2)
    }

    @Test("an identity token is posted, not shown as a password")
    func identityToken() async throws {
        let server = try registry { request, _ in
            request.method == "POST" ? .text(200, #"{"access_token":"good"}"#) : .answer(401)
        }
        try await pull(
            server, FixedCredentials(credential: Credential(.identityToken("ref&1", user: ""), source: .named("x"))))
        let form = server.requests.first { $0.path == "/token" }.map { String(decoding: $0.body, as: UTF8.self) }
        #expect(
            form
                == "grant_type=refresh_token&refresh_token=ref%261&client_id=imgbuild&service=reg&scope=repository%3Ar%3Apull"
        )
    }

    @Test("a token server without POST gets the identity token by GET", arguments: [404, 405])
    func identityTokenByGet(status: Int) async throws {
        let server = try registry { request, _ in
            request.method == "POST" ? .answer(status) : .text(200, #"{"token":"good"}"#)
        }
        try await pull(
            server, FixedCredentials(credential: Credential(.identityToken("t", user: ""), source: .named("x"))))
    }

    @Test("a registry token is shown as it is")
    func registryToken() async throws {
        let server = try registry { _, _ in .answer(500) }
        try await pull(server, FixedCredentials(credential: Credential(.registryToken("good"), source: .named("x"))))
        #expect(server.count("GET", "/token") == 0)
    }

    @Test("a token that is refused is replaced once, and the body of the request sent again")
    func refreshWithBody() async throws {
        let body = noise(2_000_000)
        let server = try LoopbackServer { request, before in
            if request.path == "/token" { return .text(200, #"{"token":"t\#(before)","expires_in":300}"#) }
            // The PUT is where the first token has ended.
            let isRefused =
                request.headers["authorization"] == nil
                || (request.method == "PUT" && request.headers["authorization"] == "Bearer t0")
            if isRefused {
                return .answer(401, ["WWW-Authenticate": #"Bearer realm="/token",service="s",error="invalid_token""#])
            }
            switch request.method {
            case "HEAD": return .answer(404)
            case "POST": return .answer(202, ["Location": "/upload"])
            default: return .answer(201)
            }
        }
        #expect(
            try await client(server.authority).uploadBlob(descriptor(body), repository: "r", source: .bytes(body)))
        #expect(server.count("PUT") == 2)
        #expect(server.requests.last?.body == body)
    }

    @Test("credentials that are refused again and again end after one new token")
    func alwaysRefused() async throws {
        let server = try registry(token: { _, before in .text(200, #"{"token":"bad\#(before)"}"#) })
        let error = try await failure { try await pull(server, .password("u", "hunter2")) }
        #expect(error.kind == .credentials)
        #expect(error.message.contains("/root/.docker/config.json"))
        #expect(server.count("GET", "/token") == 2)
        #expect(!"\(error)".contains("hunter2") && !"\(error)".contains("bad"))
    }

    @Test("a scope that only the registry knows is asked for, and remembered")
    func learnedScope() async throws {
        let server = try registry(
            token: { request, _ in
                .text(
                    200,
                    request.target.contains("scope=aws") ? #"{"token":"good","expires_in":300}"# : #"{"token":"no"}"#)
            }, challenge: #"Bearer realm="/token",service="reg",scope="aws""#)
        let client = client(server.authority)
        for tag in ["1", "2"] {
            _ = try await client.manifest(of: ImageReference(registry: server.authority, repository: "r", tag: tag))
        }
        #expect(server.count("GET", "/token") == 2)
    }

    @Test("answers of a token server that are no tokens")
    func badTokens() async throws {
        let cases: [(reply: LoopbackServer.Reply, says: String)] = [
            (.text(200, "{}"), "no token"), (.text(200, "<html>"), "no token"),
            (.answer(200, body: noise(100_000)), "longer than"), (.text(403, #"{"message":"locked"}"#), "locked"),
        ]
        for (reply, says) in cases {
            let server = try registry(token: { _, _ in reply })
            let error = try await failure { try await pull(server) }
            #expect(error.message.contains(says), "\(error)")
        }
    }

    @Test("a token server that is down for a moment is asked again")
    func tokenServerRecovers() async throws {
        let server = try registry { _, before in
            before < 2 ? .answer(503) : .text(200, #"{"token":"good"}"#)
        }
        try await pull(server)
        #expect(server.count("GET", "/token") == 3)
    }

    @Test(
        "token servers in forbidden places are not asked",
        arguments: [
            "http://169.254.169.254/token", "http://[fe80::1]/token", "file:///etc/passwd", "http://0/token",
        ])
    func hostileRealm(realm: String) async throws {
        let server = try registry(token: { _, _ in .answer(500) }, challenge: "Bearer realm=\"\(realm)\"")
        #expect(try await failure { try await pull(server, .password("u", "p")) }.kind == .address)
    }

    @Test("a token server that passes us on to a metadata service is not followed")
    func hostileTokenServer() async throws {
        let server = try registry(token: { _, _ in
            .answer(302, ["Location": "http://169.254.169.254/latest/meta-data/iam"])
        })
        #expect(try await failure { try await pull(server, .password("u", "p")) }.kind == .address)
        #expect(server.count("GET", "/token") == 1)
    }

    @Test("which addresses a registry may name")
    func addressPolicy() throws {
        let cases: [(registry: String, url: String, isAllowed: Bool)] = [
            ("https://reg.example.com/", "https://auth.example.org/", true),
            ("https://reg.example.com/", "http://auth.example.org/", false),
            ("https://reg.example.com/", "https://127.0.0.1/", false),
            ("https://reg.example.com/", "https://2130706433/", false),
            ("https://reg.example.com/", "https://0x7f.1/", false),
            ("https://reg.example.com/", "https://localhost/", false),
            ("https://reg.example.com/", "https://10.1.2.3/", false),
            ("https://reg.example.com/", "https://[::ffff:169.254.169.254]/", false),
            ("https://reg.example.com/", "https://[fd00::1]/", false),
            ("https://reg.example.com/", "https://8.8.8.8/", true),
            ("http://reg.example.com/", "http://auth.example.org/", true),
            ("https://10.0.0.5/", "https://10.0.0.6/", true),
            ("https://10.0.0.5/", "https://127.0.0.1/", false),
            ("http://127.0.0.1:5000/", "http://127.0.0.1:5001/", true),
            ("http://127.0.0.1:5000/", "http://169.254.169.254/", false),
        ]
        for (registry, url, isAllowed) in cases {
            let policy = AddressPolicy(registry: try #require(HTTPURL(parsing: registry)))
            let objection = policy.objection(to: try #require(HTTPURL(parsing: url)))
            #expect((objection == nil) == isAllowed, "\(registry) -> \(url)")
        }
    }

    @Test(
        "a token is used for less than its life",
        arguments: [(nil, 54), (60, 54), (300, 240), (3600, 3240), (-5, 0), (1e300, 77760)] as [(Double?, Int)])
    func life(seconds: Double?, used: Int) {
        #expect(TokenServer.usableLife(of: seconds) == .seconds(used))
    }
}
