import SystemPackage
import TestSupport
import Testing

/// `--build-context`: what stands for a name in FROM, COPY --from and mounts.
@Suite("Named contexts", .enabled(if: isRoot, "owners of unpacked files need root"))
struct NamedContextTests {
    private func files(_ site: BuildSite, _ flags: [String]) throws -> FileTree {
        try site.require(
            ["--dest", "named:test", "--no-push", "--oci-layout-path", site.layout.string] + flags)
        return try Umoci.unpack(site.layout, tag: "test", into: site.folder.appending("bundle"))
    }

    @Test("a folder takes the place of a stage, which is never built; its files belong to root")
    func folder() throws {
        let site = try BuildSite(
            """
            FROM registry.invalid/never AS Assets
            RUN false
            FROM scratch
            COPY --from=assets f.txt /named
            COPY --from=0 / /all/

            """)
        try site.folder.write("of the context\n", to: "assets/f.txt")
        try Program.require(["chown", "-R", "1234:1234", site.folder.appending("assets").string])
        let tree = try files(site, ["--build-context", "ASSETS=\(site.folder.appending("assets"))"])
        for path in ["/named", "/all/f.txt"] as [FilePath] {
            #expect(try String(decoding: tree.contents(of: path), as: UTF8.self) == "of the context\n")
            #expect(tree.entries[path]?.uid == 0)
        }
    }

    @Test("an image on disk takes the place of a stage in FROM, too, and one of a registry that of another image")
    func images() throws {
        let registry = try DockerRegistry()
        try BusyboxImage.shared().push(to: registry, as: "mirror/tools:1")
        let site = try BuildSite(
            """
            FROM registry.invalid/never AS base
            FROM base
            COPY --from=registry.invalid/tools:9 /etc/issue /from-registry
            COPY --from=BASE /etc/issue /from-layout

            """)
        let tree = try files(
            site,
            [
                "--build-context", "base=oci-layout://\(BusyboxImage.shared().layout):latest", "--build-context",
                "registry.invalid/tools:9=docker-image://\(registry.host)/mirror/tools:1",
            ])
        #expect(tree.entries["/bin/busybox"] != nil)
        for path in ["/from-registry", "/from-layout"] as [FilePath] {
            #expect(try String(decoding: tree.contents(of: path), as: UTF8.self) == "busybox\n")
        }
    }

    @Test("a folder is no base, and a context that is none is refused")
    func faults() throws {
        let site = try BuildSite("FROM scratch AS base\nFROM base\n")
        let build = try site.build(["--no-push", "--build-context", "base=\(site.context)"])
        #expect(build.status == 1)
        #expect(build.log.contains("Dockerfile:2: the context 'base' is the folder"), "\(build.log)")
        #expect(build.log.contains("a base must be an image"))
        for text in ["a=https://host/x", "a=docker-image://", "a=docker-image://host/UPPER", "a", "=x"] {
            #expect(try site.build(["--no-push", "--build-context", text]).status == 64, "\(text)")
        }
    }
}
