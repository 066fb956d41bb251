import SystemPackage

/// Files served over plain HTTP from a free port of 127.0.0.1 by Python's own server. Ends with this object.
///
/// Below `/undated/` they have no `Last-Modified`, below `/private/` they are for `tester:secret` alone, below `/guarded/` for
/// who sends the header that `init` was given, and `/moved/URL` is a redirect to the percent-encoded `URL`.
package final class FileServer: Sendable {
    package let port: UInt16
    /// `127.0.0.1:PORT`.
    package var host: String { "127.0.0.1:\(port)" }

    private let folder: TemporaryDirectory
    private let server: Server

    /// - Parameter header: the whole value of `Authorization` that `/guarded/` demands.
    package init(demanding header: String? = nil) throws {
        folder = try TemporaryDirectory()
        let files = try folder.makeDirectory("files")
        let program = Fixtures.programs.appending("file-http-server.py")
        server = try Server(
            ["python3", program.string, files.string, folder.appending("requests").string]
                + [header].compactMap(\.self), log: folder.appending("log"))
        port = try server.wait(for: "the port of the file server") { log in
            log.split(separator: "\n").first.flatMap { UInt16($0) }
        }
    }

    /// Puts a file on the server.
    ///
    /// - Parameter modified: as `touch --date` takes it.
    package func write(_ bytes: [UInt8], to name: String, modified: String = "2020-02-29T12:34:56Z") throws {
        let file = try folder.write(bytes, to: "files/\(name)")
        try Program.require(["touch", "--date", modified, file.string])
    }

    package func write(_ text: String, to name: String, modified: String = "2020-02-29T12:34:56Z") throws {
        try write(Array(text.utf8), to: name, modified: modified)
    }

    /// Runs a shell script in the folder that is served, to make archives and the like.
    package func run(_ script: String) throws {
        try Program.require(["sh", "-ec", script], in: folder.appending("files"))
    }

    /// The requests answered so far, each as `GET /path 200 user`, with `-` for no user and the name
    /// of the scheme in place of a user that is none of HTTP Basic.
    package func requests() throws -> [String] {
        guard let log = try? text(of: folder.appending("requests")) else { return [] }
        return log.split(separator: "\n").map(String.init)
    }
}
