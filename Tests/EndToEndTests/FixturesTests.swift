import SystemPackage
import TestSupport
import Testing

/// The fixtures that the other tests stand on.
@Suite("Fixtures")
struct FixturesTests {
    @Test("a program's status, output and error output come back, and input reaches it")
    func programOutcome() throws {
        let outcome = try Program.run(["sh", "-c", "cat; echo problem >&2; exit 3"], input: Array("said".utf8))
        #expect(outcome.status == 3)
        #expect(outcome.text == "said")
        #expect(outcome.errorText == "problem\n")
    }

    @Test("a program that takes too long is killed with its descendants")
    func programTimeout() throws {
        #expect(throws: ProgramError.self) {
            try Program.run(["sh", "-c", "sleep 60 & sleep 60"], timeout: .milliseconds(100))
        }
    }

    @Test("a temporary directory goes with its object")
    func temporaryDirectory() throws {
        var folder: TemporaryDirectory? = try TemporaryDirectory()
        let path = try #require(folder?.path)
        try folder?.write("text", to: "a/b", mode: 0o4751)
        #expect(try text(of: path.appending("a/b")) == "text")
        #expect(try FileTree(listing: path).entries["/a/b"]?.mode == 0o4751)
        folder = nil
        #expect(try Program.run(["test", "-e", path.string]).status == 1)
    }

    @Test("the busybox image goes through a registry unchanged, and the registry's log tells of it")
    func busyboxInRegistry() throws {
        let image = try BusyboxImage()
        let registry = try DockerRegistry()
        try image.push(to: registry, as: "library/busybox:latest")
        let reference = "docker://\(registry.host)/library/busybox:latest"
        #expect(
            try Skopeo.manifest(of: reference)["config"]["digest"]
                == Skopeo.manifest(of: "oci:\(image.layout):latest")["config"]["digest"])
        #expect(try Skopeo.configuration(of: reference)["config"]["Cmd"] == .array([.string("sh")]))
        #expect(
            try registry.requests().contains {
                $0.method == "PUT" && $0.path == "/v2/library/busybox/manifests/latest" && $0.status == 201
            })
    }

    @Test("a registry with a user refuses others")
    func registryWithUser() throws {
        let image = try BusyboxImage()
        let registry = try DockerRegistry(user: ("ann", "correct horse"))
        #expect(throws: ProgramError.self) { try image.push(to: registry, as: "a/b:1") }
        #expect(throws: ProgramError.self) { try image.push(to: registry, as: "a/b:1", user: ("ann", "wrong")) }
        try image.push(to: registry, as: "a/b:1", user: ("ann", "correct horse"))
    }

    @Test("a stopped registry leaves its port")
    func registryStops() throws {
        let registry = try DockerRegistry()
        let ping = ["curl", "--silent", "--output", "/dev/null", "http://\(registry.host)/v2/"]
        #expect(try Program.run(ping).status == 0)
        registry.stop()
        #expect(try Program.run(ping).status == 7)
    }

    @Test("an unpacked image is listed with owners, modes, links and content", .enabled(if: isRoot))
    func unpackedImage() throws {
        let image = try BusyboxImage()
        let folder = try TemporaryDirectory()
        let tree = try Umoci.unpack(image.layout, tag: "latest", into: folder.appending("bundle"))
        let home = try #require(tree.entries["/home/app"])
        #expect(home.kind == .dir && home.uid == 1000 && home.gid == 2000)
        #expect(tree.entries["/tmp"]?.mode == 0o1777)
        #expect(tree.entries["/usr/bin/env"]?.target == "../../bin/busybox")
        #expect(tree.entries["/bin/sh"]?.inode == tree.entries["/bin/busybox"]?.inode)
        #expect(try String(decoding: tree.contents(of: "/etc/issue"), as: UTF8.self) == "busybox\n")
        // printf 'busybox\n' | sha256sum
        #expect(
            tree.entries["/etc/issue"]?.sha256 == "597d455e6299f2550cc1c1fbfa819cd50c4751ded18c548376e1e7576e16d7e9")
    }

    @Test("a repository is cloned over HTTP by those who know the password")
    func gitServer() throws {
        let folder = try TemporaryDirectory()
        try folder.write("hello\n", to: "tree/hello.txt")
        let server = try GitServer(user: ("token", "secret"))
        let repository = try server.makeRepository("acme/app.git", from: folder.appending("tree"))
        let environment = Program.environment(adding: ["GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null"])
        let clone = { (credentials: String, name: String) in
            try Program.run(
                [
                    "git", "clone", "--quiet", "http://\(credentials)\(server.host)/acme/app.git",
                    folder.appending(name).string,
                ], environment: environment)
        }
        #expect(try clone("", "refused").status != 0)
        let outcome = try clone("token:secret@", "clone")
        #expect(outcome.status == 0, "\(outcome.errorText)")
        #expect(try text(of: folder.appending("clone/hello.txt")) == "hello\n")
        #expect(try server.requests().contains { $0.status == 401 && $0.user == nil })
        #expect(try server.requests().contains { $0.method == "POST" && $0.status == 200 && $0.user == "token" })
        #expect(try repository.git(["rev-list", "--count", "main"]) == "1")
    }
}
