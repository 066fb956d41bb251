import Glibc
import OCI
import Synchronization
import SystemIO
import Testing

@testable import Registry

@Suite("faults")
struct FaultTests {
    private let blob = bigNoise
    private var path: String { "/v2/r/blobs/\(descriptor(blob).digest)" }

    private func fetch(_ server: LoopbackServer, _ notes: Notes = Notes()) async throws -> [UInt8] {
        try await client(server.authority, notes: notes).smallBlob(descriptor(blob), repository: "r")
    }

    @Test("a blob that breaks off is continued where it broke")
    func resume() async throws {
        let blob = blob
        let server = try LoopbackServer { request, before in
            guard request.path.contains("/blobs/") else { return .answer(200) }
            let start = request.headers["range"].flatMap { Int($0.dropFirst("bytes=".count).dropLast()) } ?? 0
            let head =
                start == 0
                ? "HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n"
                : "HTTP/1.1 206 Partial\r\nContent-Length: \(blob.count - start)\r\nContent-Range: bytes \(start)-\(blob.count - 1)/\(blob.count)\r\n\r\n"
            let part = before < 2 ? blob[start..<(start + 1_100_000)] : blob[start...]
            return .raw(Array(head.utf8) + part)
        }
        #expect(try await fetch(server) == blob)
        #expect(server.count("GET", path) == 3)
    }

    @Test("a server that knows no ranges sends all again, and nothing is written twice")
    func resumeWithoutRanges() async throws {
        let blob = blob
        let server = try LoopbackServer { request, before in
            guard request.path.contains("/blobs/") else { return .answer(200) }
            guard before == 0 else { return .answer(200, body: blob) }
            return .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n".utf8) + blob[..<1_000_000])
        }
        #expect(try await fetch(server) == blob)
    }

    @Test("a blob that never gets any further fails after a bounded number of tries")
    func noProgress() async throws {
        let blob = blob
        let server = try LoopbackServer { request, _ in
            guard request.path.contains("/blobs/") else { return .answer(200) }
            return .raw(Array("HTTP/1.1 200 OK\r\nContent-Length: \(blob.count)\r\n\r\n".utf8) + blob[..<1000])
        }
        let error = try await failure { _ = try await fetch(server) }
        #expect(error.message.contains("gave up after 6 tries"))
        #expect(server.count("GET", path) == 6)
    }

    @Test("a damaged blob is fetched once more, then refused")
    func damaged() async throws {
        var bad = blob
        bad[5] ^= 1
        let (good, wrong) = (blob, bad)
        let once = try LoopbackServer { request, before in
            .answer(200, body: request.path == "/v2/" ? [] : before == 0 ? wrong : good)
        }
        #expect(try await fetch(once) == good)
        let always = try LoopbackServer { request, _ in .answer(200, body: request.path == "/v2/" ? [] : wrong) }
        let error = try await failure { _ = try await fetch(always) }
        #expect(error.kind == .content)
        #expect(always.count("GET", path) == 2)
    }

    @Test("a blob longer than its descriptor is refused, announced or not")
    func tooLong() async throws {
        let long = blob + [0]
        let announced = try LoopbackServer { request, _ in .answer(200, body: request.path == "/v2/" ? [] : long) }
        #expect(try await failure { _ = try await fetch(announced) }.kind == .content)
        let endless = try LoopbackServer { request, _ in
            request.path.contains("/blobs/") ? .raw(Array("HTTP/1.1 200 OK\r\n\r\n".utf8) + long) : .answer(200)
        }
        let error = try await failure { _ = try await fetch(endless) }
        #expect(error.message.contains("more than the 3000000 bytes"))
        #expect(endless.count("GET", path) == 1)
    }

    @Test("a redirected blob is fetched without the credentials, and with the range")
    func redirect() async throws {
        let blob = blob
        let storage = try LoopbackServer { _, _ in .answer(200, body: blob) }
        let there = storage.authority
        let server = try LoopbackServer { request, _ in
            if request.headers["authorization"] == nil {
                return .answer(401, ["WWW-Authenticate": "Basic realm=\"x\""])
            }
            guard request.path.contains("/blobs/") else { return .answer(200) }
            return .answer(307, ["Location": "http://\(there)/object?X-Amz-Signature=topsecret"])
        }
        let bytes = try await client(server.authority, credentials: .password("u", "p")).smallBlob(
            descriptor(blob), repository: "r")
        #expect(bytes == blob)
        #expect(storage.requests.map { $0.headers["authorization"] } == [nil])
        #expect(server.requests.last?.headers["authorization"] != nil)
    }

    @Test(
        "redirects that must not be followed are refused",
        arguments: [
            "file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "ftp://x/", "",
            "http://0.0.0.0/", "http://user:pw@example.com/",
        ])
    func hostileRedirect(location: String) async throws {
        let server = try LoopbackServer { request, _ in
            request.path.contains("/blobs/") ? .answer(302, ["Location": location]) : .answer(200)
        }
        let error = try await failure { _ = try await fetch(server) }
        #expect(error.kind == .address)
    }

    @Test("a redirect loop ends")
    func redirectLoop() async throws {
        let server = try LoopbackServer { request, _ in
            request.path.contains("/blobs/") ? .answer(302, ["Location": request.target]) : .answer(200)
        }
        #expect(try await failure { _ = try await fetch(server) }.message.contains("more than ten"))
    }

    @Test("429 is obeyed for as long as it says, where that makes sense; a wait without end is refused")
    func tooManyRequests() async throws {
        let blob = blob
        // As https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7 writes times.
        let soon = try Program.run("env", ["LC_ALL=C", "date", "-u", "-d", "+20 sec", "+%a, %d %b %Y %H:%M:%S GMT"])
            .replacing("\n", with: "")
        // Half a second is what is waited when nothing is asked for.
        for (asked, waits) in [
            ("2", 2...4), (soon, 10...21), ("soon", 0...1), ("-5", 0...1), ("", 0...1), ("Mon, 32 Foo", 0...1),
        ] {
            let server = try LoopbackServer { request, before in
                guard request.path.contains("/blobs/") else { return .answer(200) }
                return before == 0 ? .answer(429, ["Retry-After": asked]) : .answer(200, body: blob)
            }
            let notes = Notes()
            #expect(try await fetch(server, notes) == blob)
            #expect(notes.delays.count == 1)
            #expect(notes.delays.allSatisfy { waits.contains(Int($0.components.seconds)) }, "\(asked): \(notes.delays)")
        }
        for endless in ["61", "1000000000", "999999999999"] {
            let server = try LoopbackServer { request, _ in
                request.path.contains("/blobs/") ? .answer(429, ["Retry-After": endless]) : .answer(200)
            }
            #expect(try await failure { _ = try await fetch(server) }.message.contains("too long"))
            #expect(server.count("GET", path) == 1)
        }
    }

    @Test("when one worker is asked to wait, the others wait, too")
    func pauseForAll() async throws {
        let server = try LoopbackServer { request, before in
            guard request.path.hasSuffix("/busy"), before == 0 else {
                return .text(200, #"{"schemaVersion":2,"config":{},"layers":[]}"#)
            }
            return .answer(429, ["Retry-After": "60"])
        }
        let notes = Notes()
        let client = client(server.authority, notes: notes)
        for tag in ["before", "busy", "after"] {
            _ = try await client.manifest(of: ImageReference(registry: server.authority, repository: "r", tag: tag))
        }
        // The wait itself, then the pause that the second try and the next worker find still running.
        #expect(notes.delays.count == 3)
        #expect(notes.delays.allSatisfy { $0 > .seconds(5) && $0 <= .seconds(61) })
    }

    @Test("statuses are tried again or not", arguments: [(500, 6), (503, 6), (408, 6), (400, 1), (404, 1), (501, 1)])
    func statuses(status: Int, tries: Int) async throws {
        let server = try LoopbackServer { request, _ in
            request.path.contains("/blobs/") ? .text(status, "<html>no") : .answer(200)
        }
        let error = try await failure { _ = try await fetch(server) }
        #expect(error.status == status)
        #expect(server.count("GET", path) == tries)
    }

    @Test("a manifest that is not what it is called, or not one, is refused")
    func manifests() async throws {
        let index = MediaType.ociIndex.rawValue
        let manifest = MediaType.ociManifest.rawValue
        let cases: [(type: String, body: String, says: String)] = [
            (index, #"{"schemaVersion":2,"mediaType":"\#(manifest)","config":{},"layers":[]}"#, "calls itself"),
            ("application/json", #"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1"),
            ("text/html", "<html>log in</html>", "not a manifest"),
            (manifest, #"{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}"#, "at the same time"),
            ("application/json", "{}", "says what it is"),
        ]
        for (type, body, says) in cases {
            let server = try LoopbackServer { request, _ in .text(200, body, ["Content-Type": type]) }
            let reference = ImageReference(registry: server.authority, repository: "r", tag: "1")
            let error = try await failure { _ = try await client(server.authority).manifest(of: reference) }
            #expect(error.message.contains(says), "\(body): \(error)")
        }
    }

    @Test("a manifest by digest has that digest; by tag a lying header is told and overruled")
    func manifestDigests() async throws {
        let body = #"{"schemaVersion":2,"config":{},"layers":[]}"#
        let lie = descriptor([1]).digest
        let server = try LoopbackServer { _, _ in .text(200, body, ["Docker-Content-Digest": "\(lie)"]) }
        let byDigest = ImageReference(registry: server.authority, repository: "r", tag: nil, digest: lie)
        #expect(try await failure { _ = try await client(server.authority).manifest(of: byDigest) }.kind == .content)
        let notes = Notes()
        let byTag = ImageReference(registry: server.authority, repository: "r", tag: "1")
        let fetched = try await client(server.authority, notes: notes).manifest(of: byTag)
        #expect(fetched.descriptor.digest == descriptor(Array(body.utf8)).digest)
        #expect(notes.texts.count == 1)
    }

    @Test("without a usable HEAD the manifest is fetched", arguments: [405, 200, 403])
    func headFallsBack(status: Int) async throws {
        let body = #"{"schemaVersion":2,"config":{},"layers":[]}"#
        let server = try LoopbackServer { request, _ in
            request.method == "HEAD" ? .answer(status, ["Content-Length": "0"]) : .text(200, body)
        }
        let reference = ImageReference(registry: server.authority, repository: "r", tag: "1")
        let found = try await client(server.authority).headManifest(of: reference)
        #expect(found == descriptor(Array(body.utf8), .ociManifest))
    }

    @Test("a registry that never answers is given up, and a cancelled wait ends at once")
    func silence() async throws {
        let server = try LoopbackServer { _, _ in .silence }
        let hasty = transport { $0.timeouts.stall = .milliseconds(300) }
        let notes = Notes()
        let error = try await failure { try await client(server.authority, notes: notes, transport: hasty).ping() }
        #expect(error.kind == .connection(.timedOut) && notes.delays.count == 5)
        let task = Task { try await client(server.authority).ping() }
        try await Task.sleep(for: .milliseconds(200))
        task.cancel()
        // Not timed out, as an unheeded cancellation would end.
        #expect(try await failure { try await task.value }.kind == .cancelled)
    }

    @Test("refused connections, unknown hosts and plain http say what to do")
    func connections() async throws {
        let patience = [Notes(), Notes()]
        let refused = try await failure { try await client("127.0.0.1:1", notes: patience[0]).ping() }
        #expect(refused.kind == .connection(.refused))
        #expect(refused.description.contains("GET http://127.0.0.1:1/v2/"))
        let unknown = try await failure { try await client("no-such-host.invalid", notes: patience[1]).ping() }
        #expect(unknown.kind == .connection(.unknownHost) && unknown.message.contains("'no-such-host.invalid'"))
        #expect(patience.map(\.delays.count) == [5, 5])
        let server = try RegistryProcess()
        let plain = try await failure {
            _ = try await transport().send(
                HTTPRequest(.get, #require(HTTPURL(parsing: "https://\(server.authority)/"))))
        }
        #expect(plain.kind == .connection(.notTLS))
        #expect(plain.hint?.contains("--insecure-registry \(server.authority)") == true)
    }

    @Test("a warning of the registry is passed on once, as one line")
    func warnings() async throws {
        let server = try LoopbackServer { _, _ in
            .text(200, #"{"schemaVersion":2,"config":{},"layers":[]}"#, ["Warning": "299 - \"going\u{7}away\""])
        }
        let notes = Notes()
        let client = client(server.authority, notes: notes)
        for tag in ["1", "2", "3"] {
            _ = try await client.manifest(of: ImageReference(registry: server.authority, repository: "r", tag: tag))
        }
        #expect(notes.texts == ["registry \(server.authority) says: going away"])
    }

    @Test("a proxy that was handed down is used, with its exceptions; none is taken from the environment")
    func proxies() async throws {
        let proxy = try LoopbackServer { _, _ in .answer(200) }
        let server = try LoopbackServer { _, _ in .answer(200) }
        try await client(server.authority).ping()
        #expect(getenv("http_proxy") != nil, "the test rig sets a proxy that does not work")
        #expect(server.count("GET") == 1)
        let viaProxy = transport { $0.proxy = .init(http: "http://\(proxy.authority)") }
        try await client("registry.invalid", transport: viaProxy).ping()
        #expect(proxy.count("GET", "http://registry.invalid/v2/") == 1)
        let excepted = transport { $0.proxy = .init(http: "http://\(proxy.authority)", exceptions: "127.0.0.1") }
        try await client(server.authority, transport: excepted).ping()
        #expect(server.count("GET") == 2)
    }
}
