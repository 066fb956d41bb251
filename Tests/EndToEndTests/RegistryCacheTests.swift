import SystemPackage
import TestSupport
import Testing

/// What an empty machine takes from a registry.
@Suite("Registry cache", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct RegistryCacheTests {
    /// Every RUN gives other bytes each time that it is done.
    private static let dockerfile = """
        FROM busybox AS tools
        COPY input /input
        RUN cat /input >/tool && head -c 100000 /dev/urandom >/log
        FROM busybox
        RUN head -c 8 /dev/urandom >/first
        COPY --from=tools /tool /usr/bin/tool
        RUN --mount=type=cache,target=/cache head -c 8 /dev/urandom >/second

        """

    private struct Rig {
        let registry: DockerRegistry
        let site: BuildSite

        init(_ dockerfile: String = RegistryCacheTests.dockerfile) throws {
            registry = try DockerRegistry()
            site = try BuildSite(dockerfile, files: ["input": "one\n"])
        }

        /// Builds with a state folder of its own.
        func build(_ state: String, _ more: [String] = ["--cache"], pushes: Bool = true) throws -> Build {
            try site.require(
                [
                    pushes ? "--dest" : "--no-push", pushes ? "\(registry.host)/acme/app:1" : "--no-cache-filter=none",
                    "--timestamp", "1700000000", "-v", "debug", RunIsolation.possible[0].flag,
                ] + more, state: site.folder.appending(state), cached: true)
        }

        func cached(_ build: Build) -> Int {
            build.log.split(separator: "\n").count { $0.contains("was done before") }
        }
    }

    @Test("an empty machine does nothing again: it asks a few things, downloads no layer, and pushes the same image")
    func warm() throws {
        let rig = try Rig()
        let cold = try rig.build("a")
        #expect(rig.cached(cold) == 0)
        let before = try rig.registry.requests().count
        let warm = try rig.build("b")
        #expect(warm.digest == cold.digest)
        #expect(rig.cached(warm) == 3, "\(warm.log)")
        let requests = try rig.registry.requests().dropFirst(before)
        let blobs = requests.filter { $0.method == "GET" && $0.path.contains("/blobs/") }
        #expect(blobs.count == 1, "the records: \(blobs)")
        #expect(!requests.contains { $0.method == "PUT" && $0.path.contains("/cache/manifests") }, "nothing is new")
        // The image's layers are mounted into a repository that has none of them.
        let other = try rig.site.require(
            [
                "--dest", "\(rig.registry.host)/acme/other:1", "--cache-from", "\(rig.registry.host)/acme/app/cache",
                "--timestamp", "1700000000", RunIsolation.possible[0].flag,
            ], state: rig.site.folder.appending("c"), cached: true)
        #expect(other.digest == cold.digest)
        #expect(
            try rig.registry.requests().contains {
                $0.status == 201 && $0.path.contains("acme/other/blobs/uploads/?mount")
            })
        let manifest = try Skopeo.manifest(of: "docker://\(rig.registry.host)/acme/app/cache:\(try tag(rig))")
        #expect(manifest["mediaType"].string == "application/vnd.oci.image.manifest.v1+json")
    }

    private func tag(_ rig: Rig) throws -> String {
        let path = try #require(
            try rig.registry.requests().last { $0.path.contains("/acme/app/cache/manifests/imgbuild-") }?.path)
        return String(path.split(separator: "/").last ?? "")
    }

    @Test("one changed line does again what depends on it, with the rest from the registry; the cache then has both")
    func changed() throws {
        let rig = try Rig()
        let first = try rig.build("a")
        try rig.site.folder.write("two\n", to: "context/input")
        let second = try rig.build("b")
        #expect(rig.cached(second) == 1, "\(second.log)")
        try rig.site.folder.write("one\n", to: "context/input")
        #expect(try rig.build("c").digest == first.digest)
        try rig.site.folder.write("two\n", to: "context/input")
        #expect(try rig.build("d").digest == second.digest)
    }

    @Test("a build that fails keeps what it has done")
    func failed() throws {
        let rig = try Rig("FROM busybox\nRUN head -c 8 /dev/urandom >/first\nRUN false\n")
        let arguments = [
            "--no-push", "--cache", "--cache-repo", "\(rig.registry.host)/cache", RunIsolation.possible[0].flag,
        ]
        let failed = try rig.site.build(arguments, state: rig.site.folder.appending("a"), cached: true)
        #expect(failed.status == 1)
        try rig.site.folder.write(
            "FROM busybox\nRUN head -c 8 /dev/urandom >/first\nRUN true\n", to: "context/Dockerfile")
        let next = try rig.site.require(arguments, state: rig.site.folder.appending("b"), cached: true)
        #expect(rig.cached(next) == 1, "\(next.log)")
    }

    @Test(
        "flags say what is read and kept",
        arguments: [
            (["--cache", "--no-push-cache"], ["--cache"], 0),
            (["--cache", "--cache-copy-layers=false"], ["--cache"], 3),
            (["--cache", "--cache-run-layers=false"], ["--cache"], 1),
            (["--cache"], ["--cache", "--no-cache"], 0),
            (["--cache"], ["--cache", "--target", "tools"], 0),
            (["--cache"], [], 0),
            (["--cache-to", "HOST/c:mine"], ["--cache-from", "HOST/none", "--cache-from", "HOST/c:mine"], 3),
            (["--cache-to", "HOST/c:mine"], ["--cache-from", "HOST/c:other"], 0),
        ] as [([String], [String], Int)])
    func flags(cold: [String], warm: [String], cached: Int) throws {
        let rig = try Rig()
        let host = rig.registry.host
        _ = try rig.build("a", cold.map { $0.replacing("HOST", with: host) })
        let build = try rig.build("b", warm.map { $0.replacing("HOST", with: host) })
        #expect(rig.cached(build) == cached, "\(build.log)")
    }

    /// What happens to the registry's storage.
    @Test(
        "a damaged cache is a miss with a warning, and the image is the one that a build without it makes",
        arguments: [
            // The cache's blobs, the records among them, hold something else.
            "for f in $(find . -path '*/blobs/sha256/*/data'); do head -c 2 $f | od -An -tx1 | grep -q '1f 8b' || echo nonsense >$f; done",
            // Layers have gone.
            "for f in $(find . -path '*/blobs/sha256/*/data'); do head -c 2 $f | od -An -tx1 | grep -q '1f 8b' && rm $f; done; :",
            // Layers of the same size hold other bytes.
            "for f in $(find . -path '*/blobs/sha256/*/data'); do head -c 2 $f | od -An -tx1 | grep -q '1f 8b' && printf x | dd of=$f bs=1 seek=30 conv=notrunc 2>/dev/null; done; :",
            // There is an image where the cache should be.
            "cd docker/registry/v2/repositories/acme/app/cache/_manifests/tags; for t in *; do cp ../../../_manifests/tags/1/current/link $t/current/link; r=$(cut -d: -f2 <$t/current/link); mkdir -p ../revisions/sha256/$r; cp $t/current/link ../revisions/sha256/$r/; done",
        ])
    func damaged(script: String) throws {
        let rig = try Rig("FROM busybox\nRUN echo a >/a\nCOPY input /b\nRUN cat /a /b >/c\n")
        let cold = try rig.build("a")
        try Program.require(["sh", "-ec", script], in: rig.registry.storage)
        let build = try rig.site.require(
            [
                "--no-push", "--cache-from", "\(rig.registry.host)/acme/app/cache", "--timestamp", "1700000000",
                RunIsolation.possible[0].flag, "--tar-path", "image.tar",
            ], state: rig.site.folder.appending("b"), cached: true)
        #expect(build.digest == cold.digest, "\(build.log)")
        #expect(build.log.contains("warning"), "\(build.log)")
    }

    @Test("results that are too old are not used, and left out when the cache is written again")
    func old() throws {
        let rig = try Rig("FROM scratch\nCOPY input /a\n")
        _ = try rig.build("a")
        try Program.require(["sleep", "2"])
        #expect(rig.cached(try rig.build("b", ["--cache", "--no-push-cache"])) == 1)
        #expect(rig.cached(try rig.build("c", ["--cache", "--cache-ttl", "1s"])) == 0)
        try Program.require(["sleep", "2"])
        try rig.site.folder.write("FROM scratch\nCOPY input /b\n", to: "context/Dockerfile")
        _ = try rig.build("d", ["--cache", "--cache-ttl", "1s"])
        try rig.site.folder.write("FROM scratch\nCOPY input /a\n", to: "context/Dockerfile")
        #expect(rig.cached(try rig.build("e")) == 0, "the old result is gone")
    }

    @Test("where tags cannot be moved each cache gets one of its own, and the youngest is read")
    func immutable() throws {
        let rig = try Rig("FROM scratch\nCOPY input /a\n")
        let proxy = try FaultProxy(to: rig.registry.port)
        let reaching = ["--insecure-registry", proxy.host]
        // The first writing makes the tag; all that follow are refused as ECR does.
        _ = try rig.build("a", reaching + ["--cache-to", "\(proxy.host)/cache"])
        try proxy.add([
            FaultProxy.Fault.answer(
                "PUT /v2/cache/manifests/imgbuild-image-[a-z]*-[a-z0-9]*-[0-9a-f]{8}$", 400,
                #"{"errors":[{"code":"TAG_INVALID","message":"The image tag already exists in the 'cache' repository and cannot be overwritten because the tag is immutable."}]}"#
            ).always
        ])
        for (state, input) in [("b", "two\n"), ("c", "three\n")] {
            try rig.site.folder.write(input, to: "context/input")
            let build = try rig.build(
                state, reaching + ["--cache-from", "\(proxy.host)/cache", "--cache-to", "\(proxy.host)/cache"])
            #expect(
                rig.cached(build) == 0 && build.log.contains("cannot be moved: the cache gets the tag"), "\(build.log)")
            let again = try rig.build(state + "again", reaching + ["--cache-from", "\(proxy.host)/cache"])
            #expect(rig.cached(again) == 1 && again.digest == build.digest, "\(again.log)")
        }
        // What the first tag and the earlier ones have is there as well.
        for input in ["one\n", "two\n"] {
            try rig.site.folder.write(input, to: "context/input")
            #expect(
                rig.cached(try rig.build("d" + input.prefix(3), reaching + ["--cache-from", "\(proxy.host)/cache"]))
                    == 1)
        }
    }

    @Test("results of several caches are used side by side, and the first that has one counts")
    func several() throws {
        let rig = try Rig("FROM busybox\nRUN head -c 8 /dev/urandom >/r\nCOPY input /a\n")
        let (one, two) = ("\(rig.registry.host)/one:x", "\(rig.registry.host)/two:y")
        let first = try rig.build("a", ["--cache-to", one])
        let second = try rig.build("b", ["--cache-to", two])
        #expect(first.digest != second.digest)
        for (order, expected) in [([one, two], first), ([two, one], second)] {
            let build = try rig.build("c" + order[0].suffix(1), order.flatMap { ["--cache-from", $0] })
            #expect(build.digest == expected.digest && rig.cached(build) == 2, "\(build.log)")
        }
        // Each has one of two steps.
        let split = try Rig("FROM scratch\nCOPY input /a\n")
        _ = try split.build("a", ["--cache-to", "\(split.registry.host)/one:x"])
        try split.site.folder.write("FROM scratch\nCOPY input /a\nCOPY input /b\n", to: "context/Dockerfile")
        let whole = try split.build("b", ["--cache-to", "\(split.registry.host)/two:y", "--cache-copy-layers=false"])
        let joined = try split.build(
            "c", ["--cache-from", "\(split.registry.host)/two:y", "--cache-from", "\(split.registry.host)/one:x"])
        #expect(joined.digest == whole.digest && split.cached(joined) == 1, "\(joined.log)")
    }

    @Test(
        "a repository of Amazon ECR that is missing is a warning with the command that makes it",
        .enabled(if: MotoServer.isInstalled, "moto is not installed: scripts/install-moto.sh"))
    func missing() throws {
        let moto = try MotoServer()
        let registry = try RefusingRegistry(
            404,
            #"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'team/cache' does not exist in the registry"}]}"#
        )
        let site = try BuildSite("FROM scratch\nCOPY input /a\n", files: ["input": "one\n"])
        let build = try site.require(
            [
                "--no-push", "--cache", "--cache-repo", "\(LoopbackECR.host)/team/cache", "--insecure-registry",
                LoopbackECR.host, "--connect-to", "\(LoopbackECR.host):80:\(registry.host)",
            ], cached: true,
            environment: [
                "AWS_ENDPOINT_URL": moto.url, "AWS_ACCESS_KEY_ID": moto.accessKeyID,
                "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey, "AWS_EC2_METADATA_DISABLED": "true",
            ])
        #expect(
            build.log.contains("aws ecr create-repository --repository-name team/cache --region eu-west-2"),
            "\(build.log)")
    }

    @Test("a cache that refuses to be written is a warning")
    func refused() throws {
        let rig = try Rig()
        let build = try rig.build("a", ["--cache-to", "127.0.0.1:1/x", "--push-retry", "0"])
        #expect(build.log.contains("is not kept"), "\(build.log)")
    }

    @Test("--plan says what would be done and why, and does nothing")
    func plan() throws {
        let rig = try Rig()
        _ = try rig.build("a")
        try rig.site.folder.write("two\n", to: "context/input")
        let plan = try rig.build("a", ["--plan"], pushes: false)
        let lines = plan.output.split(separator: "\n").map(String.init)
        #expect(
            lines == [
                "run      [tools 1/5] COPY input /input", "         changed: files of context",
                "open     [tools 2/5] RUN cat /input >/tool && head -c 100000 /dev/urandom >/log",
                "         depends on what the steps before it give",
                "cached   [stage-1 3/5] RUN head -c 8 /dev/urandom >/first", "         in the state folder",
                "run      [stage-1 4/5] COPY --from=tools /tool /usr/bin/tool", "         changed: stage tools",
                "open     [stage-1 5/5] RUN --mount=type=cache,target=/cache head -c 8 /dev/urandom >/second",
                "         depends on what the steps before it give",
            ], "\(plan.output)")
        #expect(!plan.log.contains("[tools"), "\(plan.log)")
    }

    @Test("stages that do not need each other go on side by side, and lines of their commands are told apart")
    func sideBySide() throws {
        // Each waits for what the other does.
        let meet = "i=0; while [ ! -e /m/$other ]; do i=$((i+1)); [ $i -lt 300 ] || exit 1; sleep 0.1; done"
        let mount = "--mount=type=cache,target=/m"
        let rig = try Rig(
            """
            FROM busybox AS a
            RUN \(mount) touch /m/a; other=b; \(meet); printf 'from '; echo a
            FROM busybox AS b
            RUN \(mount) touch /m/b; other=a; \(meet); printf 'from '; echo b
            FROM scratch
            COPY --from=a /etc/passwd /a
            COPY --from=b /etc/passwd /b

            """)
        let build = try rig.site.require(["--no-push", "--isolation=overlay", "--threads", "2"], cached: true)
        #expect(build.log.contains("[a 1/4] from a\n") && build.log.contains("[b 2/4] from b\n"), "\(build.log)")
    }
}
