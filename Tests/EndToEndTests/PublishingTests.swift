import SystemPackage
import TestSupport
import Testing

/// What is asked of registries, and what is written to files.
@Suite("Publishing")
struct PublishingTests {
    private static let dockerfile = "FROM busybox\nCOPY file /file\nRUN cp /file /made\n"

    private func push(_ destination: String, to registry: DockerRegistry) -> [String] {
        ["--insecure-registry", registry.host, "--dest", "\(registry.host)/\(destination)"]
    }

    /// The blob uploads that the registry took, by PUT or in chunks.
    private func uploads(_ requests: some Sequence<DockerRegistry.Request>) -> Int {
        requests.count { $0.method == "PUT" && $0.path.contains("/blobs/uploads/") && $0.status == 201 }
    }

    @Test("the second push of an image uploads no blob: it asks first")
    func secondPush() throws {
        let site = try BuildSite(Self.dockerfile, files: ["file": "text\n"])
        let registry = try DockerRegistry()
        let first = try site.require(push("acme/app:1", to: registry))
        let before = try registry.requests()
        // The base's layer, those of COPY and RUN, the config.
        #expect(uploads(before) == 4)
        let second = try site.require(push("acme/app:2", to: registry))
        let after = try registry.requests().dropFirst(before.count)
        #expect(first.digest == second.digest)
        #expect(uploads(after) == 0)
        #expect(after.contains { $0.method == "HEAD" && $0.path.contains("/blobs/sha256:") && $0.status == 200 })
        // The question whether the push is allowed opens an upload, and gives it up.
        #expect(after.filter { $0.method == "POST" }.map(\.status) == [202])
        #expect(after.filter { $0.method == "DELETE" }.map(\.status) == [204])
        #expect(!after.contains { $0.method == "PATCH" })
        #expect(after.contains { $0.method == "PUT" && $0.path == "/v2/acme/app/manifests/2" && $0.status == 201 })
    }

    @Test(
        "a base of the same registry is mounted across repositories, and not even downloaded if no step looks at its files"
    )
    func mountedBase() throws {
        let registry = try DockerRegistry()
        try BusyboxImage.shared().push(to: registry, as: "library/base:1")
        let layer = try #require(try Skopeo.summary(of: "docker://\(registry.host)/library/base:1")["Layers"][0].string)
        let before = try registry.requests()
        let site = try BuildSite(
            "FROM \(registry.host)/library/base:1\nENV KEY=value\nCMD [\"/bin/env\"]\n")
        try site.require(push("acme/app:1", to: registry))
        let requests = try registry.requests().dropFirst(before.count)
        #expect(
            requests.contains {
                $0.method == "POST" && $0.status == 201 && $0.path.contains("mount=")
                    && $0.path.contains("from=library")
            })
        #expect(uploads(requests) == 1, "the config")
        let fetched = requests.filter { $0.method == "GET" && $0.path.hasSuffix("/blobs/\(layer)") }
        #expect(fetched.isEmpty, "the base's layer was downloaded")
        #expect(try Skopeo.summary(of: "docker://\(registry.host)/acme/app:1")["Layers"][0].string == layer)
    }

    @Test("a base of one registry that is needed here and at another is fetched once")
    func baseOfAnotherRegistry() throws {
        let (bases, registry) = (try DockerRegistry(), try DockerRegistry())
        try BusyboxImage.shared().push(to: bases, as: "library/base:1")
        let layer = try #require(try Skopeo.summary(of: "docker://\(bases.host)/library/base:1")["Layers"][0].string)
        let before = try bases.requests().count
        let site = try BuildSite("FROM \(bases.host)/library/base:1\nRUN echo made >/made\n")
        try site.require(push("acme/app:1", to: registry) + ["--insecure-registry", bases.host])
        let fetched = try bases.requests().dropFirst(before).filter {
            $0.method == "GET" && $0.path.hasSuffix("/blobs/\(layer)")
        }
        #expect(fetched.count == 1)
        #expect(try Skopeo.summary(of: "docker://\(registry.host)/acme/app:1")["Layers"][0].string == layer)
    }

    @Test("a build with a warm state fetches no layer a second time, and gives the same image")
    func warmState() throws {
        let registry = try DockerRegistry()
        try BusyboxImage.shared().push(to: registry, as: "library/base:1")
        let site = try BuildSite(
            "FROM \(registry.host)/library/base:1\nCOPY file /file\nRUN cp /file /made\n", files: ["file": "text\n"])
        let first = try site.require(push("acme/app:1", to: registry))
        let before = try registry.requests().count
        let second = try site.require(push("acme/app:1", to: registry))
        #expect(first.digest == second.digest)
        let layer = try #require(try Skopeo.summary(of: "docker://\(registry.host)/library/base:1")["Layers"][0].string)
        #expect(try registry.requests().prefix(before).contains { $0.method == "GET" && $0.path.hasSuffix(layer) })
        #expect(
            try !registry.requests().dropFirst(before).contains {
                $0.method == "GET" && $0.path.hasSuffix(layer) && $0.status < 400
            })
    }

    @Test("a push that is not allowed is told before anything is built, and no upload is left behind by asking")
    func permission() throws {
        let closed = try DockerRegistry(user: ("ann", "secret"))
        let site = try BuildSite("FROM busybox\nRUN echo it ran\n")
        let build = try site.build(push("acme/app:1", to: closed))
        #expect(build.status == 1 && !build.log.contains("it ran"), "\(build.log)")
        #expect(build.log.contains("cannot be pushed to \(closed.host)/acme/app:1, and nothing was built"))

        let open = try DockerRegistry()
        try site.require(push("acme/app:1", to: open) + ["--dest", "\(open.host)/acme/other:1"])
        for repository in ["app", "other"] {
            let uploads = open.storage.appending("docker/registry/v2/repositories/acme/\(repository)/_uploads")
            // An upload is what has a start; docker-registry forgets to remove the state of the hash of one given up.
            let left = try Program.require(["find", uploads.string, "-name", "startedat"]).text
            #expect(left == "")
        }
        let before = try open.requests().count
        try site.require(push("acme/app:2", to: open) + ["--skip-push-permission-check"])
        #expect(try !open.requests().dropFirst(before).contains { $0.method == "POST" })
    }

    @Test("the image's names with its digest are written in Kaniko's forms, one line a destination")
    func nameFiles() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        let (names, tagged) = (site.folder.appending("out/names"), site.folder.appending("out/tagged"))
        let build = try site.require([
            "--no-push", "--dest", "app:1", "--dest", "registry.example.com:5000/acme/app",
            "--image-name-with-digest-file", names.string, "--image-name-tag-with-digest-file", tagged.string,
        ])
        let digest = try #require(build.digest)
        #expect(
            try text(of: names)
                == "index.docker.io/library/app@\(digest)\nregistry.example.com:5000/acme/app@\(digest)\n")
        #expect(
            try text(of: tagged)
                == "index.docker.io/library/app:1@\(digest)\nregistry.example.com:5000/acme/app:latest@\(digest)\n")
    }

    @Test(
        "an output that cannot be written is told before anything is built",
        arguments: [
            ("--tar-path", "full", "it is a folder"), ("--digest-file", "full/file/x", "is no folder"),
            ("--image-name-with-digest-file", "full/file/x/y", "Not a directory"),
            ("--image-name-tag-with-digest-file", "/", "it names no file"),
        ])
    func unwritable(_ flag: String, _ path: String, _ reason: String) throws {
        let site = try BuildSite("FROM busybox\nRUN echo it ran\n")
        try site.folder.write("", to: "full/file")
        let place = path.hasPrefix("/") ? path : site.folder.appending(path).string
        let build = try site.build(["--no-push", "--dest", "app:1", flag, place])
        #expect(build.status == 1 && !build.log.contains("it ran"), "\(build.log)")
        #expect(
            build.log.contains("\(flag) \(place) cannot be written: ") && build.log.contains(reason), "\(build.log)")
    }

    @Test("every destination gets the image, in one repository and in two, and in two registries")
    func destinations() throws {
        let registry = try DockerRegistry()
        let other = try DockerRegistry()
        let site = try BuildSite(Self.dockerfile, files: ["file": "text\n"])
        let build = try site.require(
            push("acme/app:1", to: registry) + [
                "-d", "\(registry.host)/acme/app:latest", "--destination", "\(registry.host)/acme/copy:1",
            ]
                + push("mirror/app:1", to: other))
        for reference in [
            "\(registry.host)/acme/app:1", "\(registry.host)/acme/app:latest", "\(registry.host)/acme/copy:1",
            "\(other.host)/mirror/app:1",
        ] {
            #expect(try Skopeo.summary(of: "docker://\(reference)")["Digest"].string == build.digest)
        }
    }

    @Test("a layer that an image has twice is sent once, and of builds that send it at the same time all end well")
    func sameLayer() throws {
        let registry = try DockerRegistry()
        // The same layer by two instructions, and beside them one of a few MB, on which the builds meet.
        let site = try BuildSite(
            "FROM scratch\nCOPY file /file\nCOPY file /file\nCOPY large /large\n", files: ["file": "x"])
        try Program.require(
            ["sh", "-ec", "\(noise); noise 8000000 >\"$1\"", "sh", site.context.appending("large").string])
        let alone = try site.require(push("acme/app:1", to: registry))
        let layers = try Skopeo.summary(of: "docker://\(registry.host)/acme/app:1")["Layers"].array ?? []
        #expect(layers.count == 3 && layers[0] == layers[1])
        // Two layers and the config.
        #expect(try uploads(registry.requests()) == 3)
        let builds = try (0..<3).map { try site.start(push("acme/other:\($0)", to: registry)) }
        for (number, build) in builds.enumerated() {
            let outcome = Build(try build.wait())
            #expect(outcome.status == 0 && outcome.digest == alone.digest, "\(outcome.log)")
            #expect(
                try Skopeo.summary(of: "docker://\(registry.host)/acme/other:\(number)")["Digest"].string
                    == alone.digest)
        }
    }

    @Test("a layer that a registry took and lost before the manifest came is sent once more")
    func lostLayer() throws {
        let registry = try DockerRegistry()
        let proxy = try FaultProxy(to: registry.port)
        // "Created", but it never got there: docker-registry then refuses the manifest.
        try proxy.add([.answer("PUT blobs/uploads/", 201)])
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        let build = try site.require([
            "--insecure-registry", proxy.host, "--dest", "\(proxy.host)/acme/app:1",
        ])
        #expect(try Skopeo.summary(of: "docker://\(registry.host)/acme/app:1")["Digest"].string == build.digest)
        let manifests = try proxy.requests(of: "acme/app").filter {
            $0.method == "PUT" && $0.path.contains("/manifests/")
        }
        #expect(manifests.map(\.status) == [400, 201])
        // It is not tried for ever.
        try proxy.add([FaultProxy.Fault.answer("PUT blobs/uploads/", 201).of("acme/lost").always])
        let lost = try site.build(["--insecure-registry", proxy.host, "--dest", "\(proxy.host)/acme/lost:1"])
        #expect(lost.status == 1 && lost.log.contains("MANIFEST_BLOB_UNKNOWN"), "\(lost.log)")
        #expect(try !registry.hasTag("1", in: "acme/lost"))
    }

    @Test("the digest alone is on standard output, and in the digest file without a newline")
    func digest() throws {
        let registry = try DockerRegistry()
        let site = try BuildSite(Self.dockerfile, files: ["file": "text\n"])
        let build = try site.require(push("acme/app:1", to: registry) + ["--digest-file", site.digestFile.string])
        let digest = try #require(build.digest)
        #expect(try text(of: site.digestFile) == digest)
        #expect(try Skopeo.summary(of: "docker://\(registry.host)/acme/app:1")["Digest"].string == digest)
    }

    @Test("the digest file is not there when the push fails, and an older one stays as it was")
    func digestFileAfterFailure() throws {
        let registry = try DockerRegistry(user: ("ann", "secret"))
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        let arguments =
            push("acme/app:1", to: registry) + [
                "--digest-file", site.digestFile.string, "--tar-path", site.folder.appending("image.tar").string,
            ]
        #expect(try site.build(arguments).status == 1)
        #expect(!exists(site.digestFile) && !exists(site.folder.appending("image.tar")))
        try site.folder.write("older", to: "digest")
        #expect(try site.build(arguments).status == 1)
        #expect(try text(of: site.digestFile) == "older")
        #expect(
            try Program.require(["ls", "-A", site.folder.path.string]).text.split(separator: "\n") == [
                "context", "digest", "home", "state", "temporary",
            ])
    }

    @Test("the tar is read as docker's archive and as an OCI archive, with the image that a registry would get")
    func tar() throws {
        let site = try BuildSite(Self.dockerfile, files: ["file": "text\n"])
        let tar = site.folder.appending("out").appending("image.tar")
        let build = try site.require([
            "--dest", "registry.example.com/acme/app:1", "--no-push", "--tar-path", tar.string,
        ])
        #expect(try Skopeo.summary(of: "oci-archive:\(tar)")["Digest"].string == build.digest)
        let config = try Skopeo.configuration(of: "oci-archive:\(tar)")
        #expect(try Skopeo.configuration(of: "docker-archive:\(tar)") == config)
        #expect(try Skopeo.configuration(of: "docker-archive:\(tar):registry.example.com/acme/app:1") == config)
        #expect(config["rootfs"]["diff_ids"].array?.count == 3)
        let names = try Program.require(["tar", "-tf", tar.string]).text.split(separator: "\n")
        #expect(names.contains("manifest.json") && names.contains("index.json") && names.contains("oci-layout"))
        #expect(try Program.require(["ls", "-A", tar.removingLastComponent().string]).text == "image.tar\n")
    }

    @Test("the layout is read by skopeo and umoci, and a second image joins the first", .enabled(if: isRoot))
    func layout() throws {
        let site = try BuildSite(Self.dockerfile, files: ["file": "first\n"])
        var digests: [String?] = []
        for tag in ["one", "two"] {
            try site.folder.write("\(tag)\n", to: "context/file")
            digests.append(
                try site.require(["--dest", "app:\(tag)", "--no-push", "--oci-layout-path", site.layout.string]).digest)
        }
        for (tag, digest) in zip(["one", "two"], digests) {
            #expect(try Skopeo.summary(of: "oci:\(site.layout):\(tag)")["Digest"].string == digest)
            let tree = try Umoci.unpack(site.layout, tag: tag, into: site.folder.appending("bundle-\(tag)"))
            #expect(try tree.contents(of: "/made") == Array("\(tag)\n".utf8))
        }
        #expect(digests[0] != digests[1])
    }

    @Test("without a tag a registry on this machine is not taken for an image of the hub")
    func names() throws {
        let registry = try DockerRegistry()
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        try site.require(["--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app"])
        #expect(try registry.hasTag("latest", in: "acme/app"))
    }

    @Test("of an index the image for the wanted platform is the base, this machine's if none is named")
    func platforms() throws {
        let index = try TemporaryDirectory()
        let program = Fixtures.programs.appending("platforms-image.py")
        try Program.require([
            "python3", program.string, BusyboxImage.shared().layout.string, index.appending("index").string, "amd64",
            "arm64/v8", "arm/v7",
        ])
        let registry = try DockerRegistry()
        try Program.require([
            "skopeo", "copy", "--quiet", "--all", "--insecure-policy", "--dest-tls-verify=false",
            "oci:\(index.appending("index")):latest",
            "docker://\(registry.host)/library/base:1",
        ])
        let site = try BuildSite("FROM \(registry.host)/library/base:1\nCOPY file /file\n", files: ["file": "text\n"])
        let machine = try Program.require(["uname", "-m"]).text == "aarch64\n" ? "arm64/v8" : "amd64"
        // What is asked for, and the image of the index that is meant.
        for (flags, wanted) in [
            ([], machine), (["--platform", "linux/arm64"], "arm64/v8"), (["--customPlatform=linux/arm/v7"], "arm/v7"),
            (["--custom-platform", "linux/amd64"], "amd64"),
        ] {
            try site.require(flags + ["--no-push", "--dest", "app:1", "--oci-layout-path", site.layout.string])
            let config = try Skopeo.configuration(of: "oci:\(site.layout):1")
            #expect(config["config"]["Env"][1].string == "BUILT_FOR=\(wanted)")
            #expect(config["architecture"].string == wanted.split(separator: "/").first.map(String.init))
            #expect(config["variant"].string == wanted.split(separator: "/").dropFirst().first.map(String.init))
        }
        // An index may be all that another index has.
        let proxy = try FaultProxy(to: registry.port)
        let document = try Program.require([
            "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://\(registry.host)/library/base:1",
        ]).output
        let list = #""mediaType":"application/vnd.oci.image.index.v1+json""#
        let outer =
            #"{"schemaVersion":2,\#(list),"manifests":[{\#(list),"size":\#(document.count),"digest":"DIGEST"}]}"#
        let digest = try #require(try Skopeo.summary(of: "docker://\(registry.host)/library/base:1")["Digest"].string)
        try proxy.add([
            .answer(
                "GET manifests/nested", 200, outer.replacing("DIGEST", with: digest),
                headers: ["Content-Type": "application/vnd.oci.image.index.v1+json"])
        ])
        try site.folder.write("FROM \(proxy.host)/library/base:nested\nCOPY file /file\n", to: "context/Dockerfile")
        try site.require([
            "--insecure-registry", proxy.host, "--no-push", "--dest", "app:1", "--platform", "linux/arm64",
        ])
        try site.folder.write("FROM \(registry.host)/library/base:1\nCOPY file /file\n", to: "context/Dockerfile")

        let refused = try site.build(["--platform", "linux/s390x", "--no-push"])
        #expect(refused.status == 1)
        #expect(
            refused.log.contains("has no image for linux/s390x") && refused.log.contains("linux/arm64"),
            "\(refused.log)")
    }
}
