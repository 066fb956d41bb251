import FoundationEssentials
import OCI
import Synchronization
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Registry

@Suite("Amazon ECR")
struct ECRTests {
    private static let keys = ["AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-hunter2"]
    private static let challenge = ["WWW-Authenticate": #"Basic realm="https://ecr/",service="ecr.amazonaws.com""#]

    /// A client for `ecrHost` in plain HTTP, whose connections end at `registry`, and whose AWS is `aws`.
    private func client(
        _ registry: LoopbackServer, _ aws: LoopbackServer, _ rig: CredentialRig, host: String = ecrHost,
        environment: [String: String] = keys, creates: Bool = false
    ) throws -> RegistryClient {
        let provider = try rig.credentials(environment.merging(["AWS_ENDPOINT_URL": "http://\(aws.authority)"]) { $1 })
        let maker: RepositoryMaker = { repository async throws(RegistryError) in
            try await provider.createRepository(repository, registry: host)
        }
        return RegistryClient(
            registry: host, plainHTTP: true,
            transport: transport { $0.connections = ["\(host):80:\(registry.authority)"] }, credentials: provider,
            pacing: rig.notes.pacing, makeRepository: creates ? maker : nil, notice: rig.notes.note)
    }

    private func pull(_ client: RegistryClient) async throws {
        _ = try await client.manifest(of: ImageReference(registry: client.registry, repository: "team/app", tag: "1"))
    }

    private static let manifest = #"{"schemaVersion":2,"config":{},"layers":[]}"#

    private func logins(_ handler: @escaping @Sendable (Int) -> LoopbackServer.Reply? = { _ in nil }) throws
        -> LoopbackServer
    {
        try LoopbackServer { request, before in
            if let reply = handler(before) { return reply }
            let token = Data("AWS:p\(before)".utf8).base64EncodedString()
            // In the past, as moto has it: no reason to ask again for each request.
            return .text(200, #"{"authorizationData":[{"authorizationToken":"\#(token)","expiresAt":1420070400}]}"#)
        }
    }

    private static func error(_ status: Int, _ code: String, _ message: String) -> LoopbackServer.Reply {
        .text(status, #"{"errors":[{"code":"\#(code)","message":"\#(message)"}]}"#)
    }

    @Test("four workers make one login, also one that ended long ago by its own word")
    func singleFlight() async throws {
        let rig = try CredentialRig()
        let aws = try logins()
        let registry = try LoopbackServer { request, _ in
            request.headers["authorization"] == basic("AWS", "p0")
                ? .text(200, Self.manifest) : .answer(401, Self.challenge)
        }
        let client = try client(registry, aws, rig)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { try await pull(client) } }
            try await group.waitForAll()
        }
        #expect(aws.requests.count == 1)
    }

    @Test("throttled calls are made again")
    func throttling() async throws {
        let rig = try CredentialRig()
        let aws = try logins { $0 < 2 ? StubAWS.failure(400, "ThrottlingException", "Rate exceeded") : nil }
        let registry = try LoopbackServer { request, _ in
            request.headers["authorization"] == nil ? .answer(401, Self.challenge) : .text(200, Self.manifest)
        }
        try await pull(try client(registry, aws, rig))
        #expect(aws.requests.count == 3 && rig.notes.delays.count == 2)
    }

    @Test(
        "a login that ended is replaced once, in JSON or plain text; one that goes on ending is an error",
        arguments: [
            #"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#,
            "Your Authorization Token is invalid.",
        ])
    func expiredLogin(text: String) async throws {
        let rig = try CredentialRig()
        let aws = try logins()
        let registry = try LoopbackServer { request, _ in
            switch request.headers["authorization"] {
            case nil: .answer(401, Self.challenge)
            case basic("AWS", "p1"): .text(200, Self.manifest)
            default: .text(403, text)
            }
        }
        try await pull(try client(registry, aws, rig))
        #expect(aws.requests.count == 2)

        let never = try LoopbackServer { request, _ in
            request.headers["authorization"] == nil ? .answer(401, Self.challenge) : .text(403, text)
        }
        let others = try logins()
        let error = try await failure { try await pull(try client(never, others, rig)) }
        #expect(told(error).contains("Amazon ECR, asked with the AWS credentials from the environment"))
        #expect(never.requests.filter { $0.path.contains("manifests") }.count == 2)
    }

    @Test(
        "a login is replaced before it ends, and before the role behind it ends: no request of a long build is refused")
    func renewal() async throws {
        let rig = try CredentialRig()
        let file = try rig.scratch.write("token", Array("token-hunter2".utf8))
        let aws = try LoopbackServer { request, before in
            StubAWS.operation(request) == "GetAuthorizationToken"
                ? StubAWS.login(request) : StubAWS.role("AssumeRoleWithWebIdentity", id: "ASIA\(before)")
        }
        let registry = try LoopbackServer { request, _ in
            request.headers["authorization"] == nil ? .answer(401, Self.challenge) : .text(200, Self.manifest)
        }
        let elapsed = Mutex(Duration.zero)
        let pacing = Pacing(now: { .now + elapsed.withLock { $0 } }, sleep: { _ in }, random: { 1 })
        let provider = try RegistryCredentials(
            environment: rig.environment([
                "AWS_ENDPOINT_URL": "http://\(aws.authority)", "AWS_WEB_IDENTITY_TOKEN_FILE": file.string,
                "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/builder",
            ]), transport: TransportSettings(userAgent: "imgbuild/test"), pool: testPool, pacing: pacing
        ) { _ in }
        let client = RegistryClient(
            registry: ecrHost, plainHTTP: true,
            transport: transport { $0.connections = ["\(ecrHost):80:\(registry.authority)"] }, credentials: provider,
            pacing: pacing, notice: { _ in })
        // The login is good for 12 hours, the role for one: minutes of the build, and calls of AWS by then.
        for (minute, calls) in [(0, 2), (54, 2), (56, 4), (100, 4), (112, 6)] {
            elapsed.withLock { $0 = .seconds(minute * 60) }
            try await pull(client)
            #expect(aws.requests.count == calls, "after \(minute) minutes")
        }
        let sent = registry.requests.compactMap { $0.headers["authorization"] }
        #expect(Set(sent) == [basic("AWS", "ASIA0"), basic("AWS", "ASIA2"), basic("AWS", "ASIA4")])
        #expect(registry.requests.count { $0.headers["authorization"] == nil } == 1, "the ping")
    }

    @Test("a login that docker wrote long ago makes way for one of our own, with a warning")
    func staleConfig() async throws {
        let rig = try CredentialRig()
        let aws = try logins()
        let registry = try LoopbackServer { request, _ in
            switch request.headers["authorization"] {
            case nil: .answer(401, Self.challenge)
            case basic("AWS", "p0"): .text(200, Self.manifest)
            default: .text(403, "Your authorization token has expired. Reauthenticate and try again.")
            }
        }
        try rig.dockerConfig(#"{"auths":{"\#(ecrHost)":{"username":"AWS","password":"old-hunter2"}}}"#)
        try await pull(try client(registry, aws, rig))
        #expect(rig.warnings.contains { $0.contains("config.json") && $0.contains("a new login was made") })
        expectNoSecrets(rig.notes)
        // Without AWS credentials the refusal stays what it is, and says what to do.
        let error = try await failure { try await pull(try client(registry, aws, rig, environment: [:])) }
        #expect(told(error).contains("config.json") && told(error).contains("12 hours"))
    }

    @Test("credentials that AWS does not want are an error with their source, and never anonymous access")
    func refusedKeys() async throws {
        let rig = try CredentialRig()
        let registry = try LoopbackServer { _, _ in .answer(401, Self.challenge) }
        let cases: [(reply: LoopbackServer.Reply, says: [String])] = [
            (
                StubAWS.failure(400, "AccessDeniedException", "User: arn:x is not authorized to perform: env-hunter2"),
                ["AccessDeniedException", "allow ecr:GetAuthorizationToken"]
            ), (StubAWS.failure(400, "UnrecognizedClientException"), ["does not know this key"]),
            (StubAWS.failure(403, "InvalidSignatureException"), ["secret key is not"]),
            (StubAWS.failure(400, "ExpiredTokenException"), ["have ended"]),
            (.text(200, #"{"authorizationData":[]}"#), ["no authorization token"]),
            (.text(200, #"{"authorizationData":null}"#), ["no authorization token"]),
            (.text(200, #"{"authorizationData":[{"authorizationToken":"hunter2"}]}"#), ["not the base64 form"]),
            (.text(200, #"{"authorizationData":[{"authorizationToken":"aHVudGVyMg=="}]}"#), ["not the base64 form"]),
            (.text(200, "<html>"), ["not ECR's"]), (.text(503, "<html>"), ["503", "gave up"]),
        ]
        for (reply, says) in cases {
            let aws = try LoopbackServer { _, _ in reply }
            let text = told(try await failure { try await pull(try client(registry, aws, rig)) })
            for part in says { #expect(text.contains(part), "\(part) is not in \(text)") }
        }
        // No request to the registry but the ping.
        #expect(!registry.requests.contains { $0.path.contains("manifests") })
        expectNoSecrets(rig.notes)
    }

    @Test("each refusal of ECR is answered with what to do")
    func advice() async throws {
        let rig = try CredentialRig()
        let cases: [(reply: LoopbackServer.Reply, says: [String])] = [
            (
                Self.error(404, "NAME_UNKNOWN", "The repository with name 'team/app' does not exist"),
                [
                    "aws ecr create-repository --repository-name team/app --region eu-west-2", "aws_ecr_repository",
                    "--create-repository",
                ]
            ),
            (
                .text(401, "Not Authorized", Self.challenge),
                ["Amazon ECR, asked with", "Not Authorized", "login was made just now"]
            ),
            (
                Self.error(
                    403, "DENIED",
                    "User: arn:aws:sts::1:assumed-role/n/i is not authorized to perform: ecr:BatchGetImage on x"),
                ["arn:aws:sts::1:assumed-role/n/i", "allow ecr:BatchGetImage", "team/app"]
            ), (.text(403, ""), ["docs/ecr.md", "123456789012"]),
            (Self.error(400, "UNSUPPORTED", "Unsupported manifest type"), ["no index that holds layers"]),
            (Self.error(400, "UNKNOWN", "KmsException: AccessDenied"), ["encryption key"]),
            (Self.error(400, "UNKNOWN", "LimitExceededException"), ["quota"]),
        ]
        for (reply, says) in cases {
            let registry = try LoopbackServer { request, _ in
                request.path == "/v2/" ? .answer(401, Self.challenge) : reply
            }
            let aws = try logins()
            let text = told(try await failure { try await pull(try client(registry, aws, rig)) })
            for part in says { #expect(text.contains(part), "\(part) is not in \(text)") }
        }
    }

    @Test("a missing repository is made once if that is asked for, and named if not")
    func missingRepository() async throws {
        let rig = try CredentialRig()
        let aws = try LoopbackServer { request, _ in
            StubAWS.operation(request) == "CreateRepository" ? .text(200, "{}") : StubAWS.login(request)
        }
        @Sendable func isMade() -> Bool { aws.requests.contains { StubAWS.operation($0) == "CreateRepository" } }
        let registry = try LoopbackServer { request, _ in
            if request.headers["authorization"] == nil { return .answer(401, Self.challenge) }
            switch request.method {
            case "HEAD": return .answer(404)
            case "POST" where isMade(): return .answer(202, ["Location": "/upload"])
            case "POST": return Self.error(404, "NAME_UNKNOWN", "The repository with name 'team/app' does not exist")
            default: return .answer(201)
            }
        }
        @Sendable func push(_ client: RegistryClient, _ text: String) async throws {
            let bytes = Array(text.utf8)
            try await client.uploadBlob(descriptor(bytes), repository: "team/app", source: .bytes(bytes))
        }
        let error = try await failure { try await push(try client(registry, aws, rig), "a") }
        #expect(told(error).contains("--create-repository") && !isMade())
        let creating = try client(registry, aws, rig, creates: true)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for text in ["a", "b", "c"] { group.addTask { try await push(creating, text) } }
            try await group.waitForAll()
        }
        let made = aws.requests.filter { StubAWS.operation($0) == "CreateRepository" }
        #expect(made.count == 1)
        #expect(try JSONValue(parsing: made.first?.body ?? [])["repositoryName"].string == "team/app")
        #expect(try JSONValue(parsing: made.first?.body ?? [])["registryId"].string == "123456789012")
        #expect(rig.warnings.contains { $0.contains("was created") })
    }

    @Test("a missing repository is made where the permission to push is looked at before the build, too")
    func missingRepositoryBeforeTheBuild() async throws {
        let rig = try CredentialRig()
        let aws = try LoopbackServer { request, _ in
            StubAWS.operation(request) == "CreateRepository" ? .text(200, "{}") : StubAWS.login(request)
        }
        let registry = try LoopbackServer { request, before in
            if request.headers["authorization"] == nil { return .answer(401, Self.challenge) }
            guard request.method == "POST" else { return .answer(204) }
            return before == 0 ? Self.error(404, "NAME_UNKNOWN", "no") : .answer(202, ["Location": "/upload"])
        }
        try await client(registry, aws, rig, creates: true).checkPush(to: "team/app")
        #expect(aws.requests.count { StubAWS.operation($0) == "CreateRepository" } == 1)
        #expect(registry.count("DELETE", "/upload") == 1)
    }

    @Test("a repository that may not be made is an error of AWS's own, and other registries have none to make")
    func creationRefused() async throws {
        let rig = try CredentialRig()
        let aws = try LoopbackServer { request, _ in
            StubAWS.operation(request) == "CreateRepository"
                ? StubAWS.failure(400, "AccessDeniedException", "not authorized") : StubAWS.login(request)
        }
        let missing: @Sendable (LoopbackServer.Request, Int) -> LoopbackServer.Reply = { request, _ in
            if request.path == "/v2/" { return .answer(401, Self.challenge) }
            return request.method == "HEAD" ? .answer(404) : Self.error(404, "NAME_UNKNOWN", "no")
        }
        let registry = try LoopbackServer(handler: missing)
        let creating = try client(registry, aws, rig, creates: true)
        let refused = try await failure {
            try await creating.uploadBlob(descriptor([1]), repository: "r", source: .bytes([1]))
        }
        #expect(told(refused).contains("allow ecr:CreateRepository"))
        let provider = try rig.credentials(Self.keys)
        let other = try await failure { try await provider.createRepository("r", registry: "registry.example.com") }
        #expect(told(other).contains("only be made in Amazon ECR"))
    }

    @Test("a tag that cannot be moved is fine when it is this image, else the error names both")
    func immutableTag() async throws {
        let rig = try CredentialRig()
        let bytes = Array(Self.manifest.utf8)
        let ours = Digest(sha256: SHA256.hash(bytes))
        let theirs = Digest(sha256: SHA256.hash([1]))
        let text =
            "The image tag '1' already exists in the 'team/app' repository and cannot be overwritten because the "
        for (present, wording) in [(ours, "repository is immutable."), (theirs, "tag is immutable.")] {
            let registry = try LoopbackServer { request, _ in
                if request.headers["authorization"] == nil { return .answer(401, Self.challenge) }
                guard request.method == "HEAD" else { return Self.error(400, "TAG_INVALID", text + wording) }
                return .answer(
                    200,
                    [
                        "Docker-Content-Digest": present.description, "Content-Length": "10",
                        "Content-Type": "application/vnd.oci.image.manifest.v1+json",
                    ])
            }
            let aws = try logins()
            let client = try client(registry, aws, rig)
            func put() async throws {
                try await client.putManifest(bytes, mediaType: .ociManifest, repository: "team/app", reference: "1")
            }
            if present == ours {
                try await put()
            } else {
                let said = told(try await failure { try await put() })
                for part in [ours.description, theirs.description, "new tag"] { #expect(said.contains(part)) }
            }
        }
    }

    @Test("the public gallery is used without credentials where there are none, or they do not help")
    func publicGallery() async throws {
        let rig = try CredentialRig()
        let host = "public.ecr.aws"
        let registry = try LoopbackServer { request, _ in
            if request.path == "/token/" {
                let kind = request.headers["authorization"] == nil ? "anonymous" : "known"
                return .text(200, #"{"token":"\#(kind)"}"#)
            }
            guard let token = request.headers["authorization"] else {
                return .answer(
                    401, ["WWW-Authenticate": #"Bearer realm="/token/",service="public.ecr.aws",scope="aws""#])
            }
            return token.hasPrefix("Bearer ") ? .text(200, Self.manifest) : .answer(400)
        }
        let refusing = try LoopbackServer { _, _ in StubAWS.failure(400, "AccessDeniedException") }
        try await pull(try client(registry, refusing, rig, host: host, environment: [:]))
        #expect(rig.warnings.isEmpty && refusing.requests.isEmpty)
        let anonymous = try client(registry, refusing, rig, host: host)
        try await pull(anonymous)
        try await pull(anonymous)
        #expect(rig.warnings.count == 1 && rig.warnings[0].contains("AccessDeniedException"))
        #expect(refusing.requests.count == 1)
        // ECR Public sends one object, is called in us-east-1, and has a name of its own in signatures.
        let token = Data("AWS:gallery".utf8).base64EncodedString()
        let aws = try LoopbackServer { _, _ in
            .text(200, #"{"authorizationData":{"authorizationToken":"\#(token)","expiresAt":1.9e9}}"#)
        }
        try await pull(try client(registry, aws, rig, host: host))
        let asked = try #require(aws.requests.first)
        #expect(asked.headers["x-amz-target"] == "SpencerFrontendService.GetAuthorizationToken")
        #expect(asked.headers["authorization"]?.contains("/us-east-1/ecr-public/aws4_request") == true)
        #expect(
            registry.requests.contains {
                $0.path == "/token/" && $0.headers["authorization"] == basic("AWS", "gallery")
            })
    }

    @Test("layers that are too large for ECR are refused before a byte is sent")
    func largeLayer() async throws {
        let rig = try CredentialRig()
        let registry = try LoopbackServer { _, _ in .answer(500) }
        let aws = try logins()
        let client = try client(registry, aws, rig)
        let large = Descriptor(mediaType: .ociLayer, digest: descriptor([1]).digest, size: 52_001 * 1024 * 1024)
        let error = try await failure { try await client.uploadBlob(large, repository: "r", source: .bytes([])) }
        #expect(told(error).contains("ECR takes"))
        #expect(registry.requests.isEmpty && aws.requests.isEmpty)
    }
}

@Suite(
    "Amazon ECR against moto, with signatures checked",
    .enabled(if: MotoServer.isInstalled, "moto is not installed: scripts/install-moto.sh"))
struct MotoTests {
    private func environment(_ moto: MotoServer, _ more: [String: String] = [:]) -> [String: String] {
        [
            "AWS_ENDPOINT_URL": moto.url, "AWS_ACCESS_KEY_ID": moto.accessKeyID,
            "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey,
        ].merging(more) { $1 }
    }

    @Test("a signed call gets a login; a wrong secret, an unknown key and a lost session token do not")
    func signatures() async throws {
        let moto = try MotoServer.shared()
        let rig = try CredentialRig()
        let provider = try rig.credentials(environment(moto))
        #expect(try await rig.login(provider, ecrHost) == "AWS:\(MotoServer.password)")

        let secrets = [moto.secretAccessKey, "hunter2"]
        let cases: [(environment: [String: String], says: [String])] = [
            (["AWS_SECRET_ACCESS_KEY": "wrong-hunter2"], ["SignatureDoesNotMatch", "secret key is not"]),
            (["AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"], ["InvalidClientTokenId", "does not know this key"]),
        ]
        for (change, says) in cases {
            let refused = try rig.credentials(environment(moto, change))
            let text = told(try await failure { _ = try await rig.login(refused, ecrHost) }, secrets: secrets)
            for part in says + ["AWS_ACCESS_KEY_ID"] { #expect(text.contains(part), "\(part) is not in \(text)") }
        }
        expectNoSecrets(rig.notes, secrets + [MotoServer.password])
    }

    @Test("a profile assumes its role with a signed call, and the role's key gets the login")
    func assumedRole() async throws {
        let moto = try MotoServer.shared()
        let rig = try CredentialRig()
        try rig.awsCredentials(
            "[base]\naws_access_key_id = \(moto.accessKeyID)\naws_secret_access_key = \(moto.secretAccessKey)\n")
        try rig.awsConfig("[profile role]\nrole_arn = \(moto.role)\nsource_profile = base\nregion = eu-west-2\n")
        let provider = try rig.credentials(["AWS_ENDPOINT_URL": moto.url, "AWS_PROFILE": "role"])
        #expect(try await rig.login(provider, ecrHost) == "AWS:\(MotoServer.password)")
        let explanation = try await provider.explain(registry: ecrHost, repository: "a")
        #expect(explanation.identity?.account == MotoServer.account)
        #expect(explanation.identity?.arn.contains("assumed-role/builder/imgbuild-") == true)
        let source = try #require(explanation.source).description
        #expect(source.contains("profile 'role'") && source.contains(moto.role))
        expectNoSecrets(rig.notes, [moto.secretAccessKey])
    }

    @Test("a web identity's role gets the login, from the token file to the signed call")
    func webIdentity() async throws {
        // The exchange itself is unsigned by design, which moto takes for an action without authorization.
        let moto = try MotoServer(free: 1)
        let rig = try CredentialRig()
        let file = try rig.scratch.write("token", Array("eyJhbGciOiJub25lIn0.hunter2.x\n".utf8))
        let provider = try rig.credentials([
            "AWS_ENDPOINT_URL": moto.url, "AWS_WEB_IDENTITY_TOKEN_FILE": file.string, "AWS_ROLE_ARN": moto.role,
        ])
        #expect(try await rig.login(provider, ecrHost) == "AWS:\(MotoServer.password)")
        #expect(rig.notes.texts.contains { $0.contains("web identity") && $0.contains(moto.role) })
        expectNoSecrets(rig.notes)
    }

    @Test("repositories are made; one that is there already is fine")
    func createRepository() async throws {
        let moto = try MotoServer.shared()
        let rig = try CredentialRig()
        let provider = try rig.credentials(environment(moto))
        #expect(try !moto.hasRepository("made/by-test"))
        try await provider.createRepository("made/by-test", registry: ecrHost)
        #expect(try moto.hasRepository("made/by-test"))
        try await provider.createRepository("made/by-test", registry: ecrHost)
    }

    @Test("an image is pushed to a registry of ECR's name, over TLS, with the login that a signed call got")
    func push() async throws {
        let moto = try MotoServer.shared()
        let ecr = try LoopbackECR()
        let rig = try CredentialRig()
        let provider = try rig.credentials(environment(moto, ["AWS_REGION": "us-east-1"]))
        let client = RegistryClient(
            registry: ecrHost,
            transport: transport {
                $0.connections = [ecr.connection]
                $0.trust.authoritiesFile = ecr.certificate
            }, credentials: provider, notice: rig.notes.note)
        let config = Array(
            #"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#.utf8)
        let layer = noise(100_000)
        let manifest = Manifest(
            mediaType: .ociManifest, config: descriptor(config, .ociConfig), layers: [descriptor(layer)])
        for bytes in [config, layer] {
            try await client.uploadBlob(descriptor(bytes), repository: "team/app", source: .bytes(bytes))
        }
        try await client.putManifest(
            Array(try CanonicalJSON.encode(manifest)), mediaType: .ociManifest, repository: "team/app", reference: "1")
        #expect(try ecr.status(of: "1", in: "team/app") == "200")
        #expect(try ecr.status(of: "2", in: "team/app") == "404")
        expectNoSecrets(rig.notes, [moto.secretAccessKey, MotoServer.password])
    }
}
