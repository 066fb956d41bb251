import Glibc
import Synchronization
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Registry

@Suite("AWS credentials")
struct AWSChainTests {
    private static let keys = ["AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-hunter2"]

    /// AWS that gives a role's key for every role, and a login for every key.
    private func aws(
        _ handler: @escaping @Sendable (LoopbackServer.Request, Int) -> LoopbackServer.Reply? = { _, _ in nil }
    ) throws -> LoopbackServer {
        let seen = Mutex<[String: Int]>([:])
        return try LoopbackServer { request, _ in
            let operation = StubAWS.operation(request)
            let before = seen.withLock { seen in
                seen[operation, default: 0] += 1
                return seen[operation, default: 1] - 1
            }
            if let reply = handler(request, before) { return reply }
            switch operation {
            case "GetAuthorizationToken": return StubAWS.login(request)
            case "AssumeRole", "AssumeRoleWithWebIdentity": return StubAWS.role(operation, id: "ASIAROLE\(before)")
            default: return .answer(404)
            }
        }
    }

    private func login(_ rig: CredentialRig, _ aws: LoopbackServer, _ environment: [String: String]) async throws
        -> String
    {
        let provider = try rig.credentials(environment.merging(["AWS_ENDPOINT_URL": "http://\(aws.authority)"]) { $1 })
        return try await rig.login(provider, ecrHost)
    }

    @Test("ECR is asked in the region and for the account of the registry's name")
    func request() async throws {
        let rig = try CredentialRig()
        let aws = try aws()
        let environment = Self.keys.merging(["AWS_REGION": "us-west-1", "AWS_SESSION_TOKEN": "session-hunter2"]) { $1 }
        #expect(try await login(rig, aws, environment) == "AWS:AKIDENV")
        let asked = try #require(aws.requests.first)
        #expect(String(decoding: asked.body, as: UTF8.self) == #"{"registryIds":["123456789012"]}"#)
        #expect(asked.headers["x-amz-target"] == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
        #expect(asked.headers["authorization"]?.contains("/eu-west-2/ecr/aws4_request") == true)
        #expect(
            asked.headers["authorization"]?.contains(
                "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target,") == true)
        #expect(asked.headers["host"] == aws.authority)
        #expect(rig.notes.texts.contains { $0.contains("AWS_ACCESS_KEY_ID") })
        expectNoSecrets(rig.notes)
    }

    @Test("when no source has credentials, each is named with its reason")
    func none() async throws {
        let rig = try CredentialRig()
        let error = try await failure { _ = try await login(rig, try aws(), [:]) }
        let text = told(error)
        for part in [
            "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "no profile 'default'", ".aws/credentials",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_DISABLED", "docs/ecr.md",
        ] { #expect(text.contains(part), "\(part) is not in \(text)") }
    }

    @Test("half of a key is an error, and no reason to look further")
    func partial() async throws {
        let rig = try CredentialRig()
        try rig.awsCredentials("[default]\naws_access_key_id = a\naws_secret_access_key = hunter2\n")
        for (name, missing) in [
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        ] {
            let error = try await failure { _ = try await login(rig, try aws(), [name: "hunter2-half"]) }
            #expect(told(error).contains("\(missing) is not set"))
        }
    }

    // MARK: Web identity

    @Test("a service account's token is exchanged for its role, and read anew each time")
    func webIdentity() async throws {
        let rig = try CredentialRig()
        let file = try rig.scratch.write("token", Array("token-hunter2-1\n".utf8))
        let aws = try aws { request, _ in
            guard StubAWS.operation(request) == "AssumeRoleWithWebIdentity" else { return nil }
            // A life that is renewed before each use.
            return StubAWS.role(
                "AssumeRoleWithWebIdentity",
                id: "ASIA" + (StubAWS.field("WebIdentityToken", request) ?? "").suffix(1), life: 120)
        }
        let provider = try rig.credentials([
            "AWS_ENDPOINT_URL": "http://\(aws.authority)", "AWS_WEB_IDENTITY_TOKEN_FILE": file.string,
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/builder", "AWS_ROLE_SESSION_NAME": "build-7",
        ])
        #expect(try await rig.login(provider, ecrHost) == "AWS:ASIA1")
        _ = try rig.scratch.write("token", Array("token-hunter2-2\n".utf8))
        let other = "210987654321.dkr.ecr.us-east-1.amazonaws.com"
        #expect(try await rig.login(provider, other) == "AWS:ASIA2")
        let asked = try #require(aws.requests.first)
        #expect(asked.headers["authorization"] == nil)
        #expect(StubAWS.field("RoleSessionName", asked) == "build-7")
        #expect(StubAWS.field("RoleArn", asked) == "arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fbuilder")
        #expect(StubAWS.field("WebIdentityToken", asked) == "token-hunter2-1")
        expectNoSecrets(rig.notes)
    }

    @Test(
        "a provider that is not known yet, and a token that just ended, are asked with again",
        arguments: [
            "InvalidIdentityToken", "IDPCommunicationError", "ExpiredTokenException",
        ])
    func transientIdentity(code: String) async throws {
        let rig = try CredentialRig()
        let file = try rig.scratch.write("token", Array("token-hunter2".utf8))
        let aws = try aws { request, before in
            StubAWS.operation(request) == "AssumeRoleWithWebIdentity" && before == 0
                ? StubAWS.stsFailure(400, code, "about token-hunter2") : nil
        }
        let environment = ["AWS_WEB_IDENTITY_TOKEN_FILE": file.string, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r"]
        #expect(try await login(rig, aws, environment) == "AWS:ASIAROLE1")
    }

    @Test("what is wrong with a web identity is said with the file's path or the variable")
    func brokenIdentity() async throws {
        let rig = try CredentialRig()
        let empty = try rig.scratch.write("empty", Array("\n".utf8))
        let odd = try rig.scratch.write("odd", Array("a\r\nX-Header: hunter2".utf8))
        let fine = try rig.scratch.write("fine", Array("token-hunter2".utf8))
        let refusing = try aws { request, _ in
            StubAWS.stsFailure(
                403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity: token-hunter2")
        }
        let arn = "arn:aws:iam::123456789012:role/builder"
        let cases: [(environment: [String: String], says: [String])] = [
            (["AWS_WEB_IDENTITY_TOKEN_FILE": fine.string], ["AWS_ROLE_ARN", "annotated"]),
            (["AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent/t", "AWS_ROLE_ARN": arn], ["/nonexistent/t", "mounted"]),
            (["AWS_WEB_IDENTITY_TOKEN_FILE": empty.string, "AWS_ROLE_ARN": arn], ["is empty"]),
            (["AWS_WEB_IDENTITY_TOKEN_FILE": odd.string, "AWS_ROLE_ARN": arn], ["something other than one token"]),
            (
                ["AWS_WEB_IDENTITY_TOKEN_FILE": fine.string, "AWS_ROLE_ARN": arn, "AWS_ROLE_SESSION_NAME": "a b"],
                ["session name"]
            ),
            (["AWS_WEB_IDENTITY_TOKEN_FILE": fine.string, "AWS_ROLE_ARN": arn], ["AccessDenied", "trust policy"]),
        ]
        for (environment, says) in cases {
            let error = try await failure { _ = try await login(rig, refusing, environment) }
            let text = told(error)
            for part in says { #expect(text.contains(part), "\(part) is not in \(text)") }
        }
        // Only the last was allowed to ask AWS, and a refusal is final.
        #expect(refusing.requests.count == 1)
    }

    // MARK: Profiles

    @Test("profiles: keys, roles on keys, roles on roles, sources, programs")
    func profiles() async throws {
        let rig = try CredentialRig()
        try rig.awsCredentials(
            "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = default-hunter2\n"
                + "[self]\naws_access_key_id = AKIDSELF\naws_secret_access_key = self-hunter2\n")
        let token = try rig.scratch.write("token", Array("token-hunter2".utf8))
        let json =
            #"{"Version":1,"AccessKeyId":"AKIDPROCESS","SecretAccessKey":"p-hunter2","SessionToken":"s-hunter2"}"#
        try rig.program("print-key", "test \"$1\" = 'two words' && echo '\(json)'; echo 'just a word' >&2")
        try rig.awsConfig(
            """
            [profile role]
            role_arn = arn:aws:iam::1:role/a
            source_profile = default
            external_id = ext
            role_session_name = name
            duration_seconds = 900
            region = eu-south-1
            [profile twice]
            role_arn = arn:aws:iam::1:role/b
            source_profile = role
            [profile self]
            role_arn = arn:aws:iam::1:role/c
            source_profile = self
            [profile environment]
            role_arn = arn:aws:iam::1:role/d
            credential_source = Environment
            [profile web]
            role_arn = arn:aws:iam::1:role/e
            web_identity_token_file = \(token.string)
            [profile process]
            credential_process = print-key "two words"
            """)
        let cases: [(profile: String?, environment: [String: String], login: String, calls: [String])] = [
            (nil, [:], "AKIDDEFAULT", []), ("role", [:], "ASIAROLE0", ["AKIDDEFAULT"]),
            ("twice", [:], "ASIAROLE1", ["AKIDDEFAULT", "ASIAROLE0"]), ("self", [:], "ASIAROLE0", ["AKIDSELF"]),
            ("web", [:], "ASIAROLE0", ["unsigned"]), ("process", [:], "AKIDPROCESS", []),
        ]
        for (profile, environment, expected, calls) in cases {
            let aws = try aws()
            let environment = environment.merging(profile.map { ["AWS_PROFILE": $0] } ?? [:]) { $1 }
            #expect(try await login(rig, aws, environment) == "AWS:\(expected)", "\(profile ?? "default")")
            let signers = aws.requests.dropLast().map { request in
                request.headers["authorization"]?.firstMatch(of: /Credential=([^\/]*)/).map { String($0.1) }
                    ?? "unsigned"
            }
            #expect(signers == calls, "\(profile ?? "default")")
            if profile == "role" {
                let asked = try #require(aws.requests.first)
                #expect(StubAWS.field("ExternalId", asked) == "ext")
                #expect(StubAWS.field("RoleSessionName", asked) == "name")
                #expect(StubAWS.field("DurationSeconds", asked) == "900")
                #expect(asked.headers["authorization"]?.contains("/eu-west-2/sts/") == false)
            }
        }
        // The keys of the environment count more than a profile, unless the profile asks for them.
        #expect(try await login(rig, try aws(), Self.keys.merging(["AWS_PROFILE": "role"]) { $1 }) == "AWS:AKIDENV")
        expectNoSecrets(rig.notes)
    }

    @Test("what is wrong with a profile is said with its name and file")
    func brokenProfiles() async throws {
        let rig = try CredentialRig()
        try rig.program("angry", "echo 'no session' >&2; echo hunter2; exit 4")
        try rig.program("garbage", "echo hunter2")
        try rig.program("second", #"echo '{"Version":2}'"#)
        try rig.program(
            "ended",
            #"echo '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"hunter2","Expiration":"2020-01-01T00:00:00Z"}'"#)
        try rig.awsConfig(
            """
            [profile a]
            source_profile = b
            role_arn = arn:aws:iam::1:role/x
            [profile b]
            source_profile = a
            role_arn = arn:aws:iam::1:role/x
            [profile lost]
            source_profile = nowhere
            role_arn = arn:aws:iam::1:role/x
            [profile bare]
            role_arn = arn:aws:iam::1:role/x
            [profile half]
            aws_secret_access_key = hunter2
            [profile mfa]
            aws_access_key_id = a
            aws_secret_access_key = hunter2
            role_arn = arn:aws:iam::1:role/x
            mfa_serial = arn:aws:iam::1:mfa/me
            [profile short]
            aws_access_key_id = a
            aws_secret_access_key = hunter2
            role_arn = arn:aws:iam::1:role/x
            duration_seconds = 10
            [profile odd]
            role_arn = arn:aws:iam::1:role/x
            credential_source = Nowhere
            [profile container]
            role_arn = arn:aws:iam::1:role/x
            credential_source = EcsContainer
            [profile sso]
            sso_session = corporate
            [profile login]
            login_session = x
            [profile angry]
            credential_process = angry
            [profile garbage]
            credential_process = garbage
            [profile second]
            credential_process = second
            [profile ended]
            credential_process = ended
            [profile empty]
            region = eu-west-2
            """)
        let cases: [(profile: String, says: [String])] = [
            ("a", ["a -> b -> a"]), ("lost", ["'nowhere' does not exist"]), ("bare", ["nothing to assume"]),
            ("half", ["aws_access_key_id"]), ("mfa", ["mfa_serial"]), ("short", ["900 to 43200"]),
            ("odd", ["Nowhere", "EcsContainer"]), ("container", ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]),
            ("sso", ["sso_session", "credential_process = aws configure export-credentials"]),
            ("login", ["login_session", "export-credentials"]), ("angry", ["ended with 4", "no session"]),
            ("garbage", ["not the JSON"]), ("second", ["version 2"]), ("ended", ["have ended"]),
            ("missing", ["there is no profile 'missing'"]), ("empty", ["the profile 'empty'", "has no credentials"]),
        ]
        let aws = try aws()
        for (profile, says) in cases {
            let error = try await failure { _ = try await login(rig, aws, ["AWS_PROFILE": profile]) }
            let text = told(error)
            for part in says + ["'\(profile)'"] { #expect(text.contains(part), "\(part) is not in \(text)") }
        }
        #expect(aws.requests.isEmpty)
    }

    @Test("AWS's services are believed by a bundle of their own, and called as often as is configured")
    func services() async throws {
        let rig = try CredentialRig()
        // With TLS, though not ECR: so its answer shows that it was believed.
        let secured = try RegistryProcess(withTLS: true)
        let address = ["AWS_ENDPOINT_URL": "https://\(secured.authority)"]
        let keys = Self.keys.merging(address) { $1 }
        try rig.awsConfig("[profile bundled]\nca_bundle = \(secured.certificate)\n")
        for (more, says) in [
            ([:], "AWS_CA_BUNDLE"), (["AWS_CA_BUNDLE": "\(secured.certificate)"], "is not ECR's"),
            (["AWS_PROFILE": "bundled"], "is not ECR's"),
        ] {
            let provider = try rig.credentials(keys.merging(more) { $1 })
            let error = try await failure { _ = try await rig.login(provider, ecrHost) }
            #expect(told(error).contains(says), "\(error)")
        }
        try rig.awsConfig("[profile patient]\nmax_attempts = 5\n")
        for (more, tries) in [([:], 3), (["AWS_MAX_ATTEMPTS": "2"], 2), (["AWS_PROFILE": "patient"], 5)] {
            let aws = try aws { _, _ in .answer(503) }
            let error = try await failure { _ = try await login(rig, aws, Self.keys.merging(more) { $1 }) }
            #expect(aws.requests.count == tries, "\(error)")
        }
    }

    // MARK: What surrounds the program

    @Test("EC2, ECS and EKS Pod Identity serve credentials, whatever proxy is set")
    func surroundings() async throws {
        let rig = try CredentialRig()
        let served = try AWSMetadataServer(id: "ASIASERVED", secret: "served-hunter2", token: "token-hunter2")
        let token = try rig.scratch.write("pod-token", Array("pod-token-1\n".utf8))
        let pod = [
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(served.url)/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token.string,
        ]
        let cases: [(environment: [String: String], source: String)] = [
            (pod, "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            (
                [
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(served.url)/v1/credentials",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod-token-2",
                ], "AWS_CONTAINER_CREDENTIALS_FULL_URI"
            ), (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "\(served.url)/v2/credentials/x"], "the container"),
            (
                ["AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": served.url],
                "the machine's role 'builder-node'"
            ),
        ]
        for (environment, source) in cases {
            let aws = try aws()
            let environment = environment.merging(["AWS_ENDPOINT_URL": "http://\(aws.authority)"]) { $1 }
            let provider = try rig.credentials(environment) {
                // Nothing listens there: only what is exempted, or never asks a proxy, gets through.
                $0.proxy = .init(http: "http://127.0.0.1:1", exceptions: "example.com,127.0.0.1")
            }
            #expect(try await rig.login(provider, ecrHost) == "AWS:ASIASERVED")
            #expect(rig.notes.texts.contains { $0.contains(source) })
            // Without the exemption ECR itself is asked by way of the proxy; the credentials still come past it.
            let proxied = try rig.credentials(environment) { $0.proxy = .init(http: "http://127.0.0.1:1") }
            let error = try await failure { _ = try await rig.login(proxied, ecrHost) }
            #expect(error.kind == .connection(.refused) && error.request?.contains(aws.authority) == true)
        }
        expectNoSecrets(rig.notes)
    }

    @Test("a container's credentials are asked for in safe places only, and with one token")
    func containerRules() async throws {
        let rig = try CredentialRig()
        let trusted = [
            "http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost/x", "http://169.254.170.2/v2",
            "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials",
            "https://vault.example.com/x",
        ]
        for address in trusted {
            #expect(ContainerCredentials.isTrusted(try #require(HTTPURL(parsing: address))), "\(address)")
        }
        let cases: [(environment: [String: String], says: String)] = [
            (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://10.0.0.1/x"], "not sent over plain http"),
            (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.169.254/x"], "not sent over plain http"),
            (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://localhost.evil.example.com/x"], "not sent over plain http"),
            (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "file:///etc/passwd"], "not an http"),
            (
                [
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nX: hunter2",
                ], "no header may have"
            ),
            (
                [
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x",
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nonexistent/pod",
                ], "/nonexistent/pod"
            ),
            (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x"], "is set, so this source has to answer"),
        ]
        for (environment, says) in cases {
            let text = told(try await failure { _ = try await login(rig, try aws(), environment) })
            #expect(text.contains(says), "\(says) is not in \(text)")
        }
    }

    @Test("a container's service is asked again when it is busy, and its refusal is final")
    func containerFaults() async throws {
        let rig = try CredentialRig()
        let busy = try LoopbackServer { _, before in
            before < 2
                ? .answer(before == 0 ? 429 : 500)
                : .text(200, #"{"AccessKeyId":"ASIABUSY","SecretAccessKey":"hunter2","Token":"hunter2"}"#)
        }
        let aws = try aws()
        #expect(
            try await login(rig, aws, ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://\(busy.authority)/c"])
                == "AWS:ASIABUSY")
        let refusing = try LoopbackServer { _, _ in .text(403, #"{"code":"AccessDenied","message":"no association"}"#) }
        let error = try await failure {
            _ = try await login(rig, aws, ["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://\(refusing.authority)/c"])
        }
        #expect(told(error).contains("AccessDenied: no association") && told(error).contains("associated"))
        #expect(refusing.requests.count == 1)
    }

    @Test("a machine without a metadata service, without a role, or out of reach is said so")
    func machineFaults() async throws {
        let rig = try CredentialRig()
        let cases: [(server: LoopbackServer, says: String)] = [
            (try LoopbackServer { _, _ in .silence }, "hop limit"),
            (try LoopbackServer { _, _ in .answer(404) }, "404"),
            (try LoopbackServer { _, _ in .answer(403) }, "403"),
            (
                try LoopbackServer { request, _ in request.method == "PUT" ? .text(200, "t") : .answer(404) },
                "no role"
            ),
            (
                try LoopbackServer { request, _ in request.method == "PUT" ? .text(200, "t") : .text(200, "") },
                "no role"
            ),
            (
                try LoopbackServer { request, _ in
                    if request.method == "PUT" { return .text(200, "t") }
                    return request.path.hasSuffix("/")
                        ? .text(200, "r") : .text(200, #"{"Code":"Failed","Message":"assume"}"#)
                }, "Failed: assume"
            ),
            (
                try LoopbackServer { request, _ in request.method == "PUT" ? .text(200, "t") : .text(200, "../../x") },
                "cannot be one"
            ),
        ]
        for (server, says) in cases {
            let error = try await failure {
                _ = try await login(
                    rig, try aws(),
                    [
                        "AWS_EC2_METADATA_DISABLED": "",
                        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://\(server.authority)",
                    ])
            }
            #expect(told(error).contains(says), "\(says) is not in \(error)")
            // Version 1 of the protocol, which has no token, is never tried.
            #expect(!server.requests.contains { $0.method == "GET" && $0.headers["x-aws-ec2-metadata-token"] == nil })
        }
    }

    @Test(
        "a proxy that refuses is named, and not asked again",
        arguments: [(407, "wants credentials"), (403, "NO_PROXY")])
    func proxy(status: Int, says: String) async throws {
        let rig = try CredentialRig()
        let proxy = try LoopbackServer { _, _ in .answer(status) }
        let provider = try rig.credentials(Self.keys) { $0.proxy = .init(https: "http://u:hunter2@\(proxy.authority)") }
        let error = try await failure { _ = try await rig.login(provider, ecrHost) }
        #expect(told(error).contains("the proxy refused") && told(error).contains(says))
        #expect(proxy.requests.map(\.target) == ["api.ecr.eu-west-2.amazonaws.com:443"])
    }

    // MARK: Time

    @Test("credentials that are about to end are renewed, and used to their end when they cannot be")
    func renewal() async throws {
        let rig = try CredentialRig()
        let file = try rig.scratch.write("token", Array("token-hunter2".utf8))
        let clock = TestClock()
        let isDown = Mutex(false)
        let aws = try aws { request, before in
            guard StubAWS.operation(request) == "AssumeRoleWithWebIdentity" else { return nil }
            return isDown.withLock { $0 }
                ? .answer(503) : StubAWS.role("AssumeRoleWithWebIdentity", id: "ASIA\(before)")
        }
        let context = AWSContext(
            variables: AWSVariables([
                "AWS_ENDPOINT_URL": "http://\(aws.authority)", "AWS_WEB_IDENTITY_TOKEN_FILE": file.string,
                "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
            ]), home: nil, transport: TransportSettings(userAgent: "imgbuild/test"),
            programs: ProgramRunner(pool: testPool, environment: [:]), pool: testPool, pacing: clock.pacing)
        let chain = AWSCredentialChain(context, warn: rig.notes.note)
        func id() async throws -> String { try await chain.credentials(region: "eu-west-2").accessKeyID }
        #expect(try await id() == "ASIA0")
        clock.advance(.seconds(3200))
        #expect(try await id() == "ASIA0")
        clock.advance(.seconds(200))
        #expect(try await id() == "ASIA1")
        clock.advance(.seconds(3400))
        isDown.withLock { $0 = true }
        #expect(try await id() == "ASIA1")
        #expect(rig.notes.texts.contains { $0.contains("could not be renewed") })
        clock.advance(.seconds(170))
        #expect(told(try await failure { _ = try await id() }).contains("503"))
        expectNoSecrets(rig.notes)
    }

    @Test("a machine whose clock is wrong asks once more with the server's time")
    func clockSkew() async throws {
        let rig = try CredentialRig()
        // The server lives in 2030, and refuses what is older than five minutes.
        let date = "Tue, 01 Jan 2030 00:00:00 GMT"
        let aws = try LoopbackServer { request, _ in
            guard request.headers["x-amz-date"]?.hasPrefix("20300101T00") == true else {
                return .answer(
                    403, ["Date": date],
                    body: Array(#"{"__type":"InvalidSignatureException","message":"expired"}"#.utf8))
            }
            return StubAWS.login(request)
        }
        #expect(try await login(rig, aws, Self.keys) == "AWS:AKIDENV")
        #expect(aws.requests.count == 2)
        let error = try await failure {
            _ = try await login(rig, aws, Self.keys.merging(["AWS_DISABLE_CLOCK_SKEW_CORRECTION": "true"]) { $1 })
        }
        #expect(told(error).contains("clock is wrong"))
        #expect(aws.requests.count == 3)
    }
}

/// Time that passes when a test says so.
final class TestClock: Sendable {
    private let time = Mutex(ContinuousClock.now)

    func advance(_ duration: Duration) { time.withLock { $0 += duration } }

    var pacing: Pacing { Pacing(now: { self.time.withLock { $0 } }, sleep: { _ in }, random: { 0 }) }
}
