package import SystemPackage

/// docker-registry in the part of an ECR registry: with TLS under ECR's own name, and the login that moto hands out.
///
/// Clients have to be told to connect to it (`connection`), and to believe its certificate.
package final class LoopbackECR: Sendable {
    package static let host = "\(MotoServer.account).dkr.ecr.eu-west-2.amazonaws.com"

    package let registry: DockerRegistry
    /// Signed by itself, for `host`.
    package let certificate: FilePath
    private let folder: TemporaryDirectory

    /// `HOST:443:127.0.0.1:PORT`, as curl takes it.
    package var connection: String { "\(Self.host):443:\(registry.host)" }

    package init() throws {
        folder = try TemporaryDirectory()
        certificate = folder.appending("certificate.pem")
        let key = folder.appending("key.pem")
        try Program.require([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2",
            "-subj", "/CN=ecr.test", "-addext", "subjectAltName=DNS:\(Self.host)", "-keyout", key.string, "-out",
            certificate.string,
        ])
        registry = try DockerRegistry(user: ("AWS", MotoServer.password), certificate: certificate, key: key)
    }

    /// The status of `HEAD` on a manifest, by curl.
    package func status(of reference: String, in repository: String) throws -> String {
        try Program.require([
            "curl", "--silent", "--noproxy", "*", "--head", "--output", "/dev/null", "--write-out", "%{http_code}",
            "--cacert", certificate.string, "--connect-to", connection, "--user", "AWS:\(MotoServer.password)",
            "--header", "Accept: application/vnd.oci.image.manifest.v1+json",
            "https://\(Self.host)/v2/\(repository)/manifests/\(reference)",
        ]).text
    }
}
