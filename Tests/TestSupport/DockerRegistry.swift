package import SystemPackage

/// Debian's docker-registry on a free port of 127.0.0.1, empty at first, over plain HTTP. It ends with this object.
package final class DockerRegistry: Sendable {
    /// One request, as the registry's access log has it.
    package struct Request: Sendable, Equatable {
        package let method: String
        /// The path with its query.
        package let path: String
        package let status: Int
    }

    package let port: UInt16
    /// `127.0.0.1:PORT`, the registry's name in image references.
    package var host: String { "127.0.0.1:\(port)" }

    /// The folder of the registry's own storage, for tests that damage it.
    package var storage: FilePath { folder.appending("storage") }

    private let folder: TemporaryDirectory
    private let server: Server

    /// Starts a registry, which asks for the name and password of `user` if there is one, and speaks TLS if it has a certificate
    /// with its key, to those alone whom the authority of `clients` knows if there is one; or that asks for tokens of an issuer.
    package init(
        user: (name: String, password: String)? = nil, certificate: FilePath? = nil, key: FilePath? = nil,
        clients: FilePath? = nil, tokens: TokenIssuer? = nil
    ) throws {
        folder = try TemporaryDirectory()
        var configuration = """
            version: 0.1
            log: {level: info, formatter: text, accesslog: {disabled: false}}
            storage:
              filesystem: {rootdirectory: \(try folder.makeDirectory("storage"))}
              delete: {enabled: true}
              maintenance: {uploadpurging: {enabled: false}}
            # Manifests may name addresses of layers that are not here.
            validation: {disabled: true}
            http:
              addr: "127.0.0.1:0"

            """
        if let certificate, let key {
            let authorities = clients.map { ", clientcas: [\($0)]" } ?? ""
            configuration += "  tls: {certificate: \(certificate), key: \(key)\(authorities)}\n"
        }
        if let user {
            // The registry takes bcrypt only; the password goes by standard input.
            let line = try Program.require(
                ["htpasswd", "-niB", "-C", "4", user.name], input: Array(user.password.utf8))
            let file = try folder.write(line.output, to: "htpasswd")
            configuration += "auth: {htpasswd: {realm: imgbuild-tests, path: \(file)}}\n"
        }
        if let tokens {
            configuration += """
                auth:
                  token:
                    realm: http://127.0.0.1:\(tokens.port)/token
                    service: tests
                    issuer: imgbuild-tests
                    rootcertbundle: \(tokens.certificate)

                """
        }
        let file = try folder.write(configuration, to: "config.yml")
        server = try Server(
            ["docker-registry", "serve", file.string],
            environment: Program.environment(adding: ["OTEL_TRACES_EXPORTER": "none"]), log: folder.appending("log"))
        port = try server.wait(for: "the port of docker-registry") { log in
            let marker = "listening on 127.0.0.1:"
            guard let line = log.split(separator: "\n").first(where: { $0.contains(marker) }) else { return nil }
            let parts = line.split(separator: "127.0.0.1:")
            return parts.last.flatMap { UInt16($0.prefix { $0.isNumber }) }
        }
    }

    /// Ends the registry; what it held is removed with this object.
    package func stop() { server.stop() }

    /// Whether the repository has the tag.
    package func hasTag(_ tag: String, in repository: String, user: (name: String, password: String)? = nil) throws
        -> Bool
    {
        let credentials = user.map { ["--user", "\($0.name):\($0.password)"] } ?? []
        let answer = try Program.require(
            ["curl", "--silent", "--head", "--output", "/dev/null", "--write-out", "%{http_code}"] + credentials + [
                "--header", "Accept: application/vnd.oci.image.manifest.v1+json",
                "http://\(host)/v2/\(repository)/manifests/\(tag)",
            ])
        return answer.text == "200"
    }

    /// All that the registry has logged.
    package func log() throws -> String { try text(of: server.log) }

    /// The requests answered so far, in the order of their ends.
    package func requests() throws -> [Request] {
        // 127.0.0.1 - - [22/Nov/2026:20:00:00 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "curl/7.88.1"
        try log().split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "\"", maxSplits: 2)
            guard parts.count == 3 else { return nil }
            let words = parts[1].split(separator: " ")
            let numbers = parts[2].split(separator: " ")
            guard words.count == 3, words[2].hasPrefix("HTTP/"), let status = numbers.first.flatMap({ Int($0) }) else {
                return nil
            }
            return Request(method: String(words[0]), path: String(words[1]), status: status)
        }
    }
}
