import SystemPackage

/// What surrounds a program in AWS: EC2's metadata service, the agents of ECS and of EKS Pod Identity. Ends with this object.
///
/// `Tests/Fixtures/aws-metadata.py` says which paths there are.
package final class AWSMetadataServer: Sendable {
    /// `http://127.0.0.1:PORT`.
    package let url: String
    private let folder: TemporaryDirectory
    private let server: Server

    /// - Parameters: the key that all of them hand out.
    package init(id: String, secret: String, token: String) throws {
        folder = try TemporaryDirectory()
        let program = Fixtures.programs.appending("aws-metadata.py")
        server = try Server(["python3", program.string, id, secret, token], log: folder.appending("log"))
        let port = try server.wait(for: "the port of the metadata server") { log in
            log.split(separator: "\n").first.flatMap { UInt16($0) }
        }
        url = "http://127.0.0.1:\(port)"
    }
}
