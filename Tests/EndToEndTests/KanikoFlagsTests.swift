import SystemPackage
import TestSupport
import Testing

/// A command line as people have it in their templates.
@Suite("Flags of Kaniko")
struct KanikoFlagsTests {
    private static let dockerfile = "FROM scratch\nCOPY file /\n"

    private func site() throws -> BuildSite {
        try BuildSite(Self.dockerfile, files: ["file": "text\n"])
    }

    private func manifest(of site: BuildSite) throws -> JSONValue {
        let index = try JSONValue(parsing: Array(text(of: site.layout.appending("index.json")).utf8))
        let digest = try #require(index["manifests"][0]["digest"].string)
        return try JSONValue(
            parsing: Array(text(of: site.layout.appending("blobs").appending(digest.replacing(":", with: "/"))).utf8))
    }

    @Test(
        "that are on or off take a value",
        arguments: [
            (["--no-push=true", "--insecure=false"], ""),
            (["--no-push=1", "--skip-tls-verify=False", "--force"], ""),
            (["--no-push", "true", "--insecure-pull", "false"], "warning: --no-push true is read as --no-push=true"),
            (
                ["--no-push=true", "--snapshot-mode=redo"],
                "warning: --snapshot-mode changes nothing: what a RUN changed"
            ),
            (["--no-push=true", "--use-new-run=true", "--cleanup"], "warning: --cleanup changes nothing"),
            (["--no-push=true", "--compressed-caching=false"], "warning: --compressed-caching changes nothing"),
            (["--no-push=true", "--ignore-var-run=true"], "warning: --ignore-var-run changes nothing"),
            (["--no-push=true", "--skip-unused-stages=true", "--force-build-metadata"], ""),
            (["--no-push=true", "--context-sub-path=", "--credential-helpers="], ""),
        ])
    func switches(_ flags: [String], _ warning: String) throws {
        let log = try site().require(flags).log
        #expect(log.contains(warning), "\(log)")
        if warning.isEmpty { #expect(!log.contains("warning"), "\(log)") }
    }

    @Test(
        "whose result would be missing are refused",
        arguments: [
            (["--no-push=maybe"], "--no-push"), (["--snapshot-mode=none"], "--snapshot-mode"),
            (["--ignore-path", "/x"], "hint: use RUN --mount=type=tmpfs,target=/x"),
            (["--materialize"], "--materialize is not supported"),
            (["--bucket=b"], "--bucket b is not supported"),
            (["--annotation", "a"], "--annotation 'a': expected name=value"),
        ])
    func refused(_ flags: [String], _ says: String) throws {
        let build = try site().build(["--no-push"] + flags)
        #expect(build.status == 64)
        #expect(build.log.contains(says), "\(build.log)")
    }

    @Test("KANIKO_NO_PUSH wins over the flag")
    func variable() throws {
        let destination = ["--dest", "127.0.0.1:1/acme/app:1"]
        try site().require(destination, environment: ["KANIKO_NO_PUSH": "true"])
        let build = try site().build(destination, environment: ["KANIKO_NO_PUSH": "yes"])
        #expect(build.status == 64)
        #expect(build.log.contains("KANIKO_NO_PUSH is 'yes'"))
    }

    @Test("--reproducible: files of other times give the same image")
    func reproducible() throws {
        let digests = try (1...2).map { day in
            let site = try site()
            try Program.require(["touch", "-d", "2026-01-0\(day)", site.context.appending("file").string])
            return try site.require(["--no-push", "--reproducible=true"]).digest
        }
        #expect(digests[0] != nil)
        #expect(digests[0] == digests[1])
    }

    @Test("--annotation is on the manifest; the last of one name holds")
    func annotations() throws {
        let site = try site()
        try site.require([
            "--no-push", "--oci-layout-path", site.layout.string, "--annotation=a=1", "--annotation=b=x=y",
            "--annotation", "a=2",
        ])
        let annotations = try manifest(of: site)["annotations"]
        #expect(annotations["a"].string == "2")
        #expect(annotations["b"].string == "x=y")
    }

    @Test("--image-format=docker: skopeo finds a manifest of Docker's, with the same layers")
    func dockerFormat() throws {
        let site = try site()
        try site.require(["--no-push", "--oci-layout-path", site.layout.string])
        let oci = try manifest(of: site)
        let registry = try DockerRegistry()
        try site.require([
            "--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app:1", "--image-format=docker",
        ])
        let raw = try Program.require([
            "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://\(registry.host)/acme/app:1",
        ]).text
        let docker = try JSONValue(parsing: Array(raw.utf8))
        #expect(docker["mediaType"].string == "application/vnd.docker.distribution.manifest.v2+json")
        #expect(docker["config"]["mediaType"].string == "application/vnd.docker.container.image.v1+json")
        #expect(docker["layers"][0]["mediaType"].string == "application/vnd.docker.image.rootfs.diff.tar.gzip")
        #expect(docker["layers"][0]["digest"].string == oci["layers"][0]["digest"].string)
    }

    @Test(
        "--single-snapshot: one layer with the files of many, and nothing of what was deleted",
        arguments: RunIsolation.possible)
    func singleSnapshot(_ isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox
            COPY file secret /work/
            RUN ln /work/file /work/linked && mkdir /work/empty /work/gone && echo x > /work/gone/x && rm /work/secret
            RUN rm -rf /work/gone /home && mkdir /home && echo new > /home/new && ln -s new /home/link && chmod 700 /work/empty
            RUN rm /bin/sleep
            ENV A=b

            """, files: ["file": "text\n", "secret": "a secret\n"])
        func built(_ name: String, _ flags: [String]) throws -> (layout: FilePath, files: FileTree) {
            let layout = site.folder.appending(name)
            try site.require(
                ["--dest=app:1", "--no-push", "--oci-layout-path", layout.string, isolation.flag] + flags)
            return (layout, try Umoci.unpack(layout, tag: "1", into: site.folder.appending("\(name)-bundle")))
        }
        let many = try built("many", [])
        let one = try built("one", ["--single-snapshot=true"])
        func shown(_ files: FileTree) -> [String] {
            files.entries.map { "\($0.key) \($0.value.kind) \($0.value.mode) \($0.value.uid) \($0.value.target ?? "")" }
                .sorted()
        }
        #expect(shown(one.files) == shown(many.files))
        #expect(try one.files.contents(of: "work/linked") == Array("text\n".utf8))
        #expect(one.files.entries["work/linked"]?.inode == one.files.entries["work/file"]?.inode)

        let layers = try Skopeo.manifest(of: "oci:\(one.layout):1")["layers"].array ?? []
        #expect(try Skopeo.manifest(of: "oci:\(many.layout):1")["layers"].array?.count == layers.count + 3)
        let digest = try #require(layers.last?["digest"].string)
        let blob = one.layout.appending("blobs").appending(digest.replacing(":", with: "/"))
        let names = try Program.require(["tar", "-tzf", blob.string]).text
        #expect(!names.contains("secret") && !names.contains("gone"), "\(names)")
        #expect(names.contains("bin/.wh.sleep"), "\(names)")
        let history = try Skopeo.configuration(of: "oci:\(one.layout):1")["history"].array ?? []
        #expect(history.filter { $0["empty_layer"] != .bool(true) }.count == layers.count)
    }

    @Test("--log-format=json: each line is an object, a RUN's output too", arguments: RunIsolation.possible.prefix(1))
    func jsonLog(_ isolation: RunIsolation) throws {
        let site = try BuildSite("FROM busybox\nRUN printf 'one\\ntwo \"quoted\"'; exit 3\n")
        let build = try site.build(["--no-push", "--log-format=json", isolation.flag, "--use-new-run"])
        #expect(build.status == 3)
        let lines = try build.log.split(separator: "\n").map { try JSONValue(parsing: Array($0.utf8)) }
        let said = lines.map { ($0["level"].string ?? "", $0["msg"].string ?? "") }
        #expect(said.contains { $0 == ("info", "one") })
        #expect(said.contains { $0 == ("info", "two \"quoted\"") })
        #expect(said.contains { $0.0 == "warning" && $0.1.contains("--use-new-run") })
        #expect(said.contains { $0.0 == "error" && $0.1.contains("exit code 3") })
        #expect(lines.allSatisfy { $0["time"].string?.hasSuffix("Z") == true })
    }

    @Test("--log-timestamp: each line begins with the time")
    func timestamps() throws {
        let log = try site().require(["--no-push", "--log-timestamp"]).log
        #expect(!log.isEmpty)
        for line in log.split(separator: "\n") {
            #expect(line.wholeMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ .*/#) != nil, "\(line)")
        }
    }
}
