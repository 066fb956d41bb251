import OCI
import Synchronization
import SystemIO
import Testing

@testable import Registry

/// A registry of one repository that does as it is told about uploads.
private final class UploadRegistry: Sendable {
    let blobs = Mutex<[String: [UInt8]]>([:])

    func answer(_ request: LoopbackServer.Request, location: String = "/upload/1?_state=abc") -> LoopbackServer.Reply {
        switch request.method {
        case "HEAD" where request.path.contains("/blobs/"):
            return .answer(blobs.withLock { $0[request.path] } == nil ? 404 : 200)
        case "POST": return .answer(202, ["Location": location])
        case "PUT":
            store(request)
            return .answer(201)
        default: return .answer(request.method == "GET" ? 200 : 204)
        }
    }

    func store(_ request: LoopbackServer.Request) {
        guard let digest = request.target.split(separator: "digest=").last else { return }
        let name = "/v2/r/blobs/" + digest.replacing("%3A", with: ":")
        blobs.withLock { $0[name] = request.body }
    }

    var stored: [[UInt8]] { blobs.withLock { Array($0.values) } }
}

@Suite("faults of uploads")
struct UploadFaultTests {
    private let blob = bigNoise

    private func upload(
        _ server: LoopbackServer, credentials: FixedCredentials = .none
    ) async throws -> Bool {
        let scratch = try ScratchDirectory()
        let file = try scratch.write("blob", blob)
        return try await client(server.authority, credentials: credentials).uploadBlob(
            descriptor(blob), repository: "r", source: .file(file))
    }

    @Test("an upload that is cut starts again with a new session and the whole blob")
    func cut() async throws {
        let registry = UploadRegistry()
        let server = try LoopbackServer(cutting: ["PUT /upload": 1_000_000]) { request, _ in registry.answer(request) }
        #expect(try await upload(server))
        #expect(registry.stored == [blob])
        #expect(server.requests.map(\.method) == ["GET", "HEAD", "POST", "PUT", "HEAD", "POST", "PUT"])
    }

    @Test("an upload whose answer is lost is not sent twice")
    func lostAnswer() async throws {
        let registry = UploadRegistry()
        let server = try LoopbackServer { request, _ in
            guard request.method == "PUT" else { return registry.answer(request) }
            registry.store(request)
            return .hangUp
        }
        #expect(try await upload(server))
        #expect(server.count("PUT") == 1)
    }

    @Test("a forgotten session is replaced")
    func lostSession() async throws {
        let registry = UploadRegistry()
        let server = try LoopbackServer { request, before in
            guard request.method == "PUT", before == 0 else { return registry.answer(request) }
            return .text(404, #"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}"#)
        }
        #expect(try await upload(server))
        #expect(registry.stored == [blob])
    }

    @Test("a session's state is sent back as it came", arguments: ["/upload/1?_state=a%2Fb==&x=", "upload/2", "/u"])
    func locations(location: String) async throws {
        let registry = UploadRegistry()
        let server = try LoopbackServer { request, _ in registry.answer(request, location: location) }
        #expect(try await upload(server))
        let put = try #require(server.requests.last?.target)
        #expect(put.contains(location))
        #expect(put.hasSuffix("digest=sha256%3A\(descriptor(blob).digest.hex)"))
    }

    @Test("a session elsewhere gets no credentials; one in forbidden places is refused")
    func foreignLocations() async throws {
        let registry = UploadRegistry()
        let storage = try LoopbackServer { request, _ in registry.answer(request) }
        let there = "http://\(storage.authority)/upload"
        let server = try LoopbackServer { request, _ in
            guard request.headers["authorization"] != nil else {
                return .answer(401, ["WWW-Authenticate": "Basic realm=\"x\""])
            }
            return registry.answer(request, location: there)
        }
        #expect(try await upload(server, credentials: .password("u", "p")))
        #expect(storage.requests.map { $0.headers["authorization"] } == [nil])
        for location in ["http://169.254.169.254/x", "gopher://x/", "http://[::]/"] {
            let hostile = try LoopbackServer { request, _ in registry.answer(request, location: location) }
            let other = noise(10, seed: 5)
            let error = try await failure {
                try await client(hostile.authority).uploadBlob(
                    descriptor(other), repository: "r", source: .bytes(other))
            }
            #expect(error.kind == .address)
        }
    }

    @Test("a registry that refuses a PUT with a body gets one PATCH and an empty PUT")
    func patch() async throws {
        let registry = UploadRegistry()
        let server = try LoopbackServer { request, _ in
            if request.method == "PUT", !request.body.isEmpty { return .answer(405) }
            if request.method == "PATCH" { return .answer(202, ["Location": "/upload/2"]) }
            return registry.answer(request)
        }
        #expect(try await upload(server))
        #expect(server.requests.suffix(2).map(\.method) == ["PATCH", "PUT"])
        #expect(server.requests.suffix(2).map(\.body.count) == [3_000_000, 0])
        #expect(server.requests.last?.path == "/upload/2")
    }

    @Test("every mount that is declined is no error", arguments: [400, 401, 403, 404, 405])
    func declinedMounts(status: Int) async throws {
        let server = try LoopbackServer { request, _ in request.method == "POST" ? .answer(status) : .answer(200) }
        let result = try await client(server.authority).mountBlob(descriptor(blob).digest, from: "a", to: "r")
        guard case .declined = result else {
            Issue.record("not declined")
            return
        }
    }

    @Test("a tag that cannot move is no error if it names these bytes, else says so")
    func immutableTags() async throws {
        let body = Array(#"{"schemaVersion":2,"config":{},"layers":[]}"#.utf8)
        let server = try LoopbackServer { request, _ in
            request.method == "PUT"
                ? .text(400, #"{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}"#)
                : .answer(200, body: body)
        }
        let client = client(server.authority)
        try await client.putManifest(body, mediaType: .ociManifest, repository: "r", reference: "1")
        let error = try await failure {
            try await client.putManifest(body + [0x20], mediaType: .ociManifest, repository: "r", reference: "1")
        }
        #expect(error.hint?.contains("new tag") == true)
    }
}
