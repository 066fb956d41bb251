import FoundationEssentials
import Glibc
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Registry

/// A home and a PATH of their own, and all that was said. Secrets of these tests hold the word `hunter2`.
final class CredentialRig: Sendable {
    let scratch: ScratchDirectory
    let notes = Notes()

    init() throws {
        scratch = try ScratchDirectory()
        for folder in ["bin", ".docker", ".aws"] {
            mkdir(scratch.path.appending(folder).string, 0o755)
        }
    }

    /// The environment of most tests: no machine around that could have a role.
    func environment(_ more: [String: String] = [:]) -> [String: String] {
        [
            "HOME": scratch.path.string, "PATH": "\(scratch.path.string)/bin:/usr/bin:/bin",
            "AWS_EC2_METADATA_DISABLED": "true",
        ].merging(more) { $1 }
    }

    func credentials(
        _ environment: [String: String] = [:], authFile: FilePath? = nil, retries: Bool = true,
        _ change: (inout TransportSettings) -> Void = { _ in }
    ) throws -> RegistryCredentials {
        var settings = TransportSettings(userAgent: "imgbuild/test")
        change(&settings)
        return try RegistryCredentials(
            environment: self.environment(environment), authFile: authFile, transport: settings, pool: testPool,
            pacing: notes.pacing
        ) { [notes] note in
            switch note {
            case .warning(let text): notes.note("warning: \(text)")
            case .detail(let text): notes.note("detail: \(text)")
            }
        }
    }

    func dockerConfig(_ text: String) throws {
        _ = try scratch.write(".docker/config.json", Array(text.utf8))
    }

    func awsConfig(_ text: String) throws { _ = try scratch.write(".aws/config", Array(text.utf8)) }
    func awsCredentials(_ text: String) throws { _ = try scratch.write(".aws/credentials", Array(text.utf8)) }

    /// Puts a program into PATH.
    func program(_ name: String, _ script: String) throws {
        let file = try scratch.write("bin/\(name)", Array("#!/bin/sh\n\(script)\n".utf8))
        chmod(file.string, 0o755)
    }

    var warnings: [String] { notes.texts.filter { $0.hasPrefix("warning: ") } }

    /// `user:password` of what answers, `-` for nothing.
    func login(_ provider: RegistryCredentials, _ registry: String, _ repository: String = "a") async throws -> String {
        switch try await provider.credential(registry: registry, repository: repository)?.secret {
        case nil: "-"
        case .password(let user, let password)?: "\(user):\(password)"
        case .identityToken(let token, _)?: "identity \(token)"
        case .registryToken(let token)?: "token \(token)"
        }
    }
}

/// All that people may get to see of an error, in which no secret may be.
func told(_ error: RegistryError, secrets: [String] = []) -> String {
    var dumped = ""
    dump(error, to: &dumped)
    let text = "\(error)\n\(error.hint ?? "")\n\(dumped)"
    for secret in ["hunter2"] + secrets { #expect(!text.contains(secret), "a secret is in: \(text)") }
    return "\(error) \(error.hint ?? "")"
}

/// Checks that nothing that was said has a secret in it.
func expectNoSecrets(_ notes: Notes, _ secrets: [String] = []) {
    for secret in ["hunter2"] + secrets {
        #expect(!notes.texts.contains { $0.contains(secret) }, "a secret is in: \(notes.texts)")
    }
}

/// The services of AWS as a test needs them: ECR's password tells by whose key it was asked for.
enum StubAWS {
    /// ECR's answer for the key in the request's signature.
    static func login(_ request: LoopbackServer.Request, expiresIn seconds: Int64 = 43200) -> LoopbackServer.Reply {
        let signed = request.headers["authorization"] ?? ""
        let id = signed.firstMatch(of: /Credential=([^\/]*)/).map { String($0.1) } ?? "nobody"
        let token = Data("AWS:\(id)".utf8).base64EncodedString()
        let end = Timestamp.now.seconds + seconds
        return .text(
            200,
            #"{"authorizationData":[{"authorizationToken":"\#(token)","expiresAt":\#(end).5,"proxyEndpoint":"x"}]}"#)
    }

    /// STS's answer with a temporary key.
    static func role(_ action: String, id: String, life: Int64 = 3600) -> LoopbackServer.Reply {
        let end = Timestamp(seconds: Timestamp.now.seconds + life).rfc3339
        return .text(
            200,
            """
            <\(action)Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><\(action)Result><Credentials>
            <AccessKeyId>\(id)</AccessKeyId><SecretAccessKey>role-hunter2</SecretAccessKey>
            <SessionToken>session-hunter2</SessionToken><Expiration>\(end)</Expiration>
            </Credentials></\(action)Result></\(action)Response>
            """)
    }

    static func failure(_ status: Int, _ code: String, _ message: String = "no") -> LoopbackServer.Reply {
        .text(status, #"{"__type":"com.amazonaws.ecr#\#(code)","message":"\#(message)"}"#)
    }

    static func stsFailure(_ status: Int, _ code: String, _ message: String = "no") -> LoopbackServer.Reply {
        .text(
            status,
            "<ErrorResponse><Error><Type>Sender</Type><Code>\(code)</Code><Message>\(message)</Message></Error></ErrorResponse>"
        )
    }

    /// Which operation a request asks for.
    static func operation(_ request: LoopbackServer.Request) -> String {
        if let target = request.headers["x-amz-target"] { return String(target.split(separator: ".").last ?? "") }
        let form = String(decoding: request.body, as: UTF8.self)
        return form.firstMatch(of: /Action=([A-Za-z]+)/).map { String($0.1) } ?? ""
    }

    /// The value of a field in a request's form.
    static func field(_ name: String, _ request: LoopbackServer.Request) -> String? {
        String(decoding: request.body, as: UTF8.self).split(separator: "&").first { $0.hasPrefix("\(name)=") }
            .map { String($0.dropFirst(name.utf8.count + 1)) }
    }
}

/// The registry of most tests.
let ecrHost = "123456789012.dkr.ecr.eu-west-2.amazonaws.com"
