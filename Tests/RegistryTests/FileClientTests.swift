import Glibc
import OCI
import SystemIO
import SystemPackage
import Testing

@testable import Registry

@Suite("files from addresses that a user named")
final class FileClientTests: Sendable {
    private let folder: ScratchDirectory
    private let file: OwnedDescriptor

    init() throws {
        folder = try ScratchDirectory()
        file = try OwnedDescriptor.open(folder.path.appending("file"), O_RDWR | O_CREAT)
    }

    private func fetch(_ server: LoopbackServer, _ path: String = "/f", notes: Notes = Notes()) async throws
        -> FileClient.File
    {
        let url = try #require(HTTPURL(parsing: "http://\(server.authority)\(path)"))
        return try await FileClient(transport: transport(), pacing: notes.pacing).fetch(url, to: file.raw)
    }

    private func expect(_ fetched: FileClient.File, is bytes: [UInt8]) throws {
        #expect(fetched.size == bytes.count)
        #expect(fetched.digest == descriptor(bytes).digest)
        #expect(try folder.read("file") == bytes)
    }

    /// Answers with a part of `bytes` that is cut off after 1.1 MB, twice; with a whole one then.
    private static func breaking(_ bytes: [UInt8], etag: String?) throws -> LoopbackServer {
        try LoopbackServer { request, before in
            var start = 0
            if request.headers["if-range"] == etag, let range = request.headers["range"] {
                start = Int(range.dropFirst("bytes=".count).dropLast()) ?? 0
            }
            var head = start == 0 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 206 Partial\r\n"
            head += "Content-Length: \(bytes.count - start)\r\n"
            if start > 0 { head += "Content-Range: bytes \(start)-\(bytes.count - 1)/\(bytes.count)\r\n" }
            if let etag { head += "ETag: \(etag)\r\n" }
            let part = before < 2 ? bytes[start..<(start + 1_100_000)] : bytes[start...]
            return .raw(Array((head + "\r\n").utf8) + part)
        }
    }

    @Test("a transfer that breaks goes on where it broke, if the server names the version")
    func resume() async throws {
        let server = try Self.breaking(bigNoise, etag: "\"v1\"")
        try expect(await fetch(server), is: bigNoise)
        #expect(server.requests.map { $0.headers["range"] } == [nil, "bytes=1100000-", "bytes=2200000-"])
        #expect(server.requests.map { $0.headers["if-range"] } == [nil, "\"v1\"", "\"v1\""])
    }

    @Test("without a version, or with a weak one, it starts again", arguments: [nil, "W/\"v1\""])
    func restart(_ etag: String?) async throws {
        let server = try Self.breaking(bigNoise, etag: etag)
        try expect(await fetch(server), is: bigNoise)
        #expect(server.requests.count == 3 && server.requests.allSatisfy { $0.headers["range"] == nil })
    }

    @Test("a file that changed meanwhile is fetched whole")
    func changed() async throws {
        let (old, new) = (bigNoise, noise(500_000, seed: 7))
        let server = try LoopbackServer { _, before in
            guard before == 0 else { return .answer(200, ["ETag": "\"v2\""], body: new) }
            return .raw(
                Array("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: \(old.count)\r\n\r\n".utf8)
                    + old[..<1_000_000])
        }
        try expect(await fetch(server), is: new)
    }

    @Test("a file that became shorter meanwhile is fetched whole")
    func shorter() async throws {
        let (old, new) = (bigNoise, noise(1000, seed: 8))
        let server = try LoopbackServer { request, before in
            if before > 0 { return request.headers["range"] == nil ? .answer(200, body: new) : .answer(416) }
            return .raw(
                Array("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: \(old.count)\r\n\r\n".utf8)
                    + old[..<1_000_000])
        }
        try expect(await fetch(server), is: new)
    }

    @Test("a server that never gets any further is left after a bounded number of tries")
    func noProgress() async throws {
        let server = try LoopbackServer { _, _ in
            .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n".utf8) + bigNoise[..<2_000_000])
        }
        let error = try await failure { _ = try await fetch(server) }
        #expect(error.message.contains("gave up after 6 tries") && server.requests.count == 6)
    }

    @Test("an answer without a body is an empty file, and its date is read")
    func empty() async throws {
        let server = try LoopbackServer { _, _ in .answer(200, ["Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"]) }
        let fetched = try await fetch(server)
        try expect(fetched, is: [])
        #expect(fetched.lastModified == Timestamp(seconds: 784_111_777))
    }

    @Test(
        "statuses: temporary ones are tried again, others end it, and no query is shown",
        arguments: [(500, 6), (503, 6), (404, 1), (401, 1), (410, 1), (304, 1), (204, 1), (206, 1)])
    func statuses(_ status: Int, _ tries: Int) async throws {
        let notes = Notes()
        let server = try LoopbackServer { _, _ in .text(status, status == 204 || status == 304 ? "" : "body") }
        let error = try await failure { _ = try await fetch(server, "/f?sig=secret", notes: notes) }
        #expect(server.requests.count == tries)
        #expect(!"\(error) \(error.hint ?? "")".contains("secret"))
    }

    @Test("redirects are followed, but not to where a server has no business to send us")
    func redirects() async throws {
        let target = try LoopbackServer { _, _ in .text(200, "there") }
        let authority = target.authority
        let server = try LoopbackServer { request, _ in
            switch request.path {
            case "/f": .answer(302, ["Location": "/g"])
            case "/g": .answer(308, ["Location": "http://\(authority)/h"])
            case "/metadata": .answer(302, ["Location": "http://169.254.169.254/latest"])
            case "/file": .answer(302, ["Location": "file:///etc/passwd"])
            default: .answer(302, ["Location": "/loop"])
            }
        }
        try expect(await fetch(server), is: Array("there".utf8))
        for path in ["/metadata", "/file", "/loop"] {
            let error = try await failure { _ = try await fetch(server, path) }
            #expect(error.kind == (path == "/loop" ? .answer : .address))
        }
    }

    @Test(
        "dates of all three forms are read, and nothing else",
        arguments: [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sat, 29 Feb 2020 12:34:56 GMT", 1_582_979_696), ("Tue, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1), ("Sat, 29 Feb 2021 12:34:56 GMT", nil),
            ("Sun, 06 Nov 1994 24:49:37 GMT", nil), ("Sun, 06 Nov 1994 08:49 GMT", nil), ("tomorrow", nil), ("", nil),
            ("0", nil), ("Sun, 00 Nov 1994 08:49:37 GMT", nil), ("Sun, 06 Now 1994 08:49:37 GMT", nil),
        ] as [(String, Int64?)])
    func dates(_ text: String, _ seconds: Int64?) {
        #expect(HTTPDate.parse(text) == seconds.map { Timestamp(seconds: $0) })
    }
}
