import Glibc
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Registry

@Suite("against docker-registry")
struct RealRegistryTests {
    /// Pushes a small image; returns its manifest.
    @discardableResult
    private func push(_ client: RegistryClient, _ repository: String, tag: String, layer: [UInt8]) async throws
        -> [UInt8]
    {
        let config = Array(
            #"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#.utf8)
        let manifest = Manifest(
            mediaType: .ociManifest, config: descriptor(config, .ociConfig), layers: [descriptor(layer)])
        let bytes = Array(try CanonicalJSON.encode(manifest))
        try await client.uploadBlob(manifest.config, repository: repository, source: .bytes(config))
        try await client.uploadBlob(descriptor(layer), repository: repository, source: .bytes(layer))
        try await client.putManifest(bytes, mediaType: .ociManifest, repository: repository, reference: tag)
        return bytes
    }

    @Test("what was pushed is what skopeo sees and what is pulled, and a second push sends nothing")
    func pushAndPull() async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        let layer = noise(100_000)
        let bytes = try await push(client, "team/app", tag: "1", layer: layer)

        let digest = Digest(sha256: SHA256.hash(bytes))
        let seen = try Program.run(
            "skopeo", ["inspect", "--raw", "--tls-verify=false", "docker://\(registry.authority)/team/app:1"])
        #expect(Array(seen.utf8) == bytes)
        let scratch = try ScratchDirectory()
        try Program.run(
            "skopeo",
            ["copy", "--src-tls-verify=false", "docker://\(registry.authority)/team/app:1", "dir:\(scratch.path)/out"])
        #expect(try scratch.read("out/\(descriptor(layer).digest.hex)") == layer)

        let reference = ImageReference(registry: registry.authority, repository: "team/app", tag: "1")
        let fetched = try await client.manifest(of: reference)
        #expect(fetched.bytes == bytes)
        #expect(fetched.descriptor.digest == digest)
        #expect(try await client.headManifest(of: reference) == fetched.descriptor)
        #expect(try await client.smallBlob(descriptor(layer), repository: "team/app") == layer)
        #expect(
            try await client.uploadBlob(descriptor(layer), repository: "team/app", source: .bytes(layer)) == false)
    }

    @Test("a registry on this machine is spoken to over http when it has no TLS")
    func loopbackFallsBackToHTTP() async throws {
        let registry = try RegistryProcess()
        try await client(registry.authority, plainHTTP: false).ping()
    }

    @Test("a certificate that nobody vouches for is refused; with its authority, or unchecked for this host, all works")
    func tls() async throws {
        let registry = try RegistryProcess(withTLS: true)
        let authority = registry.authority
        let unknown = try await failure { try await client(authority, plainHTTP: false).ping() }
        #expect(unknown.kind == .connection(.certificate))
        #expect(unknown.hint?.contains("--registry-certificate \(authority)=") == true)
        let trusting = transport { $0.trust.hostAuthorities[authority] = registry.certificate }
        try await push(
            client(authority, plainHTTP: false, transport: trusting), "tls/app", tag: "1", layer: noise(2_000_000))
        try await client(
            authority, plainHTTP: false, transport: transport { $0.trust.unverifiedHosts = [authority] }
        ).ping()
        let elsewhere = transport { $0.trust.unverifiedHosts = ["127.0.0.1"] }
        let strict = try await failure { try await client(authority, plainHTTP: false, transport: elsewhere).ping() }
        #expect(strict.kind == .connection(.certificate))
        let plain = try await failure { try await client(authority).ping() }
        #expect(plain.hint?.contains("https") == true)
    }

    @Test("certificates that are too old, for another name, or of nobody known are told apart, and not asked for twice")
    func certificates() async throws {
        let authority = try TestAuthority()
        for (subject, days, isKnown, says) in [
            ("IP:127.0.0.1", -1, true, "certificate has expired"),
            ("DNS:registry.example.com", 2, true, "no alternative certificate subject name matches"),
            ("IP:127.0.0.1", 2, false, "unable to get local issuer certificate"), ("IP:127.0.0.1", 2, true, ""),
        ] {
            let identity = try authority.identity(for: subject, days: days)
            let registry = try DockerRegistry(certificate: identity.certificate, key: identity.key)
            let notes = Notes()
            let client = client(
                registry.host, plainHTTP: false, notes: notes,
                transport: transport { if isKnown { $0.trust.hostAuthorities[registry.host] = authority.certificate } })
            guard !says.isEmpty else {
                try await client.ping()
                continue
            }
            let error = try await failure { try await client.ping() }
            #expect(error.kind == .connection(.certificate) && error.message.contains(says), "\(error)")
            #expect(notes.delays.isEmpty)
        }
    }

    @Test("a registry elsewhere that speaks plain http is refused before it is told anything")
    func unlistedPlain() async throws {
        let registry = try DockerRegistry()
        let elsewhere = "registry.example.com:5000"
        let transport = transport { $0.connections = ["\(elsewhere):\(registry.host)"] }
        let notes = Notes()
        let refused = try await failure {
            try await client(
                elsewhere, plainHTTP: false, credentials: .password("u", "hunter2"), notes: notes, transport: transport
            ).ping()
        }
        #expect(refused.kind == .connection(.notTLS) && notes.delays.isEmpty, "\(refused)")
        #expect(refused.hint?.contains("--insecure-registry \(elsewhere)") == true)
        #expect(try registry.requests() == [])
        try await client(elsewhere, transport: transport).ping()
        #expect(try registry.requests().map(\.path) == ["/v2/"])
    }

    @Test("a blob of 50 MB goes out and comes in from disk to disk")
    func bigBlob() async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        let scratch = try ScratchDirectory()
        let piece = noise(1 << 20)
        let source = scratch.path.appending("blob")
        var hash = SHA256()
        do {
            let file = try OwnedDescriptor.open(source, O_WRONLY | O_CREAT)
            for _ in 0..<50 {
                try file.writeAll(piece)
                hash.update(piece)
            }
            try file.close()
        }
        let blob = Descriptor(mediaType: .ociLayer, digest: Digest(sha256: hash.finish()), size: 50 << 20)
        #expect(try await client.uploadBlob(blob, repository: "big", source: .file(source)))
        let out = try OwnedDescriptor.open(scratch.path.appending("out"), O_RDWR | O_CREAT)
        try await client.blob(blob, repository: "big", to: .file(out.raw))
        #expect(try out.status().size == 50 << 20)
        try Program.run("cmp", [source.string, scratch.path.appending("out").string])
    }

    @Test(
        "a blob of more than 4 GiB goes out and comes in from disk to disk",
        .enabled(if: getenv("IMGBUILD_TEST_LARGE") != nil, "make test-large: it takes 11 GB of disk"))
    func hugeBlob() async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        let scratch = try ScratchDirectory()
        // 5 GiB and a byte, of nothing but the last byte: no offset fits into 32 bits there.
        let size: Int64 = (5 << 30) + 1
        let source = scratch.path.appending("blob")
        do {
            let file = try OwnedDescriptor.open(source, O_WRONLY | O_CREAT)
            #expect(ftruncate(file.raw, off_t(size - 1)) == 0)
            #expect(pwrite(file.raw, [UInt8(ascii: "x")], 1, off_t(size - 1)) == 1)
            try file.close()
        }
        let sum = try Program.run("sha256sum", [source.string]).prefix(64)
        let before = try mostMemory()
        let blob = Descriptor(mediaType: .ociLayer, digest: try Digest(parsing: "sha256:\(sum)"), size: size)
        let start = ContinuousClock.now
        #expect(try await client.uploadBlob(blob, repository: "huge", source: .file(source)))
        let sent = ContinuousClock.now
        let out = try OwnedDescriptor.open(scratch.path.appending("out"), O_RDWR | O_CREAT)
        try await client.blob(blob, repository: "huge", to: .file(out.raw))
        let held = try mostMemory() - before
        print("5 GiB: sent in \(sent - start), received in \(ContinuousClock.now - sent), \(held >> 20) MiB of memory")
        #expect(held < 64 << 20)
        #expect(try out.status().size == size)
        try Program.run("cmp", [source.string, scratch.path.appending("out").string])
    }

    /// The most memory that this process has had so far (bytes).
    private func mostMemory() throws -> Int {
        let status = try OwnedDescriptor.open("/proc/self/status", O_RDONLY).readAll(limit: 1 << 16)
        let kibibytes = String(decoding: status, as: UTF8.self).firstMatch(of: /VmHWM:\s*(\d+) kB/).flatMap {
            Int($0.1)
        }
        return try #require(kibibytes) << 10
    }

    @Test("blobs of 0 and 2 bytes are blobs", arguments: [0, 2])
    func tinyBlobs(count: Int) async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        let bytes = noise(count)
        try await client.uploadBlob(descriptor(bytes), repository: "tiny", source: .bytes(bytes))
        #expect(try await client.smallBlob(descriptor(bytes), repository: "tiny") == bytes)
    }

    @Test("a blob of another repository is mounted; one that is nowhere opens an upload, and that is used")
    func mount() async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        let there = noise(5000)
        let new = noise(5000, seed: 2)
        try await client.uploadBlob(descriptor(there), repository: "a", source: .bytes(there))
        guard case .mounted = try await client.mountBlob(descriptor(there).digest, from: "a", to: "b") else {
            Issue.record("not mounted")
            return
        }
        #expect(try await client.blobExists(descriptor(there).digest, repository: "b"))
        guard case .session(let session) = try await client.mountBlob(descriptor(new).digest, from: "a", to: "b") else {
            Issue.record("no session")
            return
        }
        try await client.uploadBlob(descriptor(new), repository: "b", source: .bytes(new), session: session)
        #expect(try await client.blobExists(descriptor(new).digest, repository: "b"))
    }

    @Test("content under a wrong digest is refused, with the registry's own words")
    func wrongDigest() async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        var wrong = descriptor(noise(100))
        wrong.digest = descriptor(noise(100, seed: 9)).digest
        let error = try await failure {
            try await client.uploadBlob(wrong, repository: "x", source: .bytes(noise(100)))
        }
        #expect(error.codes == ["DIGEST_INVALID"])
        #expect(!error.description.contains("_state"))
    }

    @Test("with a password everything works; with a wrong one the error names where it came from")
    func passwords() async throws {
        let registry = try RegistryProcess(withPasswords: true)
        try await push(
            client(registry.authority, credentials: .password("tester", "s3cret")), "p/app", tag: "1",
            layer: noise(3_000_000))
        let reference = ImageReference(registry: registry.authority, repository: "p/app", tag: "1")
        let wrong = try await failure {
            _ = try await client(registry.authority, credentials: .password("tester", "hunter2")).manifest(
                of: reference)
        }
        #expect(wrong.kind == .credentials)
        #expect(wrong.message.contains(#"/root/.docker/config.json (key "reg")"#))
        #expect(!"\(wrong) \(wrong.hint ?? "")".contains("hunter2"))
        let none = try await failure { _ = try await client(registry.authority).manifest(of: reference) }
        #expect(none.message.contains("without credentials"))
        #expect(none.hint?.contains("add a login for \(registry.authority) to config.json") == true)
    }

    @Test("a missing image says what is missing, and a head of it says nothing")
    func missing() async throws {
        let registry = try RegistryProcess()
        let client = client(registry.authority)
        let reference = ImageReference(registry: registry.authority, repository: "no/such", tag: "1")
        let error = try await failure { _ = try await client.manifest(of: reference) }
        #expect(error.status == 404)
        #expect(error.codes == ["MANIFEST_UNKNOWN"])
        #expect(error.description.contains("GET http://\(registry.authority)/v2/no/such/manifests/1"))
        #expect(try await client.headManifest(of: reference) == nil)
    }

    @Test("a read-only registry refuses at once")
    func readOnly() async throws {
        let registry = try RegistryProcess(readOnly: true)
        let notes = Notes()
        let error = try await failure {
            try await client(registry.authority, notes: notes).uploadBlob(
                descriptor([1]), repository: "r", source: .bytes([1]))
        }
        #expect(error.status == 405)
        #expect(notes.delays.isEmpty)
    }
}
