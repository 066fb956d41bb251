import OCI
import SystemIO
import SystemPackage
import Testing

@testable import Registry

@Suite("where credentials come from")
struct RegistryCredentialsTests {
    @Test("the variable wins over the file, and leaves other hosts to it")
    func variable() async throws {
        let rig = try CredentialRig()
        try rig.dockerConfig(
            #"{"auths":{"h":{"username":"file","password":"p"},"other":{"username":"o","password":"p"}}}"#)
        let provider = try rig.credentials([
            "DOCKER_AUTH_CONFIG": #"{"auths":{"h":{"username":"variable","password":"p"}}}"#
        ])
        #expect(try await rig.login(provider, "h") == "variable:p")
        #expect(try await rig.login(provider, "other") == "o:p")
        #expect(try await rig.login(provider, "third") == "-")
    }

    @Test("the first file that exists is used alone, in the documented order")
    func files() async throws {
        let rig = try CredentialRig()
        func config(_ user: String) -> [UInt8] {
            Array(#"{"auths":{"h":{"username":"\#(user)","password":"p"}}}"#.utf8)
        }
        let home = rig.scratch.path
        for folder in ["d", "x", "x/containers", "r", "r/containers"] {
            try Program.run("/bin/mkdir", ["-p", home.appending(folder).string])
        }
        let environment = [
            "XDG_CONFIG_HOME": home.appending("x").string, "XDG_RUNTIME_DIR": home.appending("r").string,
            "REGISTRY_AUTH_FILE": home.appending("named.json").string, "DOCKER_CONFIG": home.appending("d").string,
        ]
        // From the last to the first: each one that appears takes over.
        for place in [
            "x/containers/auth.json", "r/containers/auth.json", "named.json", ".docker/config.json", "d/config.json",
        ] {
            _ = try rig.scratch.write(place, config(place))
            #expect(try await rig.login(try rig.credentials(environment), "h") == "\(place):p")
        }
        let file = try rig.scratch.write("elsewhere", config("elsewhere"))
        #expect(
            try await rig.login(
                rig.credentials(
                    environment.merging(["DOCKER_AUTH_CONFIG": "{}"]) { $1 }, authFile: file), "h") == "elsewhere:p")
        // Kaniko takes the file itself in DOCKER_CONFIG.
        #expect(try await rig.login(try rig.credentials(["DOCKER_CONFIG": file.string]), "h") == "elsewhere:p")
        #expect(rig.warnings.isEmpty)
    }

    @Test("what cannot be read stops the build with the path; it never becomes anonymous access")
    func unusable() async throws {
        let rig = try CredentialRig()
        let missing = try await failure { _ = try rig.credentials(authFile: "/nonexistent/config.json") }
        #expect(told(missing).contains("/nonexistent/config.json"))
        try rig.dockerConfig(#"{"auths":{"h":{"auth":"hunter2"#)
        #expect(told(try await failure { _ = try rig.credentials() }).contains(".docker/config.json"))
        let variable = try await failure { _ = try rig.credentials(["DOCKER_AUTH_CONFIG": #"{"auths":"hunter2"}"#]) }
        #expect(told(variable).contains("DOCKER_AUTH_CONFIG"))
    }

    @Test("a misspelled key is told once, with what was meant; docker's other keys are not")
    func misspelled() async throws {
        let rig = try CredentialRig()
        try rig.dockerConfig(
            #"{"credStore":"x","auth":{},"HttpHeaders":{},"detachKeys":"x","credhelpers":{},"auths":{},"somethingElse":1}"#
        )
        let provider = try rig.credentials()
        _ = try await rig.login(provider, "h")
        #expect(rig.warnings.count == 2)
        #expect(rig.warnings.contains { $0.contains("\"credStore\"") && $0.contains("\"credsStore\"") })
        #expect(rig.warnings.contains { $0.contains("\"auth\"") && $0.contains("\"auths\"") })
    }

    @Test("a key in other letters counts, as for docker")
    func letterCase() async throws {
        let rig = try CredentialRig()
        try rig.dockerConfig(#"{"Auths":{"h":{"Username":"u","PASSWORD":"p"}}}"#)
        #expect(try await rig.login(try rig.credentials(), "h") == "u:p")
    }

    @Test("Kaniko's variables answer for a host and what is below it")
    func kaniko() async throws {
        let rig = try CredentialRig()
        let provider = try rig.credentials([
            "KANIKO_MY_REG_EXAMPLE_COM_USER": "exact", "KANIKO_MY_REG_EXAMPLE_COM_PASSWORD": "p",
            "KANIKO_EXAMPLE_ORG_USER": "domain", "KANIKO_EXAMPLE_ORG_PASSWORD": "p", "KANIKO_COM_USER": "everybody",
            "KANIKO_COM_PASSWORD": "p", "KANIKO_LOCALHOST_USER": "l", "KANIKO_LOCALHOST_PASSWORD": "p",
            "KANIKO_HALF_TEST_PASSWORD": "hunter2",
        ])
        let cases = [
            ("my-reg.example.com", "exact:p"), ("my-reg.example.com:5000", "exact:p"), ("a.b.example.org", "domain:p"),
            ("example.com", "-"), ("localhost:5000", "l:p"),
        ]
        for (registry, login) in cases { #expect(try await rig.login(provider, registry) == login, "\(registry)") }
        let half = try await failure { _ = try await rig.login(provider, "half.test") }
        #expect(told(half).contains("KANIKO_HALF_TEST_USER"))
    }

    // MARK: Helpers

    @Test("a helper is given the host as it is written, once for a host, and all answers it may give are understood")
    func helper() async throws {
        let rig = try CredentialRig()
        try rig.program(
            "docker-credential-fine",
            """
            read -r host || true
            echo "$1 $host" >>"$HOME/asked"
            case $host in
            token) echo '{"ServerURL":"t","Username":"<token>","Secret":"identity"}';;
            none) echo "credentials not found in native keychain"; exit 1;;
            *) printf '{"ServerURL":"%s","Username":"u","Secret":"p-%s"}' "$host" "$host";;
            esac
            """)
        try rig.dockerConfig(
            #"""
            {"credsStore":"fine","credHelpers":{"https://H:5000/v2/":"fine"},
             "auths":{"none":{"username":"inline","password":"p"},"empty":{}}}
            """#)
        let provider = try rig.credentials()
        #expect(try await rig.login(provider, "h:5000") == "u:p-https://H:5000/v2/")
        #expect(try await rig.login(provider, "h:5000", "other/repository") == "u:p-https://H:5000/v2/")
        #expect(try await rig.login(provider, "docker.io") == "u:p-https://index.docker.io/v1/")
        #expect(try await rig.login(provider, "token") == "identity identity")
        #expect(try await rig.login(provider, "none") == "inline:p")
        let asked = String(decoding: try rig.scratch.read("asked"), as: UTF8.self).split(separator: "\n")
        #expect(
            asked == ["get https://H:5000/v2/", "get https://index.docker.io/v1/", "get token", "get none"])
        #expect(rig.notes.texts.contains { $0.contains("docker-credential-fine") && $0.contains("config.json") })
        expectNoSecrets(rig.notes, ["p-https"])
    }

    @Test("a helper that fails is an error with its own words, and never anonymous access")
    func failingHelpers() async throws {
        let rig = try CredentialRig()
        try rig.program("docker-credential-angry", "echo 'the vault is sealed'; echo 'see the log' >&2; exit 2")
        try rig.program("docker-credential-mute", "exit 3")
        try rig.program("docker-credential-garbage", "echo 'Secret: hunter2'")
        try rig.program("docker-credential-half", #"echo '{"Username":"u","Secret":""}'"#)
        try rig.program("docker-credential-url", "echo 'no credentials server URL'; exit 1")
        let cases = [
            ("angry", ["the vault is sealed", "see the log", "docker-credential-angry"]), ("mute", ["ended with 3"]),
            ("garbage", ["not the JSON"]), ("half", ["without a secret"]), ("url", ["no credentials server URL"]),
            ("absent", ["docker-credential-absent", "$PATH"]), ("../../bin/sh", ["cannot be one"]),
        ]
        for (name, texts) in cases {
            try rig.dockerConfig(
                #"{"credHelpers":{"h":"\#(name)"},"auths":{"h":{"username":"inline","password":"hunter2"}}}"#)
            let provider = try rig.credentials()
            let error = try await failure { _ = try await rig.login(provider, "h") }
            let text = told(error)
            for expected in texts + [".docker/config.json"] { #expect(text.contains(expected), "\(text)") }
        }
        expectNoSecrets(rig.notes)
    }

    @Test("a program that hangs is stopped")
    func hangingProgram() async throws {
        let rig = try CredentialRig()
        try rig.program("hangs", "trap '' TERM; while :; do sleep 60; done")
        let programs = ProgramRunner(pool: testPool, environment: rig.environment())
        let error = try await failure {
            _ = try await programs.run(["hangs"], what: "the program", timeout: .milliseconds(200))
        }
        #expect(told(error).contains("did not end within"))
    }

    @Test("many that need a helper's answer at the same time run it once")
    func singleHelper() async throws {
        let rig = try CredentialRig()
        try rig.program(
            "docker-credential-slow", #"echo x >>"$HOME/asked"; sleep 0.2; echo '{"Username":"u","Secret":"p"}'"#)
        try rig.dockerConfig(#"{"credsStore":"slow"}"#)
        let provider = try rig.credentials()
        let logins = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<4 { group.addTask { try await rig.login(provider, "h") } }
            return try await group.reduce(into: [String]()) { $0.append($1) }
        }
        #expect(logins == ["u:p", "u:p", "u:p", "u:p"])
        #expect(try rig.scratch.read("asked") == Array("x\n".utf8))
    }

    @Test("ecr-login is served without a program: for ECR; for others it has nothing, or is a mistake")
    func ecrLogin() async throws {
        let rig = try CredentialRig()
        let aws = try LoopbackServer { request, _ in StubAWS.login(request) }
        let environment = [
            "AWS_ENDPOINT_URL": "http://\(aws.authority)", "AWS_ACCESS_KEY_ID": "AKID1",
            "AWS_SECRET_ACCESS_KEY": "env-hunter2",
        ]
        try rig.dockerConfig(
            #"{"credsStore":"ecr-login","auths":{"h":{"username":"inline","password":"p"}},"credHelpers":{"bad":"ecr-login"}}"#
        )
        let provider = try rig.credentials(environment)
        #expect(try await rig.login(provider, ecrHost) == "AWS:AKID1")
        #expect(try await rig.login(provider, "h") == "inline:p")
        #expect(try await rig.login(provider, "third") == "-")
        #expect(
            told(try await failure { _ = try await rig.login(provider, "bad") }).contains("no registry of Amazon ECR"))
        // A registry that only begins like ECR's gets no login of AWS.
        #expect(try await rig.login(provider, "\(ecrHost).fake.example.com") == "-")
        #expect(aws.requests.count == 1)
        expectNoSecrets(rig.notes)
    }

    // MARK: Refused credentials

    /// A registry that takes one password with Basic.
    private func registry(taking password: String) throws -> LoopbackServer {
        try LoopbackServer { request, _ in
            guard request.headers["authorization"] == basic("u", password) else {
                return .answer(401, ["WWW-Authenticate": "Basic realm=\"x\""])
            }
            return .text(200, #"{"schemaVersion":2,"config":{},"layers":[]}"#)
        }
    }

    private func pull(_ server: LoopbackServer, _ provider: RegistryCredentials) async throws {
        let client = RegistryClient(
            registry: server.authority, plainHTTP: true, transport: transport(), credentials: provider,
            pacing: Notes().pacing, notice: { _ in })
        _ = try await client.manifest(of: .init(registry: server.authority, repository: "r", tag: "1"))
    }

    @Test("a configuration that was replaced meanwhile is read again when its password is refused")
    func rotation() async throws {
        let rig = try CredentialRig()
        let server = try registry(taking: "new-hunter2")
        try rig.dockerConfig(#"{"auths":{"\#(server.authority)":{"username":"u","password":"old-hunter2"}}}"#)
        let provider = try rig.credentials()
        let error = try await failure { try await pull(server, provider) }
        #expect(error.kind == .credentials && told(error).contains(".docker/config.json"))
        try rig.dockerConfig(#"{"auths":{"\#(server.authority)":{"username":"u","password":"new-hunter2"}}}"#)
        try await pull(server, provider)
    }

    @Test("a helper is asked again when its password is refused")
    func helperRotation() async throws {
        let rig = try CredentialRig()
        let server = try registry(taking: "p2")
        try rig.program(
            "docker-credential-turn",
            #"echo x >>"$HOME/asked"; printf '{"Username":"u","Secret":"p%d"}' "$(wc -l <"$HOME/asked")""#)
        try rig.dockerConfig(#"{"credsStore":"turn"}"#)
        try await pull(server, try rig.credentials())
    }
}
