import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

@Suite("ADD of a URL", .enabled(if: isRoot))
struct AddRemoteFileTests {
    private static func sha256(_ text: String) throws -> String {
        String(try Program.require(["sha256sum"], input: Array(text.utf8)).text.prefix(64))
    }

    /// 2020-02-29T12:34:56Z, as `FileServer` dates its files.
    private static let leapDay = 1_582_979_696

    @Test("the file is root's, readable by root alone, and as old as the server says")
    func metadata() async throws {
        let server = try FileServer()
        let site = try AddSite()
        try server.write("hello", to: "a.txt")
        let tree = try await site.tree(
            """
            ADD http://\(server.host)/a.txt?version=2 /d/
            ADD http://\(server.host)/undated/a.txt /undated
            ADD --chmod=u=rwx,go=rX --chown=7:8 http://\(server.host)/a.txt /given
            """)
        let plain = try #require(tree.entries["/d/a.txt"])
        #expect(try plain.sha256 == Self.sha256("hello"))
        #expect(plain.mode == 0o600 && plain.uid == 0 && plain.gid == 0 && plain.modified == Self.leapDay)
        #expect(tree.entries["/undated"]?.modified == 0)
        let given = try #require(tree.entries["/given"])
        #expect(given.mode == 0o755 && given.uid == 7 && given.gid == 8 && given.modified == Self.leapDay)
        #expect(tree.entries["/d"]?.mode == 0o755)
        #expect(try site.scratch() == [])
    }

    @Test("no file is newer than the image's own time")
    func clamped() async throws {
        let server = try FileServer()
        let site = try AddSite()
        try server.write("hello", to: "a")
        var request = try site.request("ADD http://\(server.host)/a /")
        request.times = .fixed(.init(seconds: 1_000_000))
        try await site.build(request)
        let tree = try Umoci.unpack(site.layout, tag: "1", into: site.folder.appending("bundle"))
        #expect(tree.entries["/a"]?.modified == 1_000_000)
    }

    @Test("files of both kinds go side by side, under their own names, and empty ones are files too")
    func severalSources() async throws {
        let server = try FileServer()
        let site = try AddSite(files: ["local": "l"])
        try server.write("", to: "empty")
        try server.write("s", to: "a b*[c]")
        let tree = try await site.tree(
            "ADD http://\(server.host)/empty local http://\(server.host)/a%20b%2A%5Bc%5D <<doc /d/\nh\ndoc")
        #expect(
            tree.entries.keys.filter { $0.starts(with: "/d") }.sorted { "\($0)" < "\($1)" }
                == ["/d", "/d/a b*[c]", "/d/doc", "/d/empty", "/d/local"])
        #expect(tree.entries["/d/empty"]?.size == 0)
    }

    @Test("the destination may be a folder of the image, written without a slash")
    func existingFolder() async throws {
        let server = try FileServer()
        try server.write("x", to: "a")
        let tree = try await AddSite().tree("WORKDIR /d\nWORKDIR /\nADD http://\(server.host)/a /d")
        #expect(tree.entries["/d/a"]?.size == 1)
    }

    @Test("an address without a name needs a destination with one")
    func unnamed() async throws {
        let server = try FileServer()
        try server.write("index", to: "index.html")
        let site = try AddSite()
        let failure = try await site.failure("ADD http://\(server.host)/ /d/")
        #expect(failure.contains("ends in no name") && failure.contains("'/d/NAME'") && failure.contains(":2:"))
        #expect(try server.requests() == [])
        #expect(try await AddSite().tree("ADD http://\(server.host)/ /d/x").entries["/d/x"]?.size == 5)
    }

    @Test("the checksum is that of the bytes")
    func checksum() async throws {
        let server = try FileServer()
        try server.write("hello", to: "a")
        let right = try Self.sha256("hello")
        let tree = try await AddSite().tree(
            "ARG SUM=\(right)\nADD --checksum=sha256:$SUM http://\(server.host)/a /")
        #expect(tree.entries["/a"]?.sha256 == right)
        let site = try AddSite()
        let wrong = String(repeating: "0", count: 64)
        let failure = try await site.failure("ADD --checksum=sha256:\(wrong) http://\(server.host)/a /")
        #expect(failure.contains("sha256:\(right)") && failure.contains("sha256:\(wrong)") && failure.contains(":2:"))
        #expect(try site.scratch() == [])
    }

    @Test("archives are unpacked only if the Dockerfile says so")
    func unpack() async throws {
        let server = try FileServer()
        try server.run("mkdir in; echo x >in/f; chmod 640 in/f; tar -czf a.tgz --owner=5 --group=6 in")
        try server.write("no archive", to: "b")
        let tree = try await AddSite().tree(
            """
            ADD http://\(server.host)/a.tgz /packed/
            ADD --unpack http://\(server.host)/a.tgz http://\(server.host)/b /unpacked/
            """)
        #expect(tree.entries["/packed/a.tgz"]?.mode == 0o600)
        let file = try #require(tree.entries["/unpacked/in/f"])
        #expect(file.mode == 0o640 && file.uid == 5 && file.gid == 6)
        #expect(tree.entries["/unpacked/a.tgz"] == nil)
        #expect(tree.entries["/unpacked/b"]?.size == 10)
    }

    @Test("a status that is no success fails the step at its place, without the secrets of the address")
    func refused() async throws {
        let server = try FileServer()
        let site = try AddSite()
        let missing = try await site.failure("ADD http://tester:hidden@\(server.host)/missing?token=hidden /")
        #expect(missing.contains("404 Not Found") && missing.contains("Dockerfile:2:"))
        let wanting = try await site.failure("ADD http://\(server.host)/private/a /")
        #expect(
            wanting.contains("401 Unauthorized") && wanting.contains("and got none")
                && wanting.contains(
                    "hint: the server wants credentials, and got none; give --secret id=HTTP_AUTH_TOKEN_127.0.0.1")
        )
        #expect(!(missing + site.events.joined()).contains("tester"))
        #expect(!missing.replacing("?token=hidden", with: "").contains("hidden"))
        #expect(try site.scratch() == [])
    }

    @Test("user information in an address goes to its own host alone, and not into the image")
    func userInformation() async throws {
        let server = try FileServer()
        let other = try FileServer()
        let site = try AddSite()
        try server.write("mine", to: "a")
        try other.write("other's", to: "b")
        let moved = "http%3A%2F%2F\(other.host.replacing(":", with: "%3A"))%2Fb"
        let tree = try await site.tree(
            """
            ADD http://tester:secret@\(server.host)/private/a /
            ADD http://tester:secret@\(server.host)/moved/\(moved) /b
            """)
        #expect(tree.entries["/a"]?.size == 4 && tree.entries["/b"]?.size == 7)
        #expect(try server.requests() == ["GET /private/a 200 tester", "GET /moved/\(moved) 302 tester"])
        #expect(try other.requests() == ["GET /b 200 -"])
        let everything = try Program.run(["grep", "-r", "secret", site.layout.string])
        #expect(everything.status == 1 && !site.events.joined().contains("secret"))
        let history = try Skopeo.configuration(of: "oci:\(site.layout):1")["history"]
        #expect("\(history)".contains("ADD http://\(server.host)/private/a /"))
    }

    @Test("what a variable holds decides what a source is, quoted or not")
    func variable() async throws {
        let server = try FileServer()
        let repositories = try GitServer()
        let site = try AddSite(files: ["tree/f": "1", "local": "l"])
        _ = try repositories.makeRepository("app.git", from: site.folder.appending("context/tree"))
        try server.write("hello", to: "a")
        let tree = try await site.tree(
            """
            ARG SERVER=http://\(server.host) NAME=a REPOSITORY=http://\(repositories.host)/app.git#main LOCAL=local
            ADD $SERVER/$NAME /file
            ADD ["${SERVER}/${NAME}", "$LOCAL", "/both/"]
            ADD "$REPOSITORY" /repository
            ONBUILD ADD $SERVER/never /
            """)
        #expect(tree.entries["/file"]?.size == 5 && tree.entries["/both/a"]?.size == 5)
        #expect(tree.entries["/both/local"]?.size == 1 && tree.entries["/repository/f"]?.size == 1)
        let failure = try await AddSite().failure("ARG BAD=https://host/a.git?depth=1\nADD $BAD /")
        #expect(failure.contains("Dockerfile:3:") && failure.contains("no key 'depth'"), "\(failure)")
    }

    @Test(
        "COPY fetches nothing, however it is written",
        arguments: ["https://host/a", "$URL", "\"${URL}\"", "${NONE:-$URL}", "--from=scratch $URL"])
    func copy(source: String) async throws {
        let failure = try await AddSite().failure("ARG URL=https://host/a\nCOPY \(source) /")
        #expect(failure.contains("Dockerfile:3: COPY takes files, not URLs: 'https://host/a'"), "\(failure)")
        #expect(failure.hasSuffix("hint: ADD fetches URLs"))
    }

    @Test("COPY refuses the address of a repository by that name", arguments: ["git@host:a", "ssh://host/a", "$GIT"])
    func copyRepository(source: String) async throws {
        let failure = try await AddSite().failure("ARG GIT=https://jo:pw@host/a.git\nCOPY \(source) /")
        #expect(failure.contains("Dockerfile:3: COPY takes files, not Git repositories: '"), "\(failure)")
        #expect(failure.hasSuffix("hint: ADD fetches repositories") && !failure.contains("pw"))
    }

    @Test("a build that is cancelled stops fetching", .timeLimit(.minutes(10)))
    func cancelled() async throws {
        let server = try FileServer()
        // A FIFO without a writer: the server never gets to answer.
        try server.run("mkfifo slow")
        let site = try AddSite()
        let request = try site.request("ADD http://\(server.host)/slow /")
        let build = Task { try await site.build(request) }
        while !site.events.contains(where: { $0.contains("fetching") }) { try await Task.sleep(for: .milliseconds(20)) }
        try await Task.sleep(for: .milliseconds(200))
        build.cancel()
        await #expect(throws: FailedBuild.self) { try await build.value }
        #expect(try site.scratch() == [])
    }
}
