package import SystemPackage

/// An authority that nobody believes by default, with certificates that it signed. Removed with this object.
package final class TestAuthority: Sendable {
    /// A certificate and its key, both PEM files.
    package struct Identity: Sendable {
        package let certificate: FilePath
        package let key: FilePath
    }

    /// The authority's own certificate.
    package let certificate: FilePath
    private let key: FilePath
    private let folder: TemporaryDirectory

    private static let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

    package init() throws {
        folder = try TemporaryDirectory()
        certificate = folder.appending("authority.pem")
        key = folder.appending("authority.key")
        try Program.require(
            ["openssl", "req", "-x509"] + Self.curve + [
                "-days", "2", "-subj", "/CN=test authority", "-keyout", key.string, "-out", certificate.string,
            ])
    }

    /// Makes a certificate for `subject`, as `IP:127.0.0.1`, valid until `days` from now.
    package func identity(for subject: String, days: Int = 2) throws -> Identity {
        let name = "identity\(UInt32.random(in: 0 ... .max))"
        let made = Identity(certificate: folder.appending("\(name).pem"), key: folder.appending("\(name).key"))
        let request = folder.appending("\(name).csr")
        try Program.require(
            ["openssl", "req"] + Self.curve + ["-subj", "/CN=test", "-keyout", made.key.string, "-out", request.string])
        let extensions = try folder.write("subjectAltName=\(subject)\n", to: "\(name).ext")
        try Program.require([
            "openssl", "x509", "-req", "-in", request.string, "-CA", certificate.string, "-CAkey", key.string,
            "-CAcreateserial", "-days", "\(days)", "-extfile", extensions.string, "-out", made.certificate.string,
        ])
        return made
    }
}
