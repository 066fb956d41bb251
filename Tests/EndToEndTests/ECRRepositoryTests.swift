import TestSupport
import Testing

/// Repositories as ECR has them: made before the first push, with tags that may be forbidden to move.
@Suite(
    "Repositories of Amazon ECR",
    .enabled(if: MotoServer.isInstalled, "moto is not installed: scripts/install-moto.sh"))
struct ECRRepositoryTests {
    private typealias Fault = FaultProxy.Fault

    /// AWS, a registry under ECR's name that wants the login of AWS, and between them and the build what answers as ECR does.
    private struct Cloud {
        let moto: MotoServer
        let registry: DockerRegistry
        let proxy: FaultProxy
        let site: BuildSite

        init(_ dockerfile: String) throws {
            moto = try MotoServer.shared()
            registry = try DockerRegistry(user: ("AWS", MotoServer.password))
            proxy = try FaultProxy(to: registry.port)
            site = try BuildSite(dockerfile, files: ["file": "one\n"])
        }

        func build(_ repository: String, _ more: [String] = [], state: String = "state") throws -> Build {
            try site.build(
                [
                    "--dest", "\(LoopbackECR.host)/\(repository):1", "--insecure-registry", LoopbackECR.host,
                    "--connect-to", "\(LoopbackECR.host):80:\(proxy.host)", "--timestamp", "1700000000",
                    "--verbosity", "debug",
                ] + more, state: site.folder.appending(state), cached: true,
                environment: [
                    "AWS_ENDPOINT_URL": moto.url, "AWS_ACCESS_KEY_ID": moto.accessKeyID,
                    "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey, "AWS_EC2_METADATA_DISABLED": "true",
                ])
        }

        /// A document of the registry, by curl.
        func manifest(_ repository: String, _ tag: String) throws -> JSONValue {
            try JSONValue(parsing: get("\(repository)/manifests/\(tag)"))
        }

        func tags(_ repository: String) throws -> [String] {
            try JSONValue(parsing: get("\(repository)/tags/list"))["tags"].array?.compactMap(\.string) ?? []
        }

        private func get(_ path: String) throws -> [UInt8] {
            try Program.require([
                "curl", "--silent", "--fail", "--noproxy", "*", "--user", "AWS:\(MotoServer.password)", "--header",
                "Accept: application/vnd.oci.image.manifest.v1+json", "http://\(registry.host)/v2/\(path)",
            ]).output
        }
    }

    private static func error(_ code: String, _ message: String) -> String {
        #"{"errors":[{"code":"\#(code)","message":"\#(message)"}]}"#
    }

    private static let immutable = error(
        "TAG_INVALID",
        "The image tag '1' already exists in the repository and cannot be overwritten because the tag is immutable.")

    private static func missing(_ repository: String) -> String {
        error(
            "NAME_UNKNOWN",
            "The repository with name '\(repository)' does not exist in the registry with id '\(MotoServer.account)'")
    }

    @Test("a build that is done again under a tag that cannot move is a success; another image under it is not")
    func replay() throws {
        let cloud = try Cloud("FROM scratch\nCOPY file /file\n")
        let first = try cloud.build("shop/app")
        #expect(first.status == 0, "\(first.log)")
        try cloud.proxy.add([Fault.answer("PUT manifests/1$", 400, Self.immutable).of("shop/app").always])
        // In another pod: nothing is left of the first build but its image.
        let again = try cloud.build("shop/app", state: "other")
        #expect(again.status == 0 && again.digest == first.digest, "\(again.log)")
        #expect(again.log.contains("\(LoopbackECR.host)/shop/app:1 cannot be moved, and is this image already"))

        try cloud.site.folder.write("two\n", to: "context/file")
        let changed = try cloud.build("shop/app", ["--no-push-cache"])
        #expect(changed.status == 1 && changed.output.isEmpty, "\(changed.log)")
        let digest = try #require(first.digest)
        for part in ["immutable", "the tag '1' is \(digest), not sha256:", "push under a new tag"] {
            #expect(changed.log.contains(part), "\(part) is not in \(changed.log)")
        }
        let kept = try cloud.build("shop/app", ["--push-ignore-immutable-tag-errors"])
        #expect(kept.status == 0 && kept.log.contains("keeps the image that it has"), "\(kept.log)")
        #expect(try cloud.manifest("shop/app", "1")["layers"] == cloud.manifest("shop/app", digest)["layers"])
    }

    @Test(
        "a cache without a repository is a warning with what makes one, and is made where that is wanted",
        .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
    func missingCache() throws {
        let cloud = try Cloud("FROM busybox\nRUN head -c 8 /dev/urandom >/a\n")
        let flags = ["--cache", try #require(RunIsolation.possible.first).flag]
        let unknown = Self.missing("shop/bare/cache")
        try cloud.proxy.add([
            Fault.answer("POST blobs/uploads", 404, unknown).of("shop/bare/cache").always,
            Fault.answer("GET manifests", 404, unknown).of("shop/bare/cache").always,
        ])
        let build = try cloud.build("shop/bare", flags)
        #expect(build.status == 0, "\(build.log)")
        let warnings = build.log.split(separator: "\n").filter { $0.contains("warning") }
        #expect(warnings.count == 1, "\(build.log)")
        for part in [
            "the cache \(LoopbackECR.host)/shop/bare/cache is not kept", "NAME_UNKNOWN",
            "aws ecr create-repository --repository-name shop/bare/cache --region eu-west-2", "--create-repository",
        ] {
            #expect(warnings.first?.contains(part) == true, "\(part) is not in \(warnings)")
        }

        try cloud.proxy.add([
            Fault.answer("POST uploads/$", 404, Self.missing("shop/made/cache")).of("shop/made/cache").repeated(1)
        ])
        let made = try cloud.build("shop/made", flags + ["--create-repository"], state: "made")
        #expect(made.status == 0 && !made.log.contains("is not kept"), "\(made.log)")
        #expect(
            made.log.contains("the repository shop/made/cache did not exist in \(LoopbackECR.host) and was created"))
        #expect(try cloud.moto.hasRepository("shop/made/cache"))
        #expect(try cloud.tags("shop/made/cache").count == 1)
    }

    @Test(
        "the cache is an ordinary image to ECR; where tags cannot move each has its own, and the youngest is used",
        .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
    func immutableCache() throws {
        let cloud = try Cloud("FROM busybox\nCOPY file /file\nRUN head -c 8 /dev/urandom >/a\n")
        let flags =
            ["--cache", "--cache-repo", "\(LoopbackECR.host)/shop/layers"]
            + [try #require(RunIsolation.possible.first).flag]
        let cold = try cloud.build("shop/cached", flags)
        #expect(cold.status == 0 && !cold.log.contains("warning"), "\(cold.log)")
        let tag = try #require(try cloud.tags("shop/layers").first)
        let cache = try cloud.manifest("shop/layers", tag)
        #expect(cache["mediaType"].string == "application/vnd.oci.image.manifest.v1+json")
        #expect(cache["config"]["digest"].string?.hasPrefix("sha256:") == true && cache["manifests"] == .null)
        let layers = cache["layers"].array ?? []
        #expect(!layers.isEmpty)
        #expect(
            layers.allSatisfy { $0["mediaType"].string?.hasPrefix("application/vnd.oci.image.layer.v1.tar") == true })

        // From now on no tag can be moved.
        try cloud.proxy.add([
            Fault.answer("PUT manifests/\(tag)$", 400, Self.immutable).of("shop/layers").always
        ])
        try cloud.site.folder.write("two\n", to: "context/file")
        let changed = try cloud.build("shop/cached", flags, state: "second")
        #expect(changed.status == 0 && !changed.log.contains("warning"), "\(changed.log)")
        #expect(try cloud.tags("shop/layers").count == 2)
        #expect(try cloud.manifest("shop/layers", tag) == cache)
        let warm = try cloud.build("shop/cached", flags, state: "third")
        #expect(warm.status == 0 && warm.digest == changed.digest, "\(warm.log)")
    }
}
