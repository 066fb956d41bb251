import Glibc
import SystemPackage
import TestSupport
import Testing

/// Builds by an ordinary user with subordinate ids, and by root without the right to mount.
@Suite("User namespaces", .enabled(if: OrdinaryUser.isPossible, OrdinaryUser.needs))
struct UserNamespaceTests {
    /// Owners, modes, deletions, opaque folders, hard links: what the ids and marks of a namespace could change.
    static let dockerfile = """
        FROM busybox AS base
        RUN mkdir -p /srv/a/b && echo one > /srv/a/one && chown -R 33:44 /srv && chmod 2750 /srv/a && ln /srv/a/one /srv/two
        FROM base
        RUN rm -r /srv/a && mkdir /srv/a && echo new > /srv/a/new && chown 65533:1 /srv/a/new && chmod 4755 /srv/a/new
        RUN rm /srv/two; mkfifo /srv/pipe; test "$(id -u)" = 0 && test "$(stat -c %u:%g /srv/a/new)" = 65533:1
        COPY --from=base --chown=7:8 /srv/two /copied
        USER 1000:1000
        RUN echo mine > /tmp/mine && test "$(stat -c %u:%g /tmp/mine)" = 1000:1000
        USER 0
        RUN --mount=type=cache,target=/cache,uid=5 test "$(stat -c %u /cache)" = 5 && touch /cache/x && ls /proc/1 /sys >/dev/null
        """

    private func site(_ dockerfile: String) throws -> BuildSite { try OrdinaryUser.site(dockerfile) }

    private func build(
        _ site: BuildSite, as user: [String], ids: Bool = true, _ arguments: [String] = []
    ) throws -> Build {
        Build(
            try Program.run(
                OrdinaryUser.command(site, as: user, ids: ids, arguments), environment: site.environment(),
                in: site.folder.path))
    }

    static let time = OrdinaryUser.time
    static let nobody = OrdinaryUser.nobody
    /// What root builds where it may do all.
    private static let digestOfRoot = Result { () throws -> String in
        try #require(try BuildSite(dockerfile).require(["--no-push", time]).digest)
    }

    @Test("an ordinary user gets the image that root gets, and leaves nothing but the state folder")
    func sameImage() throws {
        let site = try site(Self.dockerfile)
        let build = try build(site, as: Self.nobody, ["--isolation=overlay"])
        try #require(build.status == 0, "\(build.log)")
        #expect(build.log.contains("isolation: overlay in a user namespace, as asked for\n"))
        try site.expectClean()
        #expect(try build.digest == Self.digestOfRoot.get())

        // Root's trees and a namespace's have other owners: in one state folder each has its own.
        let again = try self.build(site, as: [])
        #expect(again.digest == build.digest, "\(again.log)")
        let folders = try Program.require(["ls", site.state.string]).text.split(separator: "\n")
        #expect(folders.filter { $0.hasPrefix("trees") }.count == 2)

        let pruned = try self.prune(site, as: Self.nobody)
        #expect(pruned.status == 0, "\(pruned.errorText)")
    }

    /// Every way of changing a file that busybox can show; each RUN is one layer, or none. Not of one with two names: overlayfs
    /// parts them.
    static let changes = """
        FROM busybox
        RUN mkdir -p /s/a/b /s/c && cd /s && echo 1 > one && echo 2 > two && echo 3 > a/b/three && ln one c/hard && ln -s one link
        RUN true
        RUN cat /s/one && touch /s/c && touch /s/new && rm /s/new
        RUN cd /s && touch -r two t && printf 'x\\n' > two && touch -r t two && rm t
        RUN chmod 4711 /s/a/b/three
        RUN chown 33:44 /s/two && chown -h 5:6 /s/link
        RUN ln /s/two /s/other
        RUN mv /s/a /s/moved
        RUN cd /s && rm two && mkdir two && touch two/in
        RUN cd /s && rm -r two && echo again > two && rm -r c && ln -s moved c
        RUN rm -r /s/moved/b && mkdir /s/moved/b && echo 4 > /s/moved/b/four
        RUN rm -r /s/moved/b/four
        RUN exec 3> /s/open && rm /s/open && echo unseen >&3
        RUN truncate -s 3000000 /s/sparse && mkfifo /s/pipe
        RUN rm -r /s && mkdir /s
        """

    @Test("what commands change makes the same layers, whoever builds and however")
    func sameChanges() throws {
        let site = try site(Self.changes)
        let build = try build(site, as: Self.nobody, ["--isolation=overlay"])
        try #require(build.status == 0, "\(build.log)")
        let asRoot = try BuildSite(Self.changes)
        for isolation in RunIsolation.possible {
            let state = asRoot.folder.appending(isolation.rawValue)
            let expected = try asRoot.require(["--no-push", Self.time, isolation.flag], state: state)
            #expect(build.digest == expected.digest && build.digest != nil, "\(isolation)")
        }
        // Three of fifteen change nothing.
        #expect(build.log.split(separator: "\n").count { $0.contains(", layer of ") } == 12, "\(build.log)")
        try site.expectClean()
    }

    @Test("a base of layers with every kind of deletion and replacement is the same to all")
    func sameBase() throws {
        let dockerfile =
            "FROM busybox\nRUN find /t | sort | while read f; do stat -c '%n %F %a %u:%g %h' \"$f\"; done > /facts; rm -r /t\n"
        let site = try site(dockerfile)
        let layers = """
            import tarfile, io
            def layer(name, *entries):
                with tarfile.open(name, 'w', format=tarfile.PAX_FORMAT) as t:
                    for path, kind, *more in entries:
                        i = tarfile.TarInfo(path); i.type = kind; i.mode = 0o755 if kind == b'5' else 0o640; i.uid = 7
                        if more: i.linkname = more[0]
                        t.addfile(i, io.BytesIO())
            layer('0.tar', ('t', b'5'), ('t/gone', b'0'), ('t/d', b'5'), ('t/d/low', b'0'), ('t/opq', b'5'), ('t/opq/low', b'0'),
                ('t/f', b'0'), ('t/x', b'5'), ('t/x/in', b'0'), ('t/lib', b'2', 'd'), ('t/one', b'0'), ('t/one', b'0'), ('t/pipe', b'6'))
            layer('1.tar', ('t/.wh.gone', b'0'), ('t/d/.wh.low', b'0'), ('t/d/new', b'0'), ('t/opq/.wh..wh..opq', b'0'), ('t/opq/up', b'0'),
                ('t/f', b'5'), ('t/f/in', b'0'), ('t/x', b'0'), ('t/lib/through', b'0'), ('t/d/hard', b'1', 't/one'), ('t/opq/hard', b'1', 't/one'))
            """
        try site.folder.write(layers, to: "layers.py")
        let script =
            "python3 layers.py; for l in 0 1; do umoci raw add-layer --image image/busybox:latest $l.tar; done; chown -R 65534:65534 image"
        try Program.require(["sh", "-euc", script], in: site.folder.path)
        let build = try build(site, as: Self.nobody, ["--isolation=overlay"])
        try #require(build.status == 0, "\(build.log)")
        for isolation in RunIsolation.possible {
            let asRoot = try self.build(site, as: [], [isolation.flag])
            #expect(build.digest == asRoot.digest && build.digest != nil, "\(isolation): \(asRoot.log)")
        }
    }

    private func prune(_ site: BuildSite, as user: [String]) throws -> Program.Outcome {
        // Root's trees are not nobody's to remove: only what is used as nobody.
        try Program.require([
            "sh", "-c", "rm -rf \"$0\"/trees \"$0\"/mounts; chown -R 65534:65534 \"$0\"/blobs", site.state.string,
        ])
        let script =
            "mount --bind \"$0/ids\" /etc/subuid && mount --bind \"$0/ids\" /etc/subgid && exec \"$@\""
        let outcome = try Program.run(
            ["unshare", "--mount", "sh", "-c", script, site.folder.path.string] + user
                + [BuildSite.program.string, "prune", "--all", "--state-dir", site.state.string],
            environment: site.environment(), in: site.folder.path)
        let left = try Program.require(["find", site.state.string, "-type", "f"]).text.split(separator: "\n")
        #expect(left.map(String.init) == [site.state.appending("lock").string])
        return outcome
    }

    @Test("root without CAP_SYS_ADMIN maps its own ids, and gets the same image")
    func rootOfPod() throws {
        let site = try site(Self.dockerfile)
        let capabilities = "-sys_admin"
        let build = try build(
            site, as: ["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities], ids: false)
        try #require(build.status == 0, "\(build.log)")
        #expect(build.log.contains("isolation: overlay in a user namespace\n"), "\(build.log)")
        #expect(try build.digest == Self.digestOfRoot.get())
        try site.expectClean()
    }

    @Test("a user without subordinate ids is told so, and gets the same image with one id")
    func withoutIDs() throws {
        let site = try site(Self.dockerfile)
        try site.folder.write("other:300000:65536\n", to: "ids")
        let build = try build(site, as: Self.nobody)
        #expect(build.status == 0, "\(build.log)")
        #expect(
            build.log.contains(
                "isolation: overlay in a user namespace with one id, other owners kept by imgbuild (/etc/subuid and /etc/subgid give no ids to nobody (65534))"
            ),
            "\(build.log)")
        #expect(try build.digest == Self.digestOfRoot.get())
        // Trees of an earlier build are what they were.
        let again = try self.build(site, as: Self.nobody)
        #expect(again.digest == build.digest, "\(again.log)")
        try site.expectClean()
    }

    @Test("a build whose owners nobody keeps any more fails, and ends")
    func keeperKilled() throws {
        let site = try site("FROM busybox\nRUN echo begun; while stat / >/dev/null; do :; done; exit 7\n")
        try site.folder.write("", to: "ids")
        let build = try RunningProgram(
            OrdinaryUser.command(site), environment: site.environment(), in: site.folder.path)
        #expect(try eventually { try build.errorText().contains("\nbegun\n") || !build.isRunning() })
        try Program.require(["pkill", "-KILL", "-P", "\(build.pid)", "-f", "keep-owners"])
        #expect(try build.wait().status == 1)
    }

    @Test("where the trial fails the reason is told, and the user's namespace is not entered")
    func trial() throws {
        let site = try site("FROM busybox\nRUN true\n")
        // More than the kernel lets be mapped: newuidmap refuses what /etc/subuid does not give.
        try site.folder.write("65534:300000:65536\n65534:0:0\n65534:x:y\nnobody:4294967295:5\n", to: "ids")
        let build = try build(site, as: Self.nobody)
        #expect(build.status == 0, "lines that are no ranges are passed over: \(build.log)")
        let none = try self.build(site, as: Self.nobody, ["--isolation=none"])
        #expect(none.status == 1 && none.log.contains("isolation: none, as asked for\n"), "\(none.log)")
        #expect(!none.log.contains("in a user namespace"), "\(none.log)")
    }
}
