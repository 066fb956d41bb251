import SystemPackage
import TestSupport
import Testing

/// `imgbuild push`: images that are on this machine already.
@Suite("imgbuild push")
struct PushTests {
    private func push(
        _ source: String, _ arguments: [String], _ site: BuildSite
    ) throws -> Build {
        Build(
            try Program.run(
                [BuildSite.program.string, "push", source, "--state-dir", site.state.string] + arguments,
                environment: site.environment(), in: site.folder.path))
    }

    private func summary(_ name: String, _ registry: DockerRegistry) throws -> JSONValue {
        try Skopeo.summary(of: "docker://\(registry.host)/\(name)")
    }

    @Test("what a build wrote arrives as it is, at each destination, and the files for the next step are written")
    func ownOutputs() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /file\nLABEL a=b\n", files: ["file": "text\n"])
        let tar = site.folder.appending("app.tar")
        let built = try site.require([
            "--no-push", "--dest", "app:1", "--tar-path", tar.string, "--oci-layout-path", site.layout.string,
        ])
        try Program.require(["gzip", "--keep", tar.string])
        for source in ["app.tar", "app.tar.gz", "layout"] {
            let registry = try DockerRegistry()
            let names = site.folder.appending("names")
            let pushed = try push(
                source,
                [
                    "--dest", "\(registry.host)/acme/app:1", "--dest", "\(registry.host)/acme/app:2", "--destination",
                    "\(registry.host)/acme/other", "--digest-file", site.digestFile.string,
                    "--image-name-tag-with-digest-file", names.string,
                ], site)
            #expect(pushed.status == 0, "\(pushed.log)")
            let digest = try #require(built.digest)
            #expect(pushed.digest == digest)
            for name in ["acme/app:1", "acme/app:2", "acme/other:latest"] {
                #expect(try summary(name, registry)["Digest"].string == digest)
                #expect(pushed.log.contains("pushed \(registry.host)/\(name)@\(digest)"))
            }
            #expect(try text(of: site.digestFile) == digest)
            #expect(
                try text(of: names).split(separator: "\n").first ?? "" == "\(registry.host)/acme/app:1@\(digest)")
            // Each blob once in a repository; the question for permission leaves nothing.
            let uploads = try registry.requests().count { $0.method == "PUT" && $0.path.contains("/blobs/uploads/") }
            #expect(uploads == 4)
        }
        try site.expectClean()
    }

    @Test("an index arrives with all its images, byte for byte")
    func index() throws {
        let site = try BuildSite()
        let program = Fixtures.programs.appending("platforms-image.py")
        let layout = site.folder.appending("index")
        try Program.require([
            "python3", program.string, BusyboxImage.shared().layout.string, layout.string, "amd64", "arm64/v8",
        ])
        let registry = try DockerRegistry()
        let pushed = try push("index", ["--dest", "\(registry.host)/library/base:1"], site)
        #expect(pushed.status == 0, "\(pushed.log)")
        let image = "docker://\(registry.host)/library/base:1"
        #expect(try Skopeo.manifest(of: image) == Skopeo.manifest(of: "oci:\(layout):latest"))
        // Fetching it whole finds every part.
        try Program.require([
            "skopeo", "copy", "--quiet", "--all", "--insecure-policy", "--src-tls-verify=false", image,
            "oci:\(site.folder.appending("back")):1",
        ])
        #expect(
            try Skopeo.manifest(of: "oci:\(site.folder.appending("back")):1")
                == Skopeo.manifest(of: "oci:\(layout):latest"))
        // An index whose images are not all there is told before anything is sent.
        let children = try Skopeo.manifest(of: image)["manifests"].array ?? []
        let digest = try #require(children.last?["digest"].string)
        try Program.require(["rm", layout.appending("blobs/sha256").appending(String(digest.dropFirst(7))).string])
        let broken = try push("index", ["--dest", "\(registry.host)/library/base:2"], site)
        #expect(broken.status == 1 && broken.log.contains("for linux/arm64"), "\(broken.log)")
        #expect(broken.log.contains("hint: copy all images of the index into the layout"))
        #expect(try !registry.hasTag("2", in: "library/base"))
    }

    @Test("archives of docker save and skopeo are pushed with their config as it is, layers compressed")
    func dockerArchives() throws {
        let site = try BuildSite()
        let busybox = try BusyboxImage.shared().layout
        let program = Fixtures.programs.appending("docker-archive.py")
        try Program.require([
            "python3", program.string, busybox.string, "latest", site.folder.appending("saved.tar").string,
        ])
        let skopeo = site.folder.appending("skopeo.tar")
        try Skopeo.copy(from: "oci:\(busybox):latest", to: "docker-archive:\(skopeo):app:1")
        let registry = try DockerRegistry()
        for (source, selection, label, name) in [
            ("skopeo.tar", [], nil, "one"), ("saved.tar", ["--image", "app:1"], "first", "two"),
            ("saved.tar", ["--image", "registry.example.com/team/app:2"], "first", "three"),
            ("saved.tar", ["--image", "docker.io/library/other:1"], "second", "four"),
        ] as [(String, [String], String?, String)] {
            let pushed = try push(source, selection + ["--dest", "\(registry.host)/acme/\(name):1"], site)
            #expect(pushed.status == 0, "\(pushed.log)")
            let image = "docker://\(registry.host)/acme/\(name):1"
            #expect(try summary("acme/\(name):1", registry)["Digest"].string == pushed.digest)
            let config = try Skopeo.configuration(of: image)
            #expect(config["rootfs"] == (try Skopeo.configuration(of: "oci:\(busybox):latest")["rootfs"]))
            #expect(config["config"]["Labels"]["image"].string == label)
            let manifest = try Skopeo.manifest(of: image)
            #expect(manifest["mediaType"].string == "application/vnd.docker.distribution.manifest.v2+json")
            // skopeo checks each layer against the config while it unpacks it.
            try Skopeo.copy(from: image, to: "docker-archive:\(site.folder.appending("\(name)-back.tar"))")
        }
        let several = try push("saved.tar", ["--dest", "\(registry.host)/acme/no:1"], site)
        #expect(
            several.status == 1
                && several.log.contains(
                    "it has several images: name one; it has 'app:1', 'registry.example.com/team/app:2'"),
            "\(several.log)")
        let unclear = try push("saved.tar", ["--image", "1", "--dest", "\(registry.host)/acme/no:1"], site)
        #expect(unclear.status == 1 && unclear.log.contains("write the whole name"), "\(unclear.log)")
        try site.expectClean()
    }

    @Test("what is damaged, or no image, is told as such, and no tag appears")
    func damaged() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        try site.require([
            "--no-push", "--dest", "app:1", "--oci-layout-path", site.layout.string, "--tar-path",
            site.folder.appending("whole.tar").string,
        ])
        let manifest = try Skopeo.manifest(of: "oci:\(site.layout):1")
        let layer = try #require(manifest["layers"][0]["digest"].string)
        let blob = site.layout.appending("blobs/sha256").appending(String(layer.dropFirst(7)))
        // Another byte, in a file of the same length.
        let flip = "printf X | dd of='\(blob)' bs=1 seek=40 conv=notrunc status=none"
        try Program.require(
            ["sh", "-ec", "head -c 3000 whole.tar > cut.tar; echo text > text; mkdir none; \(flip)"],
            in: site.folder.path)
        let registry = try DockerRegistry()
        for (source, parts) in [
            ("layout", ["'layout' is damaged: the blob \(layer) has other content"]),
            ("cut.tar", ["'cut.tar' cannot be unpacked"]),
            ("text", ["'text' cannot be unpacked", "hint: an image is a tar"]),
            ("none", ["'none' holds no image", "hint: push what --tar-path"]),
            ("nothing", ["'nothing' cannot be read", "No such file"]),
        ] {
            let pushed = try push(source, ["--dest", "\(registry.host)/acme/app:1"], site)
            #expect(pushed.status == 1 && pushed.output.isEmpty, "\(pushed.log)")
            for part in parts { #expect(pushed.log.contains(part), "\(part) is not in \(pushed.log)") }
        }
        let missing = try push("layout", ["--image", "7", "--dest", "\(registry.host)/acme/app:1"], site)
        #expect(missing.log.contains("it has no image '7'; it has '1'"), "\(missing.log)")
        #expect(try !registry.hasTag("1", in: "acme/app"))
        for wrong in [[], ["--dest", "\(registry.host)/acme/app@\(layer)"], ["--dest", "app", "--image", ""]] {
            #expect(try push("layout", wrong, site).status == 64)
        }
        try site.expectClean()
    }

    @Test("a layer that its vendor alone hands out is pushed by its name, refused as a base, and fetched from nowhere")
    func vendorsLayer() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        try site.require(["--no-push", "--dest", "app:1", "--oci-layout-path", site.layout.string])
        let (vendor, registry) = (try FileServer(), try DockerRegistry())
        let script = """
            cd layout/blobs/sha256
            old=$(jq -r '.manifests[0].digest[7:]' ../../index.json)
            rm $(jq -r '.layers[0].digest[7:]' $old)
            jq -c --arg url "$1" '.layers[0] += {urls: [$url],
                mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"}' $old >new
            digest=$(sha256sum new | cut -c -64)
            jq -c --arg digest "sha256:$digest" --argjson size $(stat -c %s new) \\
                '.manifests[0] += {digest: $digest, size: $size}' ../../index.json >index
            mv new $digest
            mv index ../../index.json
            """
        try Program.require(["sh", "-ec", script, "sh", "http://\(vendor.host)/layer"], in: site.folder.path)
        let image = "\(registry.host)/vendor/base:1"
        let pushed = try push("layout", ["--dest", image], site)
        #expect(pushed.status == 0, "\(pushed.log)")
        #expect(try Skopeo.manifest(of: "docker://\(image)") == Skopeo.manifest(of: "oci:\(site.layout):1"))
        try site.folder.write("FROM \(image)\nLABEL a=b\n", to: "context/Dockerfile")
        let build = try site.build(["--no-push", "--insecure-pull"])
        #expect(build.status == 1, "\(build.log)")
        for part in ["nondistributable.v1.tar+gzip, which is not supported", "hint: its vendor alone hands it out"] {
            #expect(build.log.contains(part), "\(part) is not in \(build.log)")
        }
        #expect(try vendor.requests().isEmpty)
        try site.expectClean()
    }

    @Test("a registry that fails does not keep the others from getting the image")
    func someDestinations() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
        let tar = site.folder.appending("app.tar")
        try site.require(["--no-push", "--dest", "app:1", "--tar-path", tar.string])
        let (open, closed) = (try DockerRegistry(), try DockerRegistry(user: ("ann", "s3cret-of-the-push")))
        let destinations = ["--dest", "\(closed.host)/acme/app:1", "--dest", "\(open.host)/acme/app:1"]
        let refused = try push("app.tar", destinations, site)
        #expect(refused.status == 1 && refused.log.contains("\(closed.host)/acme/app:1, and nothing was pushed"))
        #expect(try !open.hasTag("1", in: "acme/app"))
        let pushed = try push("app.tar", destinations + ["--skip-push-permission-check"], site)
        #expect(pushed.status == 1)
        #expect(
            pushed.log.contains("the image could not be pushed to 1 of 2 destinations: \(closed.host)/acme/app:1: "),
            "\(pushed.log)")
        #expect(try open.hasTag("1", in: "acme/app"))
    }
}
