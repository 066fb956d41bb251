import Glibc
import SystemPackage
import TestSupport
import Testing

/// Contents of cache mounts that go from one empty machine to the next through a registry (`--cache-mounts`).
@Suite("Carried cache mounts", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct CarriedMountTests {
    /// The RUN says what it finds, and is done again with each other N.
    private static let dockerfile = """
        FROM busybox
        ARG N
        RUN --mount=type=cache,id=go,target=/c,uid=7,mode=0750 cd /c; if [ -e f ]; then echo "found $(cat f)"; \
        stat -c '%n %a %u %Y %h' . f d/g; readlink l; else echo one >f; mkdir d; ln f d/g; ln -s f l; \
        chmod 640 f; chown 7 f; touch -t 201707140240.00 f; echo "found nothing"; fi

        """

    private struct Rig {
        let registry: DockerRegistry
        let site: BuildSite
        var cache: String { "\(registry.host)/acme/cache" }

        init(_ dockerfile: String = CarriedMountTests.dockerfile) throws {
            registry = try DockerRegistry()
            site = try BuildSite(dockerfile)
        }

        func build(
            _ state: String, _ number: Int, _ more: [String] = ["--cache-mounts"],
            environment: [String: String] = [:]
        ) throws -> Build {
            try site.require(
                [
                    "--no-push", "--cache", "--cache-repo", cache, "--build-arg", "N=\(number)",
                    RunIsolation.possible[0].flag,
                ] + more, state: site.folder.appending(state), cached: true, environment: environment)
        }

        /// The tag of the cache.
        func tag() throws -> String {
            let answer = try Program.require(["curl", "-sf", "http://\(registry.host)/v2/acme/cache/tags/list"]).text
            return try #require(answer.split(separator: "\"").map(String.init).first { $0.hasPrefix("imgbuild-") })
        }
    }

    @Test("an empty machine finds what the one before it has left: contents, modes, owners, times and links")
    func warm() throws {
        let rig = try Rig()
        #expect(try rig.build("a", 1).log.contains("found nothing"))
        let plan = try rig.build("b", 2, ["--cache-mounts", "--plan"])
        #expect(plan.output.contains("\n         the cache 'go' comes from \(rig.cache): 4 bytes\n"), "\(plan.output)")
        let found = try rig.build("b", 2)
        for line in [
            "found one", ". 750 7 ", "f 640 7 1500000000 2", "d/g 640 7 1500000000 2", "\nf\n",
            "the cache 'go' comes from \(rig.cache): 4 bytes",
        ] { #expect(found.log.contains(line), "\(line) is not in \(found.log)") }
        // What the state folder has is used, whatever the registry has.
        let here = try rig.build("b", 3, ["--cache-mounts", "--plan"])
        #expect(here.output.contains("the cache 'go' is in the state folder"), "\(here.output)")
        // A build that does not carry leaves what is there.
        #expect(try rig.build("c", 3, []).log.contains("found nothing"))
        #expect(try rig.build("d", 4, ["--cache-mounts", "--no-push-cache"]).log.contains("found one"))
        let manifest = try Skopeo.manifest(of: "docker://\(rig.cache):\(try rig.tag())")
        #expect(manifest["mediaType"].string == "application/vnd.oci.image.manifest.v1+json")
    }

    @Test("steps that are taken from the cache bring no mount along")
    func lazy() throws {
        let rig = try Rig()
        _ = try rig.build("a", 1)
        let before = try rig.registry.requests().count
        #expect(try rig.build("b", 1).log.contains("was done before"))
        let blobs = try rig.registry.requests().dropFirst(before).filter {
            $0.method == "GET" && $0.path.contains("/blobs/")
        }
        #expect(blobs.count == 1, "the records: \(blobs)")
    }

    @Test(
        "what no build has made is not laid down: the cache begins empty, with a warning",
        arguments: ["device", "escape", "link", "whiteout", "large", "other"])
    func hostile(kind: String) throws {
        let rig = try Rig()
        _ = try rig.build("a", 1)
        let folder = rig.site.folder.appending("copy")
        let reference = "docker://\(rig.cache):\(try rig.tag())"
        try Skopeo.copy(from: reference, to: "dir:\(folder)")
        try Program.require(["python3", Fixtures.programs.appending("hostile-cache.py").string, folder.string, kind])
        try Skopeo.copy(from: "dir:\(folder)", to: reference)
        let build = try rig.build("b", 2)
        if kind == "link" {
            // A link inside the cache leads nowhere else.
            #expect(!exists("/escaped"))
        } else {
            #expect(build.log.contains("is not used, and begins empty"), "\(build.log)")
            #expect(build.log.contains("found nothing"))
        }
        #expect(!exists(rig.site.folder.appending("escaped")))
        try rig.site.expectClean()
    }

    @Test(
        "layers that are damaged or gone are a warning",
        arguments: ["truncate -s 20 $f", "rm $f", "printf x | dd of=$f bs=1 seek=30 conv=notrunc 2>/dev/null"])
    func damaged(script: String) throws {
        let rig = try Rig()
        _ = try rig.build("a", 1)
        try Program.require(
            [
                "sh", "-ec",
                "for f in $(find . -path '*/blobs/sha256/*/data'); do if head -c 2 $f | od -An -tx1 | grep -q '1f 8b'; then \(script); fi; done",
            ], in: rig.registry.storage)
        let build = try rig.build("b", 2)
        #expect(build.log.contains("warning") && build.log.contains("found nothing"), "\(build.log)")
    }

    @Test("a cache that is too large, or holds a secret, stays where it is")
    func kept() throws {
        let large = try Rig(
            "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c ls /c; head -c 5000 /dev/zero >/c/f\n")
        let build = try large.build("a", 1, ["--cache-mounts", "--cache-mounts-limit", "4kB"])
        #expect(
            build.log.contains(
                "the cache '/c' is not kept in a registry: it holds 5000 bytes, and there is room for 4000"),
            "\(build.log)")
        #expect(
            try large.build("b", 2, ["--cache-mounts", "--plan"]).output.contains("the cache '/c' begins empty"))
        let secret = try Rig(
            "FROM busybox\nARG N\nRUN --mount=type=cache,target=/c --mount=type=secret,id=t,target=/t cp /t /c/config\n"
        )
        let flags = ["--cache-mounts", "--secret", "id=t,env=TOKEN"]
        let told = try secret.build("a", 1, flags, environment: ["TOKEN": "correct-horse-battery-staple"])
        #expect(
            told.log.contains("is not kept in a registry: '/config' in it holds the value of a secret"), "\(told.log)")
        #expect(
            try secret.build("b", 2, flags + ["--plan"], environment: ["TOKEN": "x"]).output.contains("begins empty"))
    }

    @Test("a cache that another build is using is not packed")
    func shared() throws {
        let rig = try Rig("FROM busybox\nARG N\nRUN --mount=type=cache,target=/c touch /c/$N\n")
        _ = try rig.build("a", 1, [])
        let mounts = rig.site.folder.appending("a")
        // flock is of util-linux: it holds the lock for as long as its command runs.
        let holder = try RunningProgram(["sh", "-c", "exec flock --shared \(mounts)/mounts*/*/0 sleep 60"])
        defer { holder.signal(SIGKILL) }
        while try Program.run(["sh", "-c", "flock --nonblock \(mounts)/mounts*/*/0 true"]).status == 0 {}
        let build = try rig.build("a", 2)
        #expect(build.log.contains("is not kept in a registry: another build uses it"), "\(build.log)")
    }

    @Test("a cache in a registry is needed for it")
    func flags() throws {
        let site = try BuildSite("FROM scratch\n")
        let build = try site.build(["--no-push", "--cache-mounts"])
        #expect(build.status == 64 && build.log.contains("add --cache, --cache-from or --cache-to"), "\(build.log)")
        let alone = try site.build(["--no-push", "--cache-mounts-limit", "1GB"])
        #expect(alone.status == 64 && alone.log.contains("--cache-mounts-limit is for --cache-mounts"), "\(alone.log)")
        let bound = try site.build(["--no-push", "--cache-mounts", "--cache-mounts-limit", "many"])
        #expect(bound.status == 64 && bound.log.contains("expected a number with its unit"), "\(bound.log)")
    }
}
