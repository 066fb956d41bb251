import OCI
import TestSupport
import Testing

@testable import Registry

@Suite("tokens of a token server for docker-registry")
struct TokenTests {
    private static let password = FixedCredentials.password(TokenIssuer.user.name, TokenIssuer.user.password)

    private func identity(_ token: String) -> FixedCredentials {
        FixedCredentials(credential: Credential(.identityToken(token, user: ""), source: .named("a test")))
    }

    @Test("a password gets them by GET, an identity token by POST, and nobody what anybody may have")
    func ways() async throws {
        let issuer = try TokenIssuer()
        let registry = try DockerRegistry(tokens: issuer)
        let image = try SmallImage()
        try await image.push(by: client(registry.host, credentials: Self.password), to: "public/app")
        #expect(try issuer.requests() == ["GET tester repository:public/app:pull,push"])
        try await image.push(
            by: client(registry.host, credentials: identity(TokenIssuer.identityToken)), to: "team/app")
        #expect(try issuer.requests().dropFirst() == ["POST tester repository:team/app:pull,push"])
        #expect(try await image.isComplete(at: client(registry.host), "public/app"))
        #expect(try issuer.requests().last == "GET - repository:public/app:pull")
        let closed = try await failure { _ = try await image.isComplete(at: client(registry.host), "team/app") }
        #expect(closed.kind == .credentials && closed.message.contains("without credentials"), "\(closed)")
        for (wrong, source) in [
            (identity("wrong-hunter2"), "a test"),
            (FixedCredentials.password("tester", "wrong-hunter2"), "/root/.docker/config.json"),
        ] {
            let refused = try await failure {
                try await image.push(by: client(registry.host, credentials: wrong), to: "team/app")
            }
            #expect(refused.kind == .credentials && told(refused).contains(source), "\(refused)")
        }
    }

    @Test("an identity token is shown by GET where POST is not served", arguments: [404, 405])
    func noPost(status: Int) async throws {
        let issuer = try TokenIssuer(refusingPost: status)
        let registry = try DockerRegistry(tokens: issuer)
        try await SmallImage().push(
            by: client(registry.host, credentials: identity(TokenIssuer.identityToken)), to: "team/app")
        #expect(try issuer.requests() == ["GET tester repository:team/app:pull,push"])
    }

    @Test("one that ends while a layer is sent is replaced, and the layer sent from its first byte")
    func endsMeanwhile() async throws {
        let issuer = try TokenIssuer()
        let site = try FaultyRegistry(tokens: issuer)
        let challenge = #"Bearer realm="http://127.0.0.1:\#(issuer.port)/token",service="tests",error="invalid_token""#
        try site.proxy.add([
            .answer("PUT uploads", 401, headers: ["WWW-Authenticate": challenge]),
            .answer("PUT manifests", 401, headers: ["WWW-Authenticate": challenge]),
        ])
        let notes = Notes()
        let image = try SmallImage()
        try await image.push(by: client(site.proxy.host, credentials: Self.password, notes: notes), to: "r")
        #expect(try await image.isComplete(at: client(site.registry.host, credentials: Self.password), "r"))
        #expect(try issuer.requests().filter { $0.hasSuffix("pull,push") }.count == 3)
        #expect(notes.delays.isEmpty)
    }

    @Test("one that has ended, by the registry's clock, is replaced once", arguments: [1, 100])
    func ended(count: Int) async throws {
        let issuer = try TokenIssuer(ended: count)
        let registry = try DockerRegistry(tokens: issuer)
        let image = try SmallImage()
        let client = client(registry.host, credentials: Self.password)
        if count == 1 {
            try await image.push(by: client, to: "r")
        } else {
            let error = try await failure { try await image.push(by: client, to: "r") }
            #expect(error.kind == .credentials, "\(error)")
        }
        #expect(try issuer.requests().count == 2)
    }

    @Test("a mount asks for both repositories in one; where only the first counts, the blob is uploaded")
    func mount() async throws {
        for isPlain in [true, false] {
            let issuer = try TokenIssuer(mindsFirstScopeOnly: !isPlain)
            let registry = try DockerRegistry(tokens: issuer)
            let client = client(registry.host, credentials: Self.password)
            let image = try SmallImage()
            let layer = descriptor(image.layer)
            try await client.uploadBlob(layer, repository: "a", source: .bytes(image.layer))
            let result = try await client.mountBlob(layer.digest, from: "a", to: "b")
            switch result {
            case .mounted: #expect(isPlain)
            case .declined: #expect(!isPlain)
            case .session: Issue.record("docker-registry answers 401, or mounts")
            }
            try await client.uploadBlob(layer, repository: "b", source: .bytes(image.layer))
            #expect(try issuer.requests().contains("GET tester repository:b:pull,push repository:a:pull"))
            #expect(try issuer.requests().count <= 4)
        }
    }
}
