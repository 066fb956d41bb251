import OCI
import SystemIO
import TestSupport
import Testing

@testable import Registry

private typealias Fault = FaultProxy.Fault

/// A real registry, and before it what breaks the connection to it.
final class FaultyRegistry: Sendable {
    let registry: DockerRegistry
    let proxy: FaultProxy

    init(tokens: TokenIssuer? = nil) throws {
        registry = try DockerRegistry(tokens: tokens)
        proxy = try FaultProxy(to: registry.port)
    }
}

/// An image of one layer, and its documents.
struct SmallImage {
    let config = Array(#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers"}}"#.utf8)
    let layer = bigNoise
    let manifest: [UInt8]

    init() throws {
        manifest = Array(
            try CanonicalJSON.encode(
                Manifest(
                    mediaType: .ociManifest, config: descriptor(config, .ociConfig), layers: [descriptor(layer)])))
    }

    /// Pushes the layer, the config, and the manifest with the tag `1`.
    func push(by client: RegistryClient, to repository: String) async throws {
        let scratch = try ScratchDirectory()
        let file = try scratch.write("layer", layer)
        try await client.uploadBlob(descriptor(layer), repository: repository, source: .file(file))
        try await client.uploadBlob(descriptor(config), repository: repository, source: .bytes(config))
        try await client.putManifest(manifest, mediaType: .ociManifest, repository: repository, reference: "1")
    }

    /// Whether `client` finds all of it, byte by byte.
    func isComplete(at client: RegistryClient, _ repository: String) async throws -> Bool {
        let reference = ImageReference(registry: client.registry, repository: repository, tag: "1")
        guard try await client.manifest(of: reference).bytes == manifest else { return false }
        guard try await client.smallBlob(descriptor(config), repository: repository) == config else { return false }
        return try await client.smallBlob(descriptor(layer), repository: repository) == layer
    }
}

@Suite("pushes to a registry that something breaks")
struct PushFaultTests {
    private struct Case {
        let faults: [Fault]
        /// How often the layer is sent, and how often there was a wait before another try.
        let sent: Int, waits: ClosedRange<Int>

        init(_ faults: Fault..., sent: Int = 1, waits: ClosedRange<Int> = 1...1) {
            (self.faults, self.sent, self.waits) = (faults, sent, waits)
        }
    }

    private let image: SmallImage
    /// The upload of the layer.
    private let put: String

    init() throws {
        image = try SmallImage()
        put = "PUT \(descriptor(image.layer).digest.hex)"
    }

    private func reason(_ code: String) -> String { #"{"errors":[{"code":"\#(code)","message":"so it says"}]}"# }

    @Test("end well when it was for a moment, and no byte is sent that need not be")
    func momentary() async throws {
        let site = try FaultyRegistry()
        // A connection that was used before may have been closed meanwhile: libcurl sends again by itself what it had no byte of
        // an answer to. So after a reset there is a wait, or none.
        var cases = [
            Case(waits: 0...0), Case(.reset("HEAD blobs"), waits: 0...1), Case(.reset("POST uploads"), waits: 0...1),
            Case(.reset(put), sent: 2, waits: 0...1),
            Case(.reset("PUT manifests"), waits: 0...1), Case(.answer("HEAD blobs", 500)),
            // A registry that does not tell whether it has a blob is given it.
            Case(.answer("HEAD blobs", 403), waits: 0...0), Case(.answer("HEAD blobs", 405), waits: 0...0),
            // What broke on the way is sent again, what only the answer was lost of is not.
            Case(.cutRequest(put, after: 1_000_000), sent: 2),
            Case(.cutRequest(put, after: 0).repeated(3), sent: 4, waits: 3...3),
            Case(.loseAnswer("POST uploads"), waits: 0...1), Case(.loseAnswer(put)),
            Case(.loseAnswer("PUT manifests"), waits: 0...1),
            // An upload that is forgotten is opened anew.
            Case(.answer(put, 404, reason("BLOB_UPLOAD_UNKNOWN")), sent: 2),
            Case(.answer(put, 404, reason("BLOB_UPLOAD_INVALID")), sent: 2),
            // All successes are, and what is only accepted is looked for.
            Case(.rewrite(put, 200), waits: 0...0), Case(.rewrite(put, 204), waits: 0...0),
            Case(.rewrite(put, 202), waits: 0...0),
            Case(.answer(put, 202), sent: 2),
            // A registry that wants PATCH, as ECR answers it: with another status and a range that stays where it is. The second PUT has
            // no bytes of the layer. What is said about sizes of pieces does not matter, the layer goes in one.
            Case(
                .answer(put, 405), .rewrite("PATCH uploads", 201, headers: ["Range": "0-10485759"]),
                .rewrite("POST uploads", headers: ["OCI-Chunk-Min-Length": "1000000000000000000"]), sent: 2,
                waits: 0...0),
        ]
        for status in [408, 429, 500, 502, 503, 504] {
            cases.append(Case(.answer(put, status), sent: 2))
            cases.append(
                Case(.answer("POST uploads", status, "<html>"), .answer("PUT manifests", status), waits: 2...2))
        }
        for (number, one) in cases.enumerated() {
            let repository = "once\(number)"
            try site.proxy.add(one.faults.map { $0.of(repository) })
            let notes = Notes()
            try await image.push(by: client(site.proxy.host, notes: notes), to: repository)
            #expect(try await image.isComplete(at: client(site.registry.host), repository), "\(one)")
            let puts = try site.proxy.requests(of: repository).filter(Fault.reset(put).matches)
            #expect(puts.count == one.sent, "\(one): \(puts)")
            #expect(one.waits.contains(notes.delays.count), "\(one): \(notes.delays)")
        }
    }

    @Test("fail after a bounded number of tries, or at once when it is the registry's will, with its words")
    func forGood() async throws {
        let site = try FaultyRegistry()
        let denied = reason("DENIED")
        var cases: [(fault: Fault, tries: Int, says: [String])] = [
            (.reset("POST uploads"), 6, ["POST http://\(site.proxy.host)/v2/", "gave up after 6 tries"]),
            (.answer("POST uploads", 503), 6, ["503 Service Unavailable", "gave up after 6 tries"]),
            (.answer("POST uploads", 429), 6, ["429", "gave up after 6 tries"]),
            (.cutRequest(put, after: 100_000), 6, ["PUT http://\(site.proxy.host)/", "gave up after 6 tries"]),
            (.answer("PUT manifests", 503), 6, ["503", "gave up after 6 tries"]),
            (.answer("PUT manifests", 413, reason("SIZE_INVALID")), 1, ["413", "SIZE_INVALID: so it says"]),
            // Addresses for the bytes that are none, or not for us.
            (.rewrite("POST uploads", headers: ["Location": nil]), 1, ["without a Location"]),
            (.rewrite("POST uploads", headers: ["Location": "http://["]), 1, ["is not an http or https address"]),
            (.rewrite("POST uploads", headers: ["Location": "http://169.254.169.254/x"]), 1, ["link-local"]),
            (.rewrite(put, headers: ["Docker-Content-Digest": "sha256:0"]), 1, ["under the digest sha256:0, not"]),
        ]
        for status in [400, 403, 404, 405, 413] {
            cases.append((.answer("POST uploads", status, denied), 1, ["\(status) ", "DENIED: so it says"]))
        }
        for (number, one) in cases.enumerated() {
            let repository = "always\(number)"
            try site.proxy.add([one.fault.always.of(repository)])
            let notes = Notes()
            let error = try await failure {
                try await image.push(by: client(site.proxy.host, notes: notes), to: repository)
            }
            for part in one.says { #expect(error.description.contains(part), "\(part) is not in: \(error)") }
            #expect(!error.description.contains("_state"))
            #expect(notes.delays.count == one.tries - 1, "\(one)")
            // Twice as many where libcurl sends again by itself, on a new connection.
            let requests = try site.proxy.requests(of: repository).filter(one.fault.matches)
            #expect((one.tries...2 * one.tries).contains(requests.count), "\(one): \(requests)")
            let reference = ImageReference(registry: site.registry.host, repository: repository, tag: "1")
            #expect(try await client(site.registry.host).headManifest(of: reference) == nil)
        }
    }

    @Test("a mount that is declined, however it is, is followed by an upload; one that is offered an upload uses it")
    func mounts() async throws {
        let site = try FaultyRegistry()
        let layer = descriptor(image.layer)
        try await image.push(by: client(site.registry.host), to: "source")
        // The status of the registry, or its own answers: 201, and 202 for a source that has it not.
        for (status, source, posts, puts) in [
            (nil, "source", 1, 0), (nil, "nowhere", 1, 1), (400, "source", 2, 1), (401, "source", 2, 1),
            (403, "source", 2, 1), (404, "source", 2, 1), (405, "source", 2, 1), (500, "source", 7, 1),
        ] as [(Int?, String, Int, Int)] {
            let repository = "mount-\(status.map(String.init) ?? source)"
            if let status { try site.proxy.add([Fault.answer("POST mount=", status).of(repository).always]) }
            let client = client(site.proxy.host)
            var session: UploadSession?
            var isMounted = false
            switch try await client.mountBlob(layer.digest, from: source, to: repository) {
            case .mounted: isMounted = true
            case .session(let opened): session = opened
            case .declined: break
            }
            if !isMounted {
                try await client.uploadBlob(
                    layer, repository: repository, source: .bytes(image.layer), session: session)
            }
            #expect(try await client.blobExists(layer.digest, repository: repository))
            let requests = try site.proxy.requests(of: repository)
            #expect(requests.count { $0.method == "POST" } == posts, "\(repository): \(requests)")
            #expect(requests.count { $0.method == "PUT" } == puts, "\(repository): \(requests)")
        }
    }
}
