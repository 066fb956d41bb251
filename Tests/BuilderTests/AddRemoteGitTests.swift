import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Builder

@Suite("ADD of a Git repository", .enabled(if: isRoot))
struct AddRemoteGitTests {
    /// A server with `app.git`: two commits on main, the first one tagged v1, both a day after New Year 2026.
    private struct Fixture {
        let server: GitServer
        let repository: GitRepository
        let first: String
        let second: String
        var url: String { "http://\(server.host)/app.git" }

        init(user: (name: String, password: String)? = nil) throws {
            let folder = try TemporaryDirectory()
            server = try GitServer(user: user)
            try folder.write("1", to: "tree/file", mode: 0o600)
            try folder.write("#!/bin/sh", to: "tree/bin/run", mode: 0o700)
            try folder.write("d", to: "tree/docs/deep/d", mode: 0o640)
            try Program.require(["ln", "-s", "../file", folder.appending("tree/docs/link").string])
            repository = try server.makeRepository("app.git", from: folder.appending("tree"))
            first = try repository.git(["rev-parse", "main"])
            try repository.git(["tag", "v1", first])
            try folder.write("22", to: "tree/file")
            second = try repository.commit(folder.appending("tree"))
        }
    }

    /// 2026-01-01T00:00:00Z, as `GitRepository` dates its commits.
    private static let newYear = 1_767_225_600

    private static func names(_ tree: FileTree, below folder: String) -> [String] {
        tree.entries.keys.map(\.string).filter { $0.hasPrefix(folder + "/") }.map {
            String($0.dropFirst(folder.count + 1))
        }
        .sorted()
    }

    @Test("a repository becomes its files: root's, 0644 or 0755, as old as the commit, without .git")
    func metadata() async throws {
        let fixture = try Fixture()
        let tree = try await AddSite().tree("ADD \(fixture.url) /src")
        #expect(
            Self.names(tree, below: "/src") == [
                "bin", "bin/run", "docs", "docs/deep", "docs/deep/d", "docs/link", "file",
            ])
        for (path, mode) in [
            ("/src/bin/run", 0o755), ("/src/docs/deep/d", 0o644), ("/src/file", 0o644), ("/src/docs", 0o755),
        ] as [(FilePath, mode_t)] {
            let entry = try #require(tree.entries[path])
            #expect(entry.mode == mode && entry.uid == 0 && entry.gid == 0 && entry.modified == Self.newYear)
        }
        #expect(tree.entries["/src/docs/link"]?.target == "../file")
        #expect(tree.entries["/src/file"]?.size == 2)
    }

    @Test("ref, subdirectory and commit are found in fragment and query")
    func selection() async throws {
        let fixture = try Fixture()
        let tree = try await AddSite().tree(
            """
            ADD \(fixture.url)#v1 /tag
            ADD \(fixture.url)?branch=main&subdir=docs /query
            ADD --chown=3:4 --chmod=a-w --exclude=link \(fixture.url)#refs/tags/v1:docs /fragment/
            ADD \(fixture.url)#\(fixture.first) /commit
            ADD \(fixture.url)?commit=\(fixture.first) /commit2
            """)
        #expect(tree.entries["/tag/file"]?.size == 1)
        #expect(Self.names(tree, below: "/query") == ["deep", "deep/d", "link"])
        #expect(Self.names(tree, below: "/fragment") == ["deep", "deep/d"])
        let changed = try #require(tree.entries["/fragment/deep/d"])
        #expect(changed.uid == 3 && changed.gid == 4 && changed.mode == 0o444)
        #expect(tree.entries["/commit/file"]?.size == 1 && tree.entries["/commit2/file"]?.size == 1)
    }

    @Test("the checksum is the commit, or the beginning of it")
    func checksum() async throws {
        let fixture = try Fixture()
        let tree = try await AddSite().tree(
            """
            ADD --checksum=\(fixture.second) \(fixture.url) /a
            ADD --checksum=\(fixture.first.prefix(7)) \(fixture.url)#v1 /b
            """)
        #expect(tree.entries["/a/file"]?.size == 2 && tree.entries["/b/file"]?.size == 1)
        let site = try AddSite()
        let failure = try await site.failure("ADD --checksum=\(fixture.first) \(fixture.url)#main /a")
        #expect(
            failure.contains(fixture.second) && failure.contains(fixture.first) && failure.contains("Dockerfile:2:"))
        #expect(try site.scratch() == [])
    }

    @Test("--keep-git-dir keeps a repository that git knows, without any secret")
    func keepsGitFolder() async throws {
        let fixture = try Fixture(user: (name: "jo", password: "hidden"))
        let address = fixture.url.replacing("http://", with: "http://jo:hidden@")
        let site = try AddSite()
        let tree = try await site.tree("ADD --keep-git-dir \(address) /a\nADD \(address)?keep-git-dir=true /b")
        for folder in ["a", "b"] {
            let path = tree.root.appending(folder).string
            let git = ["git", "-c", "safe.directory=*", "-C", path]
            #expect(try Program.require(git + ["rev-parse", "HEAD"]).text == fixture.second + "\n")
            #expect(try Program.require(git + ["status", "--porcelain"]).text == "")
            #expect(try Program.require(git + ["remote", "get-url", "origin"]).text == fixture.url + "\n")
        }
        #expect(try Program.run(["grep", "-r", "hidden", tree.root.string]).status == 1)
    }

    @Test("submodules come along, at their commits, unless the address says no")
    func submodules() async throws {
        let fixture = try Fixture()
        let folder = try TemporaryDirectory()
        try folder.write("s", to: "sub/inner")
        let sub = try fixture.server.makeRepository("sub.git", from: folder.appending("sub"))
        let commit = try sub.git(["rev-parse", "main"])
        try folder.write("later", to: "sub/inner")
        try sub.commit(folder.appending("sub"))
        let work = folder.appending("work").string
        try Program.require(
            [
                "sh", "-ec",
                """
                git clone -q \(fixture.url) \(work)
                cd \(work)
                git config user.name T; git config user.email t@example.com
                git clone -q http://\(fixture.server.host)/sub.git lib
                git -C lib checkout -q \(commit)
                printf '[submodule "lib"]\\n\\tpath = lib\\n\\turl = ../sub.git\\n' >.gitmodules
                git add .gitmodules lib
                git commit -q -m submodule
                git push -q \(fixture.repository.path) HEAD:refs/heads/with
                """,
            ], environment: Program.environment(adding: ["GIT_CONFIG_GLOBAL": "/dev/null"]))
        let site = try AddSite()
        let tree = try await site.tree(
            """
            ADD \(fixture.url)#with /with
            ADD \(fixture.url)?submodules=false#with /without
            ADD --keep-git-dir \(fixture.url)#with /kept
            """)
        #expect(tree.entries["/with/lib/inner"]?.size == 1)
        #expect(tree.entries["/with/lib/.git"] == nil && tree.entries["/with/.git"] == nil)
        #expect(Self.names(tree, below: "/without/lib") == [])
        let status = try Program.require(
            ["git", "-c", "safe.directory=*", "-C", tree.root.appending("kept").string, "submodule", "status"])
        #expect(status.text.hasPrefix(" \(commit) lib"))
        #expect(try site.scratch() == [])
    }

    @Test("the context's credentials go to its own host alone, submodules included")
    func credentials() async throws {
        let context = try Fixture(user: (name: "x-access-token", password: "hidden"))
        let other = try Fixture()
        let source = BuildRequest.Source.git(
            try GitLocation(parsing: context.url),
            GitCredentials(token: "hidden", username: nil, host: nil, origin: "GIT_TOKEN"))
        let site = try AddSite()
        // The Dockerfile is named by an absolute path; the context is the repository.
        let tree = try await site.tree("ADD \(context.url) /a\nADD \(other.url) /b", source: source)
        #expect(tree.entries["/a/file"]?.size == 2 && tree.entries["/b/file"]?.size == 2)
        #expect(try other.server.requests().allSatisfy { $0.user == nil })
        #expect(!site.events.joined().contains("hidden"))

        let stranger = try Fixture(user: (name: "x-access-token", password: "hidden"))
        let failure = try await site.failure("ADD \(stranger.url) /a", source: source)
        #expect(
            failure.contains("wants credentials") && failure.contains("only for repositories on the context's host"))
        #expect(try stranger.server.requests().allSatisfy { $0.user == nil })
    }

    @Test("what is not there is named")
    func missing() async throws {
        let fixture = try Fixture()
        for (address, message) in [
            ("\(fixture.url)#nope", "the ref nope does not exist"),
            ("\(fixture.url)#:nope", "there is no '/nope'"),
            ("\(fixture.url)#:file", "is a file"),
            ("http://\(fixture.server.host)/nope.git", "no Git repository"),
        ] {
            let site = try AddSite()
            let failure = try await site.failure("ADD \(address) /a")
            #expect(failure.contains(message) && failure.contains("Dockerfile:2:"), "\(failure)")
            #expect(try site.scratch() == [])
        }
    }
}
