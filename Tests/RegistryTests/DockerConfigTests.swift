import Glibc
import SystemIO
import SystemPackage
import Testing

@testable import Registry

@Suite("docker configuration")
struct DockerConfigTests {
    private func config(_ text: String) throws -> DockerConfig {
        try DockerConfig(parsing: Array(text.utf8), name: "/c.json")
    }

    /// The user, or the kind of answer.
    private func user(_ config: DockerConfig, _ registry: String, _ repository: String) throws -> String {
        switch try config.answers(registry: registry, repository: repository).first {
        case nil: return "-"
        case .helper(let name, let server, _)?: return "helper \(name) \(server)"
        case .credential(let credential)?:
            switch credential.secret {
            case .password(let user, let password): return "\(user):\(password)"
            case .identityToken(let token, let user): return "identity \(user):\(token)"
            case .registryToken(let token): return "token \(token)"
            }
        }
    }

    @Test("the longest key that holds the repository answers, in every spelling of its host")
    func keys() throws {
        let cases: [(keys: [String], registry: String, repository: String, expected: String)] = [
            (["https://index.docker.io/v1/"], "docker.io", "library/debian", "https://index.docker.io/v1/:p"),
            (["docker.io"], "docker.io", "library/debian", "docker.io:p"),
            (["https://h/v2/"], "h", "a", "https://h/v2/:p"), (["http://h"], "h", "a", "http://h:p"),
            (["H.Example.COM"], "h.example.com", "a", "H.Example.COM:p"),
            (["h"], "h:5000", "a", "-"), (["h:5000"], "h:5000", "a", "h:5000:p"), (["h:5000"], "h", "a", "-"),
            (["h", "h/a", "h/a/b"], "h", "a/b/c", "h/a/b:p"), (["h", "h/a"], "h", "ab/c", "h:p"),
            (["h/a"], "h", "b", "-"), (["h/a/b"], "h", "a", "-"),
            (["https://h", "h", "http://h/"], "h", "a", "h:p"), (["other"], "h", "a", "-"),
        ]
        for (keys, registry, repository, expected) in cases {
            let auths = keys.map { #""\#($0)":{"username":"\#($0)","password":"p"}"# }.joined(separator: ",")
            #expect(try user(config(#"{"auths":{\#(auths)}}"#), registry, repository) == expected, "\(keys)")
        }
    }

    @Test("what an entry may hold")
    func entries() throws {
        let cases: [(entry: String, expected: String)] = [
            (#"{"auth":"dTpw"}"#, "u:p"), (#"{"auth":"dTpwOng="}"#, "u:p:x"), (#"{"auth":"dTpwOng"}"#, "u:p:x"),
            (#"{"auth":"dTpw\n"}"#, "u:p"), (#"{"auth":"dTpwAAA="}"#, "u:p"),
            (#"{"auth":"dTpw","username":"x","password":"y"}"#, "u:p"),
            (#"{"username":"x","password":"y"}"#, "x:y"),
            (#"{"auth":"dTpw","identitytoken":"t"}"#, "identity u:t"),
            (#"{"username":"<token>","password":"t"}"#, "identity :t"),
            (#"{"auth":"dTpw","identitytoken":"i","registrytoken":"r"}"#, "token r"), (#"{}"#, "-"),
            (#"{"auth":"","email":"x@y"}"#, "-"),
        ]
        for (entry, expected) in cases {
            #expect(try user(config(#"{"auths":{"h":\#(entry)},"other":[1]}"#), "h", "a") == expected, "\(entry)")
        }
    }

    @Test(
        "an auth that is not user:password is an error with file and key, and no secret",
        arguments: ["dXA=", "OnA=", "%%%", "c2VjcmV0"])
    func malformedAuth(auth: String) async throws {
        let config = try config(#"{"auths":{"h":{"auth":"\#(auth)"},"fine":{"auth":"dTpw"}}}"#)
        let error = try await failure { _ = try config.answers(registry: "h", repository: "a") }
        #expect(error.kind == .configuration)
        #expect(error.message.contains("/c.json") && error.message.contains("\"h\""))
        #expect(!"\(error)".contains(auth) && !"\(error)".contains("secret"))
        #expect(try user(config, "fine", "a") == "u:p")
    }

    @Test("a helper for the host comes before the store, the store before the entries")
    func helpers() throws {
        let config = try config(
            #"{"auths":{"h":{"auth":"dTpw"}},"credHelpers":{"https://h":"b","h":"a"},"credsStore":"desktop"}"#)
        let source = CredentialSource.dockerConfig(name: "/c.json", key: "h")
        #expect(
            try config.answers(registry: "h", repository: "a") == [
                .helper(name: "a", server: "h", isForThisHost: true),
                .helper(name: "desktop", server: "h", isForThisHost: false),
                .credential(Credential(.password(user: "u", password: "p"), source: source)),
            ])
        #expect(
            try config.answers(registry: "docker.io", repository: "a") == [
                .helper(name: "desktop", server: "https://index.docker.io/v1/", isForThisHost: false)
            ])
    }

    @Test("broken files are errors with a place")
    func malformed() async throws {
        let cases = [
            ("{\n  \"auths\": x}", "line 2, column 12"), ("", "line 1, column 1"),
            (#"{"auths":{"h":{"auth":"c2VjcmV0}}}"#, "line 1, column 35"), ("[]", "not a JSON object"),
            (#"{"auths":{"h":{"auth":5}}}"#, "'auths.h.auth' has the wrong type"),
        ]
        for (text, says) in cases {
            let error = try await failure { _ = try config(text) }
            #expect(error.message.contains(says) && error.message.contains("/c.json"), "\(error)")
        }
    }

    @Test("the first file that exists is read; directories are passed over with a notice")
    func load() throws {
        let scratch = try ScratchDirectory()
        let second = try scratch.write("second.json", Array(#"{"auths":{"h":{"auth":"dTpw"}}}"#.utf8))
        let notes = Notes()
        let config = try DockerConfig.load(
            [scratch.path.appending("missing"), scratch.path, second].map { DockerConfigPlace($0) }, notice: notes.note)
        #expect(config?.name == second.string)
        #expect(notes.texts.count == 1)
        #expect(
            try DockerConfig.load([DockerConfigPlace(scratch.path.appending("missing"))], notice: notes.note) == nil)
    }

    @Test("a credential does not print its secret")
    func secrecy() {
        let credential = Credential(.password(user: "u", password: "hunter2"), source: .named("x"))
        var dumped = ""
        dump(credential, to: &dumped)
        #expect(!"\(credential) \(String(reflecting: credential)) \(dumped)".contains("hunter2"))
    }
}
