import SystemPackage
import TestSupport
import Testing

/// A way to give the builder the credentials of a Git server that wants the user `account` with `secret`.
struct GitLogin: CustomTestStringConvertible, Sendable {
    let name: String
    let account: String
    /// Environment variables; `FILE` in a value becomes the path of a file that holds the secret.
    let environment: [String: String]
    var testDescription: String { name }

    static let secret = "s3cret-of-the-repository"

    static let all = [
        GitLogin(name: "GIT_TOKEN", account: "x-access-token", environment: ["GIT_TOKEN": secret]),
        GitLogin(name: "GIT_TOKEN_FILE", account: "x-access-token", environment: ["GIT_TOKEN_FILE": "FILE"]),
        GitLogin(
            name: "GIT_USERNAME and GIT_PASSWORD", account: "ann",
            environment: ["GIT_USERNAME": "ann", "GIT_PASSWORD": secret]),
    ]
}

@Suite("From a commit to a running image", .enabled(if: isRoot, "owners of unpacked files need root"))
struct MainRoadTests {
    /// Pulls the image by skopeo, unpacks it by umoci, and asks its program how it is.
    private func expectWorks(
        _ application: Application, from reference: String, digest: String, in site: BuildSite,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> FileTree {
        #expect(try Skopeo.summary(of: reference)["Digest"].string == digest, sourceLocation: sourceLocation)
        try Skopeo.copy(from: reference, to: "oci:\(site.layout):pulled")
        let entrypoint = try Skopeo.configuration(of: "oci:\(site.layout):pulled")["config"]["Entrypoint"]
        #expect(entrypoint == .array(application.entrypoint.map { .string($0) }), sourceLocation: sourceLocation)
        let tree = try Umoci.unpack(site.layout, tag: "pulled", into: site.folder.appending("bundle"))
        #expect(
            try application.health(in: tree.root) != nil, "it does not answer /health", sourceLocation: sourceLocation)
        return tree
    }

    @Test("a commit at a public Git server becomes an image in a registry, and its program runs")
    func publicRepository() throws {
        let site = try BuildSite()
        let git = try GitServer()
        let registry = try DockerRegistry()
        let application = Application.standIn
        let repository = try git.makeRepository("acme/app.git", from: application.lay(into: site.folder))
        let commit = try repository.git(["rev-parse", "main"])
        // The branch moves on: the commit that was named is what is built.
        try site.folder.write("ill\n", to: "tree/www/health")
        try repository.commit(site.folder.appending("tree"))

        let build = try site.require(
            ["--insecure-registry", registry.host, "--destination", "\(registry.host)/acme/app:\(commit)"],
            context: "git://\(git.host)/acme/app.git#refs/heads/main#\(commit)",
            environment: ["GIT_PULL_METHOD": "http"])
        let tree = try expectWorks(
            application, from: "docker://\(registry.host)/acme/app:\(commit)", digest: try #require(build.digest),
            in: site)
        #expect(try String(decoding: tree.contents(of: "/srv/www/health"), as: UTF8.self) == "well\n")
        #expect(tree.entries["/source/.git"] == nil)
        #expect(build.log.contains(commit))
        try site.expectClean()
    }

    @Test("a private repository is read with the credentials given, and nobody else sees them", arguments: GitLogin.all)
    func privateRepository(_ login: GitLogin) throws {
        let site = try BuildSite()
        let git = try GitServer(user: (login.account, GitLogin.secret))
        let repository = try git.makeRepository("acme/app.git", from: Application.standIn.lay(into: site.folder))
        let commit = try repository.git(["rev-parse", "main"])
        let file = try site.folder.write(GitLogin.secret + "\n", to: "token", mode: 0o600)
        // A git that writes down how it is called, and the configuration of the repository it worked on.
        let git1 = try Program.require(["sh", "-c", "command -v git"]).text.split(separator: "\n").first ?? "git"
        let record = site.folder.appending("calls")
        let trace = site.folder.appending("trace")
        try site.folder.write(
            """
            #!/bin/sh
            echo "git $*" >> '\(record)'
            # Git's own account of every program that it starts, with all arguments.
            GIT_TRACE='\(trace)' && export GIT_TRACE
            '\(git1)' "$@"
            status=$?
            cat "$2/.git/config" >> '\(record)' 2>/dev/null
            exit $status

            """, to: "bin/git", mode: 0o755)
        var environment = login.environment.mapValues { $0 == "FILE" ? file.string : $0 }
        environment["GIT_PULL_METHOD"] = "http"
        environment["PATH"] = "\(site.folder.appending("bin")):" + (site.environment()["PATH"] ?? "/usr/bin:/bin")

        let program = try site.start(
            ["--dest", "app:1", "--no-push", "--oci-layout-path", site.layout.string, "--verbosity", "debug"],
            context: "git://\(git.host)/acme/app.git#refs/heads/main#\(commit)", environment: environment)
        var overheard: [String] = []
        var watched = 0
        while program.isRunning() {
            overheard += try commandLines(below: program.pid).filter { $0.contains(GitLogin.secret) }
            watched += 1
        }
        let build = Build(try program.wait())
        try #require(build.status == 0, "\(build.log)")

        #expect(try git.requests().contains { $0.status == 200 && $0.user == login.account })
        #expect(overheard == [] && watched > 0)
        let started = try text(of: trace)
        #expect(started.contains("git-remote-http") && !started.contains(GitLogin.secret))
        #expect(!build.log.contains(GitLogin.secret))
        let calls = try text(of: record)
        #expect(calls.contains("fetch") && calls.contains("[core]"))
        #expect(!calls.contains(GitLogin.secret))
        _ = try Umoci.unpack(site.layout, tag: "1", into: site.folder.appending("bundle"))
        let found = try Program.run([
            "grep", "--recursive", "--text", "--files-with-matches", GitLogin.secret,
            site.folder.appending("bundle").string,
            site.state.string, site.layout.string,
        ])
        #expect(found.text == "" && found.status == 1)
        try site.expectClean()
    }

    @Test("a repository on this machine is a context, at a branch, a tag, a commit, and its default branch")
    func localRepository() throws {
        let site = try BuildSite()
        let tree = try Application.standIn.lay(into: site.folder)
        let repository = try GitRepository(at: site.folder.appending("app.git"))
        let commit = try repository.commit(tree)
        try repository.git(["tag", "v1", "main"])
        let url = "file://\(repository.path)"
        let digests = try [
            "", "#refs/heads/main", "#main", "#refs/tags/v1", "#refs/heads/main#\(commit)", "##\(commit)", "#\(commit)",
        ]
        .map { try site.require(context: url + $0).digest }
        #expect(Set(digests).count == 1)
        #expect(digests.first != .some(nil))
    }

    @Test("an image goes to a registry that wants a password, which is in docker's own config file")
    func registryWithPassword() throws {
        let user = (name: "ann", password: "correct horse")
        let site = try BuildSite("FROM busybox\nCOPY file /file\n", files: ["file": "text\n"])
        let registry = try DockerRegistry(user: user)
        // printf 'ann:correct horse' | base64
        try site.folder.write(
            #"{"auths": {"\#(registry.host)": {"auth": "YW5uOmNvcnJlY3QgaG9yc2U="}}}"#, to: "docker/config.json",
            mode: 0o600)
        let environment = ["DOCKER_CONFIG": site.folder.appending("docker").string]
        let build = try site.require(
            ["--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app:1"], environment: environment)
        #expect(try registry.hasTag("1", in: "acme/app", user: user))
        #expect(!build.log.contains("correct horse") && !build.log.contains("YW5uOmNvcnJlY3QgaG9yc2U="))

        // What needs the password to be pushed needs it to be read as a base.
        try BusyboxImage.shared().push(to: registry, as: "library/base:1", user: user)
        try site.folder.write(
            "FROM \(registry.host)/library/base:1\nRUN test -f /bin/busybox\nCOPY file /file\n",
            to: "context/Dockerfile")
        try site.require(
            ["--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app:2"], environment: environment)
        #expect(try registry.hasTag("2", in: "acme/app", user: user))
    }

    @Test(
        "go-todo is tested, compiled and served from its commit",
        .enabled(if: Application.hasBases, "the base images of the demo are not there: run `make demo` first"))
    func goTodo() throws {
        let site = try BuildSite()
        let git = try GitServer()
        let registry = try DockerRegistry()
        let application = Application.goTodo
        let repository = try git.makeRepository("acme/go-todo.git", from: application.lay(into: site.folder))
        let commit = try repository.git(["rev-parse", "main"])
        let build = try site.require(
            ["--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/go-todo:\(commit)"]
                + application.arguments,
            context: "git://\(git.host)/acme/go-todo.git#refs/heads/main#\(commit)",
            environment: ["GIT_PULL_METHOD": "http"])
        _ = try expectWorks(
            application, from: "docker://\(registry.host)/acme/go-todo:\(commit)", digest: try #require(build.digest),
            in: site)
        try site.expectClean()
    }
}
