import SystemPackage

/// A registry on this machine that refuses everything in the same words. Ends with this object.
package final class RefusingRegistry: Sendable {
    /// `127.0.0.1:PORT`; it speaks plain HTTP.
    package let host: String
    private let folder: TemporaryDirectory
    private let server: Server

    package init(_ status: Int, _ body: String) throws {
        folder = try TemporaryDirectory()
        let program = Fixtures.programs.appending("refusing-registry.py")
        server = try Server(["python3", program.string, String(status), body], log: folder.appending("log"))
        let port = try server.wait(for: "the port of a registry") { log in
            log.split(separator: "\n").first.flatMap { UInt16($0) }
        }
        host = "127.0.0.1:\(port)"
    }
}
