import SystemPackage
import TestSupport
import Testing

/// What other people's servers on the way to a registry make of it.
@Suite("Proxies, mirrors and caches between imgbuild and registries")
struct IntermediaryTests {
    private static let user = (name: "ann", password: "s3cret-of-the-gate")

    private func site() throws -> BuildSite {
        // 2 MB, which is more than nginx takes unasked.
        let site = try BuildSite("FROM scratch\nCOPY file /file\n")
        try Program.require(
            ["sh", "-ec", "\(noise); noise 2000000 >\"$1\"", "sh", site.context.appending("file").string])
        return site
    }

    /// A registry behind nginx with TLS, for Ann alone.
    private struct Gate {
        let authority: TestAuthority
        let registry: DockerRegistry
        let nginx: Nginx

        init(_ more: String, mutual: Bool = false) throws {
            authority = try TestAuthority()
            registry = try DockerRegistry()
            nginx = try Nginx(
                to: registry.port, more, identity: authority.identity(for: "IP:127.0.0.1"),
                clients: mutual ? authority.certificate : nil, user: IntermediaryTests.user)
        }

        func build(_ site: BuildSite, _ more: [String] = []) throws -> Build {
            let login =
                #"{"username":"\#(IntermediaryTests.user.name)","password":"\#(IntermediaryTests.user.password)"}"#
            return try site.build(
                [
                    "--dest", "\(nginx.host)/acme/app:1", "--registry-certificate",
                    "\(nginx.host)=\(authority.certificate)",
                ] + more, environment: ["DOCKER_AUTH_CONFIG": #"{"auths":{"\#(nginx.host)":\#(login)}}"#])
        }
    }

    @Test("a registry behind nginx with TLS and a password is pushed to, and skopeo's image there is a base")
    func gate() throws {
        let gate = try Gate("proxy_set_header X-Forwarded-Proto $scheme; client_max_body_size 0;")
        let build = try gate.build(site())
        #expect(build.status == 0, "\(build.log)")
        #expect(try Skopeo.summary(of: "docker://\(gate.registry.host)/acme/app:1")["Digest"].string == build.digest)
        let skopeo = [
            "skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds",
            "\(Self.user.name):\(Self.user.password)",
        ]
        try Program.require(
            skopeo + ["oci:\(BusyboxImage.shared().layout):latest", "docker://\(gate.nginx.host)/library/base:1"])
        let other = try BuildSite("FROM \(gate.nginx.host)/library/base:1\nCOPY Dockerfile /\n")
        let back = try gate.build(other, ["--oci-layout-path", other.layout.string])
        #expect(back.status == 0, "\(back.log)")
        // All of it is in the layout, and the base's layer as the registry has it.
        let made = try Skopeo.summary(of: "oci:\(other.layout):1")
        let base = try Skopeo.summary(of: "docker://\(gate.registry.host)/library/base:1")
        #expect(made["Layers"][0].string != nil && made["Layers"][0] == base["Layers"][0])
    }

    @Test("what is set up wrongly in front of a registry is told with its cure")
    func misconfigured() throws {
        let cases: [(nginx: String, mutual: Bool, says: [String])] = [
            (
                "proxy_set_header X-Forwarded-Proto $scheme;", false,
                ["413 Content Too Large", "limits the size of uploads"]
            ),
            ("client_max_body_size 0;", false, ["it would leave https for plain http", "hint: ", "X-Forwarded-Proto"]),
            (
                "", true,
                [
                    "400 Bad Request", "hint: the server asks for a client certificate",
                    "--registry-client-cert 127.0.0.1:",
                ]
            ),
        ]
        for (nginx, mutual, says) in cases {
            let build = try Gate(nginx, mutual: mutual).build(site())
            #expect(build.status == 1)
            for part in says { #expect(build.log.contains(part), "\(part) is not in: \(build.log)") }
        }
    }

    @Test("a mirror that is a cache serves a base although its registry is down")
    func cache() throws {
        let origin = try DockerRegistry()
        try BusyboxImage.shared().push(to: origin, as: "library/basis:1")
        let cache = try Nginx(to: origin.port, "proxy_cache cache; proxy_cache_valid 200 1h;")
        let site = try BuildSite("FROM basis:1\nCOPY Dockerfile /\n")
        let arguments = [
            "--dest", "app:1", "--no-push", "--tar-path", site.folder.appending("image.tar").string,
            "--registry-mirror", cache.host, "--skip-default-registry-fallback",
        ]
        let first = try site.require(arguments)
        let layer = try #require(try Skopeo.summary(of: "docker://\(origin.host)/library/basis:1")["Layers"][0].string)
        #expect(try origin.requests().contains { $0.method == "GET" && $0.path.hasSuffix(layer) && $0.status == 200 })
        origin.stop()
        let second = try site.build(arguments, state: site.folder.appending("fresh"))
        #expect(second.status == 0 && second.digest == first.digest, "\(second.log)")
    }

    @Test("the environment's proxy is used for what NO_PROXY does not name, with its password")
    func forwardProxy() throws {
        let authority = try TestAuthority()
        let identity = try authority.identity(for: "IP:127.0.0.1")
        let secure = try DockerRegistry(certificate: identity.certificate, key: identity.key)
        let plain = try DockerRegistry()
        let site = try site()
        let arguments = [
            "--dest", "\(secure.host)/acme/app:1", "--registry-certificate", "\(secure.host)=\(authority.certificate)",
            "--dest", "\(plain.host)/acme/app:1", "--insecure-registry", plain.host,
        ]
        for user: (name: String, password: String)? in [nil, Self.user] {
            let proxy = try ForwardProxy(user: user)
            let address = "http://\(user.map { "\($0.name):\($0.password)@" } ?? "")127.0.0.1:\(proxy.port)"
            let both = ["HTTP_PROXY": address, "https_proxy": address]
            try site.require(arguments, environment: both)
            let asked = try proxy.requests()
            #expect(asked.contains("CONNECT \(secure.host)"))
            #expect(asked.contains("GET http://\(plain.host)/v2/"))
            #expect(asked.contains { $0.hasPrefix("PUT http://\(plain.host)/v2/acme/app/manifests/1") })
            #expect(!asked.contains { $0.contains("https://") })
            try site.require(arguments, environment: both.merging(["NO_PROXY": "example.com,127.0.0.1"]) { $1 })
            #expect(try proxy.requests().count == asked.count)
        }
    }

    @Test("a proxy that refuses, or is not there, is named, and one that refuses is asked once")
    func refusingProxy() throws {
        let proxy = try ForwardProxy(user: Self.user)
        let site = try site()
        let nobody = try freePort()
        for (scheme, address, says) in [
            ("https_proxy", "http://ann:wrong-s3cret@127.0.0.1:\(proxy.port)", "the proxy wants credentials"),
            ("http_proxy", "http://127.0.0.1:\(proxy.port)", "the proxy wants credentials"),
            ("https_proxy", "http://127.0.0.1:\(nobody)", "127.0.0.1 port \(nobody)"),
            ("https_proxy", "http://no-such-proxy.invalid:3128", "no-such-proxy.invalid"),
        ] {
            let before = try proxy.requests().count
            let plain = scheme == "http_proxy" ? ["--insecure-registry", "registry.invalid"] : []
            // One that is not there may come back, and is waited for.
            let retries = address.hasSuffix(":\(nobody)") ? ["--push-retry", "0"] : []
            let build = try site.build(
                ["--dest", "registry.invalid/acme/app:1"] + plain + retries, environment: [scheme: address])
            #expect(build.status == 1 && build.log.contains(says), "\(says): \(build.log)")
            #expect(try proxy.requests().count <= before + 1)
        }
    }

    @Test("a Git server behind nginx with a password is read, and without the password told", .enabled(if: isRoot))
    func git() throws {
        let git = try GitServer()
        let site = try BuildSite()
        try site.folder.write("FROM scratch\nCOPY file /file\n", to: "tree/Dockerfile")
        try site.folder.write("text\n", to: "tree/file")
        _ = try git.makeRepository("acme/app.git", from: site.folder.appending("tree"))
        let nginx = try Nginx(to: git.port, user: Self.user)
        let here = "\(nginx.host)/acme/app.git"
        let environment = ["GIT_PULL_METHOD": "http"]
        let build = try site.build(
            context: "git://\(Self.user.name):\(Self.user.password)@\(here)", environment: environment)
        #expect(build.status == 0, "\(build.log)")
        let refused = try site.build(context: "git://\(here)", environment: environment)
        #expect(refused.status == 1 && refused.log.contains("hint: "), "\(refused.log)")
    }
}
