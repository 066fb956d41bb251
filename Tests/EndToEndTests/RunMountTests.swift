import SystemPackage
import TestSupport
import Testing

/// RUN --mount, with real commands in every isolation of this machine.
@Suite("Mounts of RUN", .enabled(if: !RunIsolation.possible.isEmpty, "no isolation can run commands here"))
struct RunMountTests {
    static let secret = "correct-horse-battery-staple"

    @Test(
        "a bind shows a stage or the context, and what is written to it is thrown away",
        arguments: RunIsolation.possible)
    func bind(isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox AS other
            RUN mkdir /made && echo one > /made/f
            FROM other AS stacked
            RUN echo two > /made/g && rm /made/f
            FROM busybox
            WORKDIR /work
            RUN --mount=from=stacked,source=/made,target=/made test "$(ls /made)" = g
            RUN --mount=from=other,source=/made/f,target=rel/file test "$(cat rel/file)" = one
            RUN --mount=from=stacked,source=made,target=/made,rw rm /made/g && touch /made/new
            RUN --mount=from=stacked,source=made,target=/made,rw test "$(ls /made)" = g
            RUN --mount=target=/context test ! -e /context/hidden && test -e /context/kept/yes && test ! -e /context/kept/no
            RUN --mount=target=/context,rw rm -r /context/kept

            """,
            files: [
                ".dockerignore": "hidden\nkept\n!kept/yes\n", "hidden/a": "", "kept/yes": "", "kept/no": "",
            ])
        try site.require(["--dest", "run:latest", "--no-push", "--oci-layout-path", site.layout.string, isolation.flag])
        #expect(exists(site.context.appending("kept").appending("yes")))
        let image = try Umoci.unpack(site.layout, tag: "latest", into: site.folder.appending("bundle"))
        for mountPoint in ["/made", "/context", "/work/rel"] as [FilePath] {
            #expect(image.entries[mountPoint] == nil, "\(mountPoint)")
        }
        #expect(image.entries["/work"] != nil)
    }

    @Test("a read-only bind refuses to be written", .enabled(if: RunIsolation.possible.contains(.overlay)))
    func readOnly() throws {
        let site = try BuildSite("FROM busybox\nRUN --mount=target=/context touch /context/new\n")
        let build = try site.build(["--no-push", "--isolation=overlay"])
        #expect(build.status == 1)
        #expect(build.log.contains("Read-only file system"))
        #expect(!exists(site.context.appending("new")))
    }

    @Test("a cache lasts from build to build, one for each owner, and is in no layer", arguments: RunIsolation.possible)
    func cache(isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox
            RUN --mount=type=cache,target=/var/cache/it echo line >> /var/cache/it/log && echo "lines: $(wc -l < /var/cache/it/log)"
            RUN --mount=type=cache,target=/var/cache/it,uid=7,mode=0700 stat -c 'owner: %u %a' /var/cache/it; ls -A /var/cache/it
            RUN --mount=type=cache,target=/p,sharing=private --mount=type=cache,target=/l,sharing=locked touch /p/x /l/x

            """)
        let flags = ["--dest", "run:latest", "--no-push", "--oci-layout-path", site.layout.string, isolation.flag]
        for count in 1...2 {
            let build = try site.require(flags)
            #expect(build.log.contains("lines: \(count)\n"))
            #expect(build.log.contains("owner: 7 700\n"))
        }
        let image = try Umoci.unpack(site.layout, tag: "latest", into: site.folder.appending("bundle"))
        for mountPoint in ["/var/cache/it", "/p", "/l"] as [FilePath] { #expect(image.entries[mountPoint] == nil) }
    }

    @Test("two builds that want one locked cache take turns", arguments: RunIsolation.possible)
    func lockedCache(isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox
            RUN --mount=type=cache,target=/c,sharing=locked test ! -e /c/busy && touch /c/busy && sleep 2 && rm /c/busy

            """)
        let first = try site.start(["--no-push", isolation.flag])
        try site.require(["--no-push", isolation.flag])
        #expect(try first.wait().status == 0)
    }

    @Test(
        "builds at the same time share a shared cache, and each has a private one for itself",
        .enabled(if: RunIsolation.possible.contains(.overlay), "with chroot isolation a cache is in one RUN at a time"))
    func cachesAtOnce() throws {
        // Each build waits in the shared cache until it has seen the other one there.
        let site = try BuildSite(
            """
            FROM busybox
            ARG ME
            ARG OTHER
            RUN --mount=type=cache,target=/meet --mount=type=cache,target=/mine,sharing=private \\
                test ! -e /mine/busy && touch /mine/busy /meet/$ME \\
                && until test -e /meet/$OTHER; do sleep 0.1; done && rm /mine/busy

            """)
        let flags = ["--no-push", "--isolation=overlay"]
        let first = try site.start(flags + ["--build-arg", "ME=a", "--build-arg", "OTHER=b"])
        try site.require(flags + ["--build-arg", "ME=b", "--build-arg", "OTHER=a"])
        #expect(try first.wait().status == 0)
    }

    @Test("files of a context belong to root in a mount, whoever has them on disk", arguments: RunIsolation.possible)
    func owners(isolation: RunIsolation) throws {
        try #require(isRoot || isolation == .overlay)
        let site = try BuildSite(
            """
            FROM busybox
            RUN --mount=target=/c --mount=target=/f,source=d/f --mount=from=named,target=/n,rw \\
                test "$(stat -c %u:%g /c /c/d/f /f /n/g | sort -u)" = 0:0 && rm /n/g && test -u /f
            RUN --mount=target=/c test -e /c/d/f && test ! -e /c/hidden

            """, files: [".dockerignore": "hidden", "d/f": "f", "hidden": "h"])
        try site.folder.write("g", to: "named/g")
        if isRoot {
            for name in ["context/d", "context/d/f", "named", "named/g"] {
                try Program.require(["chown", "1234:5678", site.folder.appending(name).string])
            }
        }
        try Program.require(["chmod", "4755", site.context.appending("d/f").string])
        try site.require(
            ["--no-push", "--build-context", "named=\(site.folder.appending("named"))", isolation.flag])
        #expect(exists(site.folder.appending("named/g")))
        try site.expectClean()
    }

    @Test(
        "a target that is all of the image is refused with its place",
        arguments: RunIsolation.possible, [("RUN true", "."), ("RUN ln -s / /all", "all/"), ("WORKDIR /x", "..")])
    func rootTarget(isolation: RunIsolation, item: (before: String, target: String)) throws {
        let site = try BuildSite("FROM busybox\n\(item.before)\nRUN --mount=type=tmpfs,target=\(item.target) true\n")
        let build = try site.build(["--no-push", isolation.flag])
        #expect(build.status == 1)
        #expect(build.log.contains("Dockerfile:3: "), "\(build.log)")
        #expect(build.log.contains("root directory"), "\(build.log)")
        #expect(build.log.contains("hint: name a directory below /"))
    }

    @Test("a secret is a file or a variable, and remains nowhere", arguments: RunIsolation.possible)
    func secrets(isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox
            ENV TOKEN=public
            RUN --mount=type=secret,id=token test "$(wc -c < /run/secrets/token)" = \(Self.secret.utf8.count) && stat -c 'mode %a' /run/secrets/token
            RUN --mount=type=secret,id=token,env=TOKEN test ${#TOKEN} = \(Self.secret.utf8.count) && test ! -e /run/secrets
            RUN --mount=type=secret,id=token,target=/etc/passwd,mode=0444,uid=3 stat -c 'mode %a of %u' /etc/passwd
            RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent && test $TOKEN = public

            """)
        let build = try site.require(
            [
                "--dest", "run:latest", "--no-push", "--oci-layout-path", site.layout.string, "--secret",
                "id=token,env=SOURCE", "-v", "debug",
                isolation.flag,
            ], environment: ["SOURCE": Self.secret])
        #expect(build.log.contains("mode 400\n"))
        #expect(build.log.contains("mode 444 of 3\n"))
        #expect(!build.log.contains(Self.secret))
        let image = try Umoci.unpack(site.layout, tag: "latest", into: site.folder.appending("bundle"))
        #expect(image.entries["/run/secrets"] == nil)
        #expect(try String(decoding: image.contents(of: "/etc/passwd"), as: UTF8.self).contains("root:"))
        // Layers are unpacked above; documents, trees and what else the state folder has are searched as they are.
        let search = try Program.run(["grep", "-r", "-l", Self.secret, site.folder.path.string])
        #expect(search.status == 1, "\(search.text)")
    }

    @Test("a required secret that is missing is told with its place before anything runs")
    func requiredSecret() throws {
        let site = try BuildSite("FROM busybox\nRUN echo r''an\nRUN --mount=type=secret,id=token,required true\n")
        let build = try site.build()
        #expect(build.status == 1)
        #expect(build.log.contains("Dockerfile:3: the secret 'token' is required and was not given"))
        #expect(build.log.contains("^^^^"))
        #expect(build.log.contains("hint: give it with --secret id=token,src=FILE"))
        #expect(!build.log.contains("ran\n"))
    }

    @Test(
        "a wrong --secret or --ssh is refused",
        arguments: [
            ["--secret", "src=x"], ["--secret", "id=a,sauce=x"], ["--secret", "id=a,env=NOT_SET"],
            ["--secret", "id=a,src=x", "--secret", "id=a,src=y"], ["--secret", "id=a,src=x,env=Y"],
            ["--ssh", "default"],
            ["--ssh", "key=/etc/passwd"],
        ])
    func commandLine(arguments: [String]) throws {
        let site = try BuildSite("FROM busybox\n")
        #expect(try site.build(["--no-push"] + arguments).status == 64)
    }

    @Test("a heredoc with #! is a program that the shell executes", arguments: RunIsolation.possible)
    func script(isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox
            RUN <<EOF
            #!/bin/cat
            said by cat
            EOF

            """)
        let build = try site.require([
            "--dest", "run:latest", "--no-push", "--oci-layout-path", site.layout.string, isolation.flag,
        ])
        #expect(build.log.contains("said by cat\n"))
        let image = try Umoci.unpack(site.layout, tag: "latest", into: site.folder.appending("bundle"))
        #expect(image.entries["/dev/pipes"] == nil)
    }

    @Test("without a network there is only the loopback", .enabled(if: RunIsolation.possible.contains(.overlay)))
    func noNetwork() throws {
        let site = try BuildSite("FROM busybox\nRUN --network=none echo devices: $(ls /sys/class/net)\n")
        #expect(try site.require(["--no-push", "--isolation=overlay"]).log.contains("devices: lo\n"))
    }
}
