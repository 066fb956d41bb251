import Glibc
import SystemPackage
import TestSupport
import Testing

@Suite("Contexts that are folders and archives", .enabled(if: isRoot, "owners of unpacked files need root"))
struct ContextTests {
    private static let secret = "s3cret-of-the-archive"

    /// A site with the files of a context in `context/`, one of them in a folder `app` with a Dockerfile of its own.
    private func makeSite() throws -> BuildSite {
        let site = try BuildSite(
            BuildSite.copyAll,
            files: [
                "file": "top", "app/Dockerfile": BuildSite.copyAll, "app/file": "below",
                "app/.dockerignore": "hidden\n",
                "app/hidden": "hidden",
            ])
        try Program.require(["ln", "-s", "file", site.context.appending("link").string])
        return site
    }

    private static let all = [
        "/Dockerfile": BuildSite.copyAll, "/file": "top", "/link": "-> file", "/app": "/",
        "/app/Dockerfile": BuildSite.copyAll, "/app/file": "below", "/app/.dockerignore": "hidden\n",
        "/app/hidden": "hidden",
    ]
    private static let below = ["/Dockerfile": BuildSite.copyAll, "/file": "below", "/.dockerignore": "hidden\n"]

    @Test("a folder is named by its path or as dir://, and a folder in it by --context-sub-path")
    func folders() throws {
        let site = try makeSite()
        let path = site.context.string
        for context in [path, "dir://\(path)", "context", "dir://context"] {
            #expect(try site.copied(context).files == Self.all)
            #expect(try site.copied(context, ["--context-sub-path", ""]).files == Self.all)
            for sub in ["app", "app/", "/app", "./app/."] {
                #expect(try site.copied(context, ["--context-sub-path", sub]).files == Self.below)
            }
        }
        try site.expectClean()
    }

    @Test(
        "an archive is a context, however it is compressed and whatever its name says",
        arguments: ["cat", "gzip", "zstd", "bzip2", "xz"])
    func archives(compressor: String) throws {
        let site = try makeSite()
        let server = try FileServer()
        let script = "tar -c -C \(site.context) . | \(compressor) -c"
        let bytes = try Program.require(
            ["sh", "-c", compressor == "cat" ? "tar -c -C \(site.context) ." : script]
        ).output
        try server.write(bytes, to: "context.tar.gz")
        let file = try site.folder.write(bytes, to: "archives/context.tar.gz")
        let sources: [(context: String, input: [UInt8])] = [
            ("tar://\(file)", []), ("tar://archives/context.tar.gz", []), ("tar://stdin", bytes), ("-", bytes),
            ("http://\(server.host)/context.tar.gz", []), ("http://\(server.host)/moved/%2Fcontext.tar.gz", []),
        ]
        let times = ["SOURCE_DATE_EPOCH": "1767225600"]
        let folder = try site.copied(site.context.string, environment: times)
        for source in sources {
            let found = try site.copied(source.context, environment: times, input: source.input)
            #expect(found.files == Self.all, "\(source.context)")
            // The image does not tell where its files came from.
            #expect(found.build.digest == folder.build.digest, "\(source.context)")
        }
        let sub = try site.copied("tar://\(file)", ["--context-sub-path", "app"])
        #expect(sub.files == Self.below)
        try site.expectClean()
    }

    @Test("an archive's own Dockerfile is found, and its newest file is the image's time")
    func times() throws {
        let site = try makeSite()
        try Program.require(
            ["sh", "-ec", "find context -exec touch -h -d @1700000000 {} +; tar -cf c.tar -C context ."],
            in: site.folder.path)
        let built = try site.build("tar://c.tar", [])
        try #require(built.status == 0, "\(built.log)")
        #expect(try Skopeo.configuration(of: "oci:\(site.layout):1")["created"].string == "2023-11-14T22:13:20Z")
    }

    /// An archive that must do no harm. Made by Python in the site's folder; `OUT` is a folder outside of the context.
    private struct Hostile: CustomTestStringConvertible, Sendable {
        let name: String
        /// Adds entries to the archive `t`.
        let python: String
        /// What the build says; `nil` if it succeeds.
        let says: String?
        var testDescription: String { name }

        static let all = [
            Hostile(name: "a name with ..", python: "add('../OUT/evil', b'x')", says: "could lead out of the tree"),
            Hostile(
                name: "a link out, and a file through it",
                python: "link('away', '../../../../OUT'); add('away/evil', b'x')", says: nil),
            Hostile(
                name: "an absolute link, and a file through it", python: "link('away', 'OUT'); add('away/evil', b'x')",
                says: nil),
            Hostile(name: "an absolute name", python: "add('OUT/evil', b'x')", says: nil),
            Hostile(
                name: "a hard link to what is outside", python: "hard('stolen', 'OUT/precious')",
                says: "a hard link to"),
            Hostile(name: "a device", python: "device('Dockerfile')", says: "it is a device"),
            Hostile(
                name: "a Dockerfile that is a link to a file outside", python: "link('Dockerfile', 'OUT/precious')",
                says: "there is no 'Dockerfile'"),
        ]
    }

    @Test("an archive reaches nothing outside of its own folder", arguments: Hostile.all)
    private func hostile(_ archive: Hostile) throws {
        let site = try BuildSite()
        let out = try site.folder.makeDirectory("out")
        try site.folder.write("precious", to: "out/precious")
        let program = """
            import io, tarfile
            t = tarfile.open('hostile.tar', 'w')
            def add(name, data):
                i = tarfile.TarInfo(name); i.size = len(data); t.addfile(i, io.BytesIO(data))
            def special(name, kind, target=''):
                i = tarfile.TarInfo(name); i.type = kind; i.linkname = target; i.devmajor, i.devminor = 1, 3; t.addfile(i)
            link = lambda name, target: special(name, tarfile.SYMTYPE, target)
            hard = lambda name, target: special(name, tarfile.LNKTYPE, target)
            device = lambda name: special(name, tarfile.CHRTYPE)
            \(archive.name.contains("Dockerfile") ? "" : "add('Dockerfile', b'FROM scratch\\nCOPY . /\\n')")
            \(archive.python.replacing("OUT", with: out.string))
            t.close()
            """
        try Program.require(["python3", "-c", program], in: site.folder.path)
        let build = try site.build("tar://hostile.tar", [])
        if let says = archive.says {
            #expect(build.status == 1 && build.log.contains(says), "\(build.log)")
        } else {
            #expect(build.status == 0, "\(build.log)")
        }
        #expect(try FileTree(listing: out).entries.keys.map(\.string).sorted() == ["/", "/precious"])
        #expect(try text(of: out.appending("precious")) == "precious")
        try site.expectClean()
    }

    @Test(
        "what is no context says so",
        arguments: [
            (
                "nonexistent", 1,
                ["the context 'nonexistent' cannot be read: ", "No such file", "name it with --context"]
            ),
            ("dir://nonexistent", 1, ["the context 'nonexistent' cannot be read"]),
            ("archive", 1, ["the context 'archive' is not a folder", "hint: for an archive, write tar://archive"]),
            ("tar://nonexistent", 1, ["the context 'nonexistent' cannot be read", "No such file"]),
            ("tar://context", 1, ["the context 'context' is a folder", "hint: write it without tar://"]),
            (
                "tar://text", 1,
                ["the context cannot be unpacked: text: ", "hint: a context is a tar, plain or compressed"]
            ),
            ("tar://cut", 1, ["the context cannot be unpacked: cut: "]),
            ("tar://empty", 1, ["the context cannot be unpacked: empty: "]),
            ("-", 1, ["the context cannot be unpacked: standard input: "]),
            ("tar://", 64, ["names no path"]), ("dir://", 64, ["names no path"]),
            ("", 64, ["--context has an empty value"]),
            ("gs://bucket/key", 64, ["contexts from gs:// are not supported"]),
            ("gti://host/app.git", 64, ["there are no contexts from gti://", "hint: did you mean git://?"]),
            ("ftp://host/a.tar", 64, ["there are no contexts from ftp://"]),
            ("https://", 64, ["is no address"]),
            ("http://127.0.0.1:1/a.tar", 1, ["the context http://127.0.0.1:1/a.tar cannot be fetched"]),
        ] as [(String, Int32, [String])])
    func wrong(_ context: String, _ status: Int32, _ parts: [String]) throws {
        let site = try makeSite()
        try Program.require(
            ["sh", "-ec", "tar -czf archive -C context .; head -c 100 archive > cut; : > empty; seq 9999 > text"],
            in: site.folder.path)
        let build = try site.build(context, [])
        #expect(build.status == status)
        for part in parts { #expect(build.log.contains(part), "\(build.log)") }
        #expect(!exists(site.layout))
        try site.expectClean()
    }

    @Test("a sub-path that is not there, is a file, or leads out of the context is refused")
    func subPaths() throws {
        let site = try makeSite()
        try site.folder.write(BuildSite.copyAll, to: "outside/Dockerfile")
        try Program.require(["ln", "-s", "../outside", site.context.appending("out").string])
        for (path, part) in [
            ("nope", "'nope' of --context-sub-path is not in the context"), ("file", "--context-sub-path is a file"),
            ("out", "'out' of --context-sub-path is not in the context"),
        ] {
            let build = try site.build(site.context.string, ["--context-sub-path", path])
            #expect(build.status == 1 && build.log.contains(part), "\(build.log)")
        }
        // As everywhere in a context, `..` stops at its root.
        #expect(try site.copied(site.context.string, ["--context-sub-path", "../../app"]).files == Self.below)
        let listed = try site.build(site.context.string, ["--context-sub-path", "nope"])
        #expect(listed.log.contains("hint: there are 'Dockerfile', 'app'"))
    }

    @Test("an archive is fetched with the user of its address, of whom nothing is left")
    func privateArchive() throws {
        let site = try makeSite()
        let server = try FileServer()
        try server.run("tar -cz -C \(site.context) -f context.tar.gz .")
        let open = try site.copied("http://tester:secret@\(server.host)/private/context.tar.gz?token=\(Self.secret)")
        #expect(open.files == Self.all)
        #expect(!open.build.log.contains("tester:secret"))
        try site.expectNowhere(Self.secret, open.build)
        for (address, part) in [
            ("http://tester:\(Self.secret)@\(server.host)/private/context.tar.gz", "the server refused the user"),
            ("http://\(server.host)/nope.tar.gz?token=\(Self.secret)", "the server answered 404"),
            ("http://\(server.host)/", "the address of a Git repository ends in .git"),
        ] {
            let build = try site.build(address, ["-v", "debug"])
            #expect(build.status == 1 && build.log.contains(part), "\(build.log)")
            try site.expectNowhere(Self.secret, build)
        }
        try site.expectClean()
    }

    @Test("a build that waits for its context on standard input ends when it is interrupted")
    func interruptedInput() throws {
        let site = try makeSite()
        // A pipe that its own reader holds open for writing never ends.
        let arguments = [
            BuildSite.program.string, "--context", "tar://stdin", "--state-dir", site.state.string, "--no-push",
        ].joined(separator: " ")
        let program = try RunningProgram(
            ["sh", "-ec", "mkfifo pipe; exec 3<>pipe; exec \(arguments) <pipe"], environment: site.environment(),
            in: site.folder.path)
        #expect(try eventually { try !site.scratch().isEmpty || !program.isRunning() })
        program.signal(SIGTERM)
        #expect(try program.wait().status == 128 + SIGTERM)
        try site.expectClean()
    }
}
