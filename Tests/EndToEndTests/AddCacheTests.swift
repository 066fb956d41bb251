import SystemPackage
import TestSupport
import Testing

/// ADD of addresses that no checksum holds fast: what servers still have is not fetched again, and what they have changed is.
@Suite("Cache of ADD")
struct AddCacheTests {
    private static let flags = ["--no-push", "--timestamp", "1700000000", "--isolation=none"]

    private static func isCached(_ build: Build) -> Bool { build.log.contains("was done before") }

    @Test("a file of which the server says that it is the same is not fetched, and one that has changed is")
    func file() throws {
        let server = try FileServer()
        try server.write("one", to: "a")
        let site = try BuildSite("FROM scratch\nADD http://\(server.host)/a?token=v1-of-it /a\n")
        let first = try site.require(Self.flags, cached: true)
        #expect(try !Self.isCached(first) && server.requests() == ["GET /a?token=v1-of-it 200 -"])
        let second = try site.require(Self.flags, cached: true)
        #expect(Self.isCached(second) && second.digest == first.digest, "\(second.log)")
        #expect(try server.requests().dropFirst() == ["HEAD /a?token=v1-of-it 304 -"])
        try server.write("two", to: "a", modified: "2021-01-01T00:00:00Z")
        let third = try site.require(Self.flags, cached: true)
        #expect(!Self.isCached(third) && third.digest != first.digest, "\(third.log)")
        #expect(try site.require(Self.flags, cached: true).digest == third.digest)
        // Other bytes of another time, and then the old ones: what counts is what is in the file.
        try server.write("one", to: "a", modified: "2022-01-01T00:00:00Z")
        let fourth = try site.require(Self.flags + ["--timestamp", "0"], cached: true)
        let fresh = try site.require(Self.flags + ["--timestamp", "0"], state: site.folder.appending("fresh"))
        #expect(fourth.digest == fresh.digest)
        #expect(try Program.run(["grep", "-r", "v1-of-it", site.state.string]).status == 1)
    }

    @Test("a time tells versions apart only when it has settled, and a server that says nothing is asked for the file")
    func untold() throws {
        let server = try FileServer()
        try server.write("one", to: "a", modified: "now")
        for path in ["a", "undated/a"] {
            let site = try BuildSite("FROM scratch\nADD http://\(server.host)/\(path) /a\n")
            let first = try site.require(Self.flags, cached: true)
            // Within the same second, and of the same length.
            try server.run("echo -n two >new; touch -r a new; mv new a")
            let second = try site.require(Self.flags, cached: true)
            #expect(!Self.isCached(second) && second.digest != first.digest, "\(path): \(second.log)")
            try server.run("echo -n one >new; touch -r a new; mv new a")
        }
    }

    @Test("an empty machine fetches nothing either, with the cache of a registry")
    func registry() throws {
        let server = try FileServer()
        let registry = try DockerRegistry()
        try server.write("one", to: "a")
        let site = try BuildSite("FROM scratch\nADD http://\(server.host)/a /a\nCOPY b /b\n", files: ["b": "b\n"])
        let flags = Self.flags + ["--cache", "--cache-repo", "\(registry.host)/cache"]
        let first = try site.require(flags, state: site.folder.appending("a"), cached: true)
        let second = try site.require(flags, state: site.folder.appending("b"), cached: true)
        #expect(second.digest == first.digest && Self.isCached(second), "\(second.log)")
        #expect(try server.requests().map { $0.prefix(4) } == ["GET ", "HEAD"])
    }

    @Test("a repository whose ref is where it was is not fetched, and one that has moved is")
    func repository() throws {
        let server = try GitServer()
        let folder = try TemporaryDirectory()
        try folder.write("one\n", to: "tree/file")
        let repository = try server.makeRepository("app.git", from: folder.appending("tree"))
        try repository.git(["tag", "-a", "-m", "A tag", "v1", "main"])
        for ref in ["main", "v1", "refs/heads/main"] {
            let site = try BuildSite("FROM scratch\nADD http://\(server.host)/app.git#\(ref) /app/\n")
            let first = try site.require(Self.flags, cached: true)
            let before = try server.requests().count
            let second = try site.require(Self.flags, cached: true)
            #expect(Self.isCached(second) && second.digest == first.digest, "\(ref): \(second.log)")
            #expect(!second.log.contains("fetching"), "\(second.log)")
            #expect(try server.requests().count <= before + 2, "the refs are asked for, and nothing else")
        }
        let site = try BuildSite("FROM scratch\nADD http://\(server.host)/app.git#main /app/\n")
        let first = try site.require(Self.flags, cached: true)
        try folder.write("two\n", to: "tree/file")
        try repository.commit(folder.appending("tree"))
        let second = try site.require(Self.flags, cached: true)
        #expect(!Self.isCached(second) && second.digest != first.digest, "\(second.log)")
        let fresh = try site.require(Self.flags, state: site.folder.appending("fresh"))
        #expect(second.digest == fresh.digest)
    }
}
