import Glibc
import SystemPackage
import TestSupport
import Testing

/// COPY, ADD, WORKDIR and --chown look at what layers list: nothing is unpacked for them, and a base that was listed once is not
/// fetched again.
@Suite("Builds without RUN unpack nothing")
struct UnpackedNothingTests {
    static let dockerfile = """
        FROM registry/library/busybox
        WORKDIR /srv/www
        COPY --chown=app:users page .
        ADD --chown=app page /etc/motd/
        COPY --link page /tmp/page
        COPY --from=registry/library/busybox /bin/busybox /etc/passwd /copied/
        USER app
        WORKDIR data
        """

    @Test("a known base is not fetched; a damaged index is made again; both give the same image")
    func knownBase() async throws {
        let registry = try DockerRegistry()
        try BusyboxImage.shared().push(to: registry, as: "library/busybox:latest")
        let site = try BuildSite(
            Self.dockerfile.replacing("registry/", with: "\(registry.host)/"), files: ["page": "hello\n"])
        func build(_ tag: String) throws -> (digest: String?, fetched: Int) {
            let build = try site.require([
                "--insecure-registry", registry.host, "--dest", "\(registry.host)/app:\(tag)",
            ])
            return (build.digest, build.log.split(separator: "\n").count { $0.contains("fetched sha256:") })
        }
        let first = try build("1")
        #expect(first.fetched == 1)
        #expect(try Program.require(["ls", "-A", site.state.appending("trees").string]).text == "")

        // An empty machine that was only given the indices.
        func forgetBlobs() throws {
            try Program.require(["sh", "-c", "rm -f \"$0\"/blobs/sha256/*", site.state.string])
        }
        try forgetBlobs()
        try site.folder.write(
            Self.dockerfile.replacing("registry/", with: "\(registry.host)/").split(separator: "\n").filter {
                !$0.contains("--from")
            }.joined(separator: "\n"), to: "context/Dockerfile")
        let known = try build("2")
        #expect(known.fetched == 0)

        let script = "for f in \"$0\"/indices/*; do printf x | dd of=\"$f\" bs=1 seek=200 conv=notrunc; done"
        try forgetBlobs()
        try Program.require(["sh", "-c", script, site.state.string])
        let repaired = try build("3")
        #expect(repaired.fetched == 1 && repaired.digest == known.digest)
        try forgetBlobs()
        #expect(try build("4").fetched == 0)
    }

    /// The images of `testimages` that run nothing.
    static var withoutRun: [GoldenImage] {
        get throws {
            try GoldenImage.all.filter { image in
                try !text(of: image.folder.appending("Dockerfile")).split(separator: "\n").contains {
                    $0.uppercased().contains("RUN ")
                }
            }
        }
    }

    @Test(
        "a restricted pod, where nothing is allowed, builds the images that root builds",
        .enabled(if: Pod.isPossible, "needs root that may mount, and runc"))
    func restricted() throws {
        let images = try Self.withoutRun
        #expect(images.count > 25)
        var script = ""
        var sites: [BuildSite] = []
        for image in images {
            let site = try BuildSite()
            try image.copy(to: site)
            let arguments =
                try site.arguments(state: site.folder.appending("restricted")) + image.arguments(at: site) + [
                    "--no-push"
                ]
            script += "'\(BuildSite.program)' \(arguments.map { "'\($0)'" }.joined(separator: " "))"
            script += " 2>'\(site.folder.appending("log"))' || echo failed\n"
            try Program.require(["chown", "-R", "1000:1000", site.folder.path.string])
            sites.append(site)
        }
        let bases = try BusyboxImage.shared().layout.removingLastComponent()
        try Program.require(["chmod", "-R", "a+rX", bases.string])
        var pod = Pod()
        pod.uid = 1000
        pod.capabilities = .none
        pod.noNewPrivileges = true
        pod.shared =
            sites.map(\.folder.path) + [
                BuildSite.program.removingLastComponent(), bases,
            ]
        let outcome = try pod.run(["sh", "-c", script], environment: sites[0].environment())
        let digests = outcome.text.split(separator: "\n").map(String.init)
        try #require(digests.count == images.count, "\(outcome.errorText)\(outcome.text)")
        for (index, site) in sites.enumerated() {
            let asRoot = try site.require(["--no-push"] + images[index].arguments(at: site)).digest
            let log = try text(of: site.folder.appending("log"))
            #expect(digests[index] == asRoot, "\(images[index].name): \(log)")
        }
    }

    @Test("RUN is refused with isolation none, at its line, before anything is fetched or written")
    func refused() throws {
        let site = try BuildSite("FROM busybox\nCOPY Dockerfile /a\nRUN true\n")
        let build = try site.build(["--no-push", "--isolation=none"])
        #expect(build.status == 1)
        #expect(build.log.contains("Dockerfile:3: RUN is not possible with the isolation 'none'"), "\(build.log)")
        #expect(build.log.contains("hint: ") && !build.log.contains("fetched") && !build.log.contains("1/2]"))
        #expect(try Program.require(["ls", "-A", site.state.appending("blobs/sha256").string]).text == "")
        try site.expectClean()
    }
}
