import SystemPackage
import TestSupport
import Testing

/// Registries that are not reached over https with the system's authorities.
@Suite("Routes to registries")
struct RoutesTests {
    /// A registry with TLS and an empty one beside it.
    private struct Secured {
        let authority: TestAuthority
        let registry: DockerRegistry

        init(for subject: String = "IP:127.0.0.1", mutual: Bool = false) throws {
            authority = try TestAuthority()
            let identity = try authority.identity(for: subject)
            registry = try DockerRegistry(
                certificate: identity.certificate, key: identity.key, clients: mutual ? authority.certificate : nil)
        }

        var destination: [String] { ["--dest", "\(registry.host)/acme/app:1"] }

        /// The digest that the registry has for the tag, by curl.
        func has(_ digest: String?, client: TestAuthority.Identity? = nil) throws -> Bool {
            let known = client.map { ["--cert", $0.certificate.string, "--key", $0.key.string] } ?? []
            let head = try Program.require(
                ["curl", "--silent", "--noproxy", "*", "--head", "--cacert", authority.certificate.string] + known + [
                    "--header", "Accept: application/vnd.oci.image.manifest.v1+json",
                    "https://\(registry.host)/v2/acme/app/manifests/1",
                ]
            ).text
            return digest.map { head.contains($0) } ?? false
        }
    }

    private func site() throws -> BuildSite {
        try BuildSite("FROM scratch\nCOPY file /file\n", files: ["file": "text\n"])
    }

    @Test("an unknown authority is refused with a hint, and believed where the command line says so")
    func authority() throws {
        let secured = try Secured()
        let site = try site()
        let refused = try site.build(secured.destination)
        #expect(refused.status == 1, "\(refused.log)")
        #expect(refused.log.contains("hint: give the certificate of its authority with --registry-certificate"))
        let certificate = "\(secured.registry.host)=\(secured.authority.certificate)"
        for way in [
            ["--registry-certificate", certificate], ["--skip-tls-verify"],
            ["--skip-tls-verify-registry", secured.registry.host],
        ] {
            #expect(try secured.has(site.require(secured.destination + way).digest), "\(way)")
        }
        #expect(try site.build(secured.destination + ["--skip-tls-verify-pull"]).status == 1, "it is pushed to")
        #expect(
            try site.require(secured.destination, environment: ["SSL_CERT_FILE": secured.authority.certificate.string])
                .status == 0)
    }

    @Test("a certificate for another name is refused although its authority is known")
    func otherName() throws {
        let secured = try Secured(for: "DNS:registry.example.com")
        let build = try site().build(
            secured.destination + [
                "--registry-certificate", "\(secured.registry.host)=\(secured.authority.certificate)",
            ])
        #expect(build.status == 1 && build.log.contains("127.0.0.1"), "\(build.log)")
    }

    @Test("a registry that asks for a certificate gets one, and says so when there is none")
    func mutual() throws {
        let secured = try Secured(mutual: true)
        let site = try site()
        let known = [
            "--registry-certificate", "\(secured.registry.host)=\(secured.authority.certificate)",
        ]
        let refused = try site.build(secured.destination + known)
        #expect(refused.status == 1, "\(refused.log)")
        #expect(refused.log.contains("--registry-client-cert \(secured.registry.host)="), "\(refused.log)")
        let client = try secured.authority.identity(for: "DNS:client")
        let build = try site.require(
            secured.destination + known + [
                "--registry-client-cert", "\(secured.registry.host)=\(client.certificate),\(client.key)",
            ])
        #expect(try secured.has(build.digest, client: client))
    }

    @Test("--insecure-pull and --skip-tls-verify-pull hold for what is pulled, --insecure for what is pushed")
    func purposes() throws {
        let secured = try Secured()
        let plain = try DockerRegistry()
        try BusyboxImage.shared().push(to: plain, as: "library/base:1")
        let site = try BuildSite("FROM \(plain.host)/library/base:1\nCOPY file /file\n", files: ["file": "text\n"])
        let pushed = try site.require(secured.destination + ["--insecure-pull", "--skip-tls-verify"])
        #expect(try secured.has(pushed.digest))
        try site.folder.write("FROM \(secured.registry.host)/acme/app:1\nENV a=b\n", to: "context/Dockerfile")
        let back = try site.require([
            "--skip-tls-verify-pull", "--insecure", "--dest", "\(plain.host)/acme/back:1",
        ])
        #expect(try Skopeo.summary(of: "docker://\(plain.host)/acme/back:1")["Digest"].string == back.digest)
    }

    @Test("mirrors are asked in order before the registry itself, with a path of their own")
    func mirrors() throws {
        let (empty, mirror) = (try DockerRegistry(), try DockerRegistry())
        try BusyboxImage.shared().push(to: mirror, as: "hub/library/basis:1")
        let site = try BuildSite("FROM basis:1\nCOPY file /file\n", files: ["file": "text\n"])
        let build = try site.require([
            "--no-push", "--dest", "app:1", "--registry-mirror", empty.host, "--registry-mirror",
            "\(mirror.host)/hub/",
        ])
        #expect(
            build.log.contains("warning: the mirror's \(empty.host)/library/basis:1 cannot be used"), "\(build.log)")
        #expect(try mirror.requests().contains { $0.path == "/v2/hub/library/basis/manifests/1" && $0.status == 200 })
        let mapped = try site.require(
            ["--no-push", "--dest", "app:1"],
            environment: ["KANIKO_REGISTRY_MAP": "quay.example.com=\(empty.host);index.docker.io=\(mirror.host)/hub"])
        #expect(mapped.digest == build.digest)
    }

    @Test(
        "a layer that the mirror has lost or keeps damaged comes from the registry itself",
        arguments: [
            ("rm '%'", "404"), ("printf X | dd of='%' bs=1 seek=100 conv=notrunc status=none", "other content"),
        ])
    func damagedMirror(script: String, reason: String) throws {
        let (origin, mirror) = (try DockerRegistry(), try DockerRegistry())
        for registry in [origin, mirror] { try BusyboxImage.shared().push(to: registry, as: "library/base:1") }
        let image = "\(origin.host)/library/base:1"
        let layer = try #require(try Skopeo.summary(of: "docker://\(image)")["Layers"][0].string)
        let hex = layer.dropFirst("sha256:".count)
        let data = mirror.storage.appending("docker/registry/v2/blobs/sha256/\(hex.prefix(2))/\(hex)/data")
        try Program.require(["sh", "-ec", script.replacing("%", with: data.string)])
        let site = try BuildSite("FROM \(image)\nCOPY file /file\n", files: ["file": "text\n"])
        let build = try site.require([
            "--no-push", "--dest", "app:1", "--oci-layout-path", site.layout.string, "--registry-map",
            "\(origin.host)=\(mirror.host)",
        ])
        let warning = "warning: a layer cannot be had from the mirror's \(mirror.host)/library/base: "
        let line = build.log.split(separator: "\n").first { $0.hasPrefix(warning) }
        #expect(line?.contains(reason) == true, "\(build.log)")
        #expect(build.log.contains("fetched \(layer)") && build.log.contains("from \(origin.host)/library/base in"))
        #expect(try Skopeo.summary(of: "oci:\(site.layout):1")["Digest"].string == build.digest)
        #expect(
            try mirror.requests().contains {
                $0.method == "GET" && $0.path.hasSuffix("/manifests/1") && $0.status == 200
            }
        )
    }

    @Test("authorities in a folder of SSL_CERT_DIR are believed whatever their files are called")
    func authorityFolder() throws {
        let secured = try Secured()
        let site = try site()
        // As Kubernetes mounts a ConfigMap.
        try Program.require(
            [
                "sh", "-ec",
                "mkdir -p none certs/..1; cp '\(secured.authority.certificate)' certs/..1/ca.crt; ln -s ..1 certs/..data; ln -s ..data/ca.crt certs/our-own.crt; echo no certificate > certs/README; ln -s nowhere certs/dangling",
            ], in: site.folder.path)
        let (none, certs) = (site.folder.appending("none").string, site.folder.appending("certs").string)
        #expect(try site.build(secured.destination, environment: ["SSL_CERT_DIR": none]).status == 1)
        for folders in [certs, "\(none):\(certs)", "/nonexistent:\(certs)"] {
            #expect(
                try secured.has(site.require(secured.destination, environment: ["SSL_CERT_DIR": folders]).digest))
        }
    }

    @Test("--credential-helpers says what may answer besides docker's configuration")
    func credentialHelpers() throws {
        let registry = try DockerRegistry(user: ("ann", "s3cret-of-the-helpers"))
        let name = "KANIKO_" + registry.host.split(separator: ":")[0].split(separator: ".").joined(separator: "_")
        let environment = ["\(name)_USER": "ann", "\(name)_PASSWORD": "s3cret-of-the-helpers"]
        let site = try site()
        let destination = ["--dest", "\(registry.host)/acme/app:1"]
        for helpers in [
            [], ["--credential-helpers", "env"], ["--credential-helpers=ecr", "--credential-helpers=env"],
        ] {
            try site.require(destination + helpers, environment: environment)
        }
        for helpers in [["--credential-helpers="], ["--credential-helpers", "ecr"], ["--credential-helpers=google"]] {
            let build = try site.build(destination + helpers, environment: environment)
            #expect(build.status == 1 && build.log.contains("a request without credentials"), "\(build.log)")
            #expect(
                build.log.contains("warning: --credential-helpers google changes nothing")
                    == (helpers[0].hasSuffix("google"))
            )
        }
        let ecr = ["--dest", "123456789012.dkr.ecr.eu-west-2.amazonaws.com/app:1", "--credential-helpers", "env"]
        // Nothing is asked of AWS: what is left is a registry that cannot be reached.
        let build = try site.build(
            ecr + [
                "--push-retry", "0", "--connect-to", "123456789012.dkr.ecr.eu-west-2.amazonaws.com:443:127.0.0.1:1",
            ],
            environment: ["AWS_EC2_METADATA_DISABLED": "true"])
        #expect(build.status == 1 && !build.log.contains("no AWS credentials were found"), "\(build.log)")
    }

    @Test("without the fallback a registry is not asked when its mirror has not the image")
    func noFallback() throws {
        let (origin, mirror) = (try DockerRegistry(), try DockerRegistry())
        try BusyboxImage.shared().push(to: origin, as: "library/base:1")
        let site = try BuildSite("FROM \(origin.host)/library/base:1\nCOPY file /file\n", files: ["file": "text\n"])
        let map = ["--no-push", "--registry-map", "\(origin.host)=\(mirror.host)"]
        try site.require(map)
        let before = try origin.requests().count
        let build = try site.build(map + ["--skip-default-registry-fallback"], state: site.folder.appending("fresh"))
        #expect(build.status == 1 && build.log.contains("MANIFEST_UNKNOWN"), "\(build.log)")
        #expect(try origin.requests().count == before)
    }

    @Test("each destination is tried: the ones that work have the image, the others are named with their reasons")
    func someDestinations() throws {
        let registry = try DockerRegistry()
        let site = try site()
        // A file where the registry would keep the tag makes it fail, for this tag alone.
        let tags = registry.storage.appending("docker/registry/v2/repositories/acme/app/_manifests/tags")
        try Program.require(["mkdir", "-p", tags.string])
        try Program.require(["touch", tags.appending("bad").string])
        let destinations = ["bad", "good", "fine"].flatMap { ["--dest", "\(registry.host)/acme/app:\($0)"] }
        let build = try site.build(destinations + ["--push-retry", "0", "--digest-file", site.digestFile.string])
        #expect(build.status == 1)
        #expect(
            build.log.contains(
                "the image could not be pushed to 1 of 3 destinations: \(registry.host)/acme/app:bad: "))
        for tag in ["good", "fine"] { #expect(try registry.hasTag(tag, in: "acme/app")) }
        #expect(!exists(site.digestFile))
        let tries = try registry.requests().filter { $0.method == "PUT" && $0.path.hasSuffix("/manifests/bad") }
        #expect(tries.count == 1)
    }

    @Test(
        "flags that make no sense are told before anything else",
        arguments: [
            (["--registry-certificate", "host"], "expected HOST=FILE"),
            (["--registry-client-cert", "host=cert"], "expected HOST=CERTIFICATE,KEY"),
            (["--registry-map", "docker.io"], "expected REGISTRY=HOST[/PATH]"),
            (["--registry-mirror", "mirror"], "does not begin with a registry's host"),
            (["--registry-mirror", "https://mirror.example.com"], "without the scheme"),
            (["--insecure-registry", "http://host"], "expected a host"), (["--push-retry", "-1"], "push-retry"),
            (["--credential-helpers", "aws"], "expected env or ecr"),
        ])
    func senseless(_ flags: [String], _ reason: String) throws {
        let build = try site().build(["--no-push"] + flags)
        #expect(build.status == 64 && build.log.contains(reason), "\(build.log)")
    }
}
