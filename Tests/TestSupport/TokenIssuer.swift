import SystemPackage

/// A token server whose tokens a `DockerRegistry` believes. Ends with this object.
///
/// Who may do what stands in `Tests/Fixtures/token-server.py`.
package final class TokenIssuer: Sendable {
    package let port: UInt16
    /// The certificate of the key that signs the tokens.
    let certificate: FilePath
    private let folder: TemporaryDirectory
    private let server: Server

    package static let user = (name: "tester", password: "s3cret-hunter2")
    package static let identityToken = "identity-hunter2"

    /// - Parameters:
    ///   - ended: how many tokens are past their end at first, and do not say so.
    ///   - minds: only the first scope of those that are asked for.
    ///   - refusal: the status that POST is answered with, if it is not served.
    package init(ended: Int = 0, mindsFirstScopeOnly minds: Bool = false, refusingPost refusal: Int? = nil) throws {
        folder = try TemporaryDirectory()
        certificate = folder.appending("token.pem")
        let key = folder.appending("token.key")
        try Program.require([
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens", "-keyout",
            key.string, "-out", certificate.string,
        ])
        var arguments = [
            "python3", Fixtures.programs.appending("token-server.py").string, key.string, certificate.string,
            folder.appending("requests").string, "--ended", "\(ended)",
        ]
        if minds { arguments.append("--first-scope") }
        if let refusal { arguments += ["--no-post", "\(refusal)"] }
        server = try Server(arguments, log: folder.appending("log"))
        port = try server.wait(for: "the port of the token server") { log in
            log.split(separator: "\n").first.flatMap { UInt16($0) }
        }
    }

    /// What was asked for, each as `GET tester repository:a:pull`.
    package func requests() throws -> [String] {
        guard let log = try? text(of: folder.appending("requests")) else { return [] }
        return log.split(separator: "\n").map(String.init)
    }
}
