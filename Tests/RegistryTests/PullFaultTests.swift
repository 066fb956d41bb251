import Glibc
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Registry

private typealias Fault = FaultProxy.Fault

@Suite("pulls from a registry that something breaks")
struct PullFaultTests {
    private let image: SmallImage
    /// The layer.
    private let get: String

    init() throws {
        image = try SmallImage()
        get = "GET blobs/sha256:\(descriptor(image.layer).digest.hex)"
    }

    private func pull(_ client: RegistryClient, _ repository: String) async throws -> [UInt8] {
        let scratch = try ScratchDirectory()
        let file = try OwnedDescriptor.open(scratch.path.appending("layer"), O_RDWR | O_CREAT)
        try await client.blob(descriptor(image.layer), repository: repository, to: .file(file.raw))
        return try scratch.read("layer")
    }

    /// What was asked for of the layer: the ranges of the requests, in order.
    private func ranges(_ proxy: FaultProxy, _ repository: String) throws -> [String] {
        try proxy.requests(of: repository).filter { $0.method == "GET" && $0.path.contains("/blobs/") }.map(\.range)
    }

    @Test("go on where they broke, and end with the right bytes")
    func momentary() async throws {
        let site = try FaultyRegistry()
        let rest = "bytes=1500000-"
        let cases: [(faults: [Fault], ranges: [String], waits: ClosedRange<Int>)] = [
            ([], [""], 0...0), ([.reset(get)], ["", ""], 0...1), ([.answer(get, 503)], ["", ""], 1...1),
            ([.cutAnswer(get, after: 1_500_000, by: .reset)], ["", rest], 1...1),
            ([.cutAnswer(get, after: 1_500_000, by: .close)], ["", rest], 1...1),
            ([.cutAnswer(get, after: 1_500_000, by: .chunk)], ["", rest], 1...1),
            // A byte that was changed on the way: the whole layer is fetched once more.
            ([.corrupt(get, at: 2_000_000)], ["", ""], 0...0),
            ([.cutAnswer(get, after: 1_500_000, by: .reset), .corrupt(get, at: 7)], ["", rest, ""], 1...1),
        ]
        for (number, one) in cases.enumerated() {
            let repository = "once\(number)"
            try await image.push(by: client(site.registry.host), to: repository)
            try site.proxy.add(one.faults.map { $0.of(repository) })
            let notes = Notes()
            #expect(try await pull(client(site.proxy.host, notes: notes), repository) == image.layer, "\(one)")
            #expect(try ranges(site.proxy, repository) == one.ranges, "\(one)")
            #expect(one.waits.contains(notes.delays.count), "\(one): \(notes.delays)")
        }
    }

    @Test("fail after a bounded number of tries without progress, and after one repetition of a wrong content")
    func forGood() async throws {
        let site = try FaultyRegistry()
        let cases: [(fault: Fault, kind: RegistryError.Kind, tries: Int)] = [
            (.cutAnswer(get, after: 1000, by: .reset), .connection(.lost), 6),
            (.cutAnswer(get, after: 1000, by: .chunk), .connection(.lost), 6),
            (.corrupt(get, at: 0), .content, 2), (.answer(get, 429), .status(429), 6),
            (.answer(get, 404), .status(404), 1), (.rewrite(get, headers: ["Content-Length": "2999999"]), .content, 1),
        ]
        for (number, one) in cases.enumerated() {
            let repository = "always\(number)"
            try await image.push(by: client(site.registry.host), to: repository)
            try site.proxy.add([one.fault.of(repository).always])
            let error = try await failure { _ = try await pull(client(site.proxy.host), repository) }
            #expect(error.kind == one.kind, "\(one): \(error)")
            #expect(try ranges(site.proxy, repository).count == one.tries, "\(one)")
        }
    }

    @Test("a storage elsewhere is not shown the credentials, and is asked for the rest alone")
    func storage() async throws {
        let site = try FaultyRegistry()
        let storage = try FaultProxy(to: site.registry.port)
        try await image.push(by: client(site.registry.host), to: "r")
        let there = "http://\(storage.host)/v2/r/blobs/\(descriptor(image.layer).digest)"
        try site.proxy.add([
            .answer("GET /v2/$", 401, headers: ["WWW-Authenticate": #"Basic realm="x""#]),
            .answer(get, 307, headers: ["Location": there]).always,
        ])
        try storage.add([.cutAnswer(get, after: 1_500_000, by: .close)])
        let bytes = try await pull(client(site.proxy.host, credentials: .password("u", "p")), "r")
        #expect(bytes == image.layer)
        #expect(try site.proxy.requests(of: "r").map(\.authorization) == ["Basic", "Basic"])
        #expect(try storage.requests(of: "r").map(\.authorization) == ["", ""])
        #expect(try ranges(storage, "r") == ["", "bytes=1500000-"])
    }

    @Test("a manifest is fetched where it cannot be asked for by HEAD")
    func head() async throws {
        let site = try FaultyRegistry()
        try await image.push(by: client(site.registry.host), to: "r")
        let reference = ImageReference(registry: site.proxy.host, repository: "r", tag: "1")
        for fault: Fault in [
            .answer("HEAD manifests", 405), .rewrite("HEAD manifests", headers: ["Docker-Content-Digest": nil]),
            .rewrite("HEAD manifests", headers: ["Content-Type": nil]),
        ] {
            try site.proxy.add([fault])
            let found = try await client(site.proxy.host).headManifest(of: reference)
            #expect(found == descriptor(image.manifest, .ociManifest))
        }
        #expect(try site.proxy.requests(of: "r").map(\.method) == ["HEAD", "GET", "HEAD", "GET", "HEAD", "GET"])
    }
}
