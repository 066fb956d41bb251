import SystemPackage
import TestSupport
import Testing

/// A push at GitHub, taken through the files of docs/argo to the command that the pod runs, and that command's image.
@Suite("In an Argo workflow")
struct ArgoTests {
    private static let token = "s3cret-of-the-repository"
    private static let password = "s3cret-of-the-registry"

    /// A Git server and a registry that both want to know who asks, and a repository.
    private struct Cluster {
        let site: BuildSite
        let git: GitServer
        let registry: DockerRegistry
        let repository: GitRepository
        let commit: String

        init() throws {
            site = try BuildSite()
            git = try GitServer(user: ("x-access-token", ArgoTests.token))
            registry = try DockerRegistry(user: ("ann", ArgoTests.password))
            try site.folder.write("FROM scratch\nCOPY file /file\n", to: "tree/Dockerfile")
            try site.folder.write("text\n", to: "tree/file")
            repository = try git.makeRepository("acme/go-todo.git", from: site.folder.appending("tree"))
            commit = try repository.git(["rev-parse", "main"])
        }

        var image: String { "\(registry.host)/acme/go-todo" }

        /// The step that a push makes, if it makes one.
        func step(
            _ template: String = "build-imgbuild-git", after: String? = nil, ref: String = "refs/heads/main",
            deleted: Bool = false, arguments: [String] = []
        ) throws -> JSONValue? {
            let recorded = try text(of: Fixtures.programs.appending("github-push.json"))
            let event = recorded.replacing("COMMIT", with: after ?? commit).replacing("GITHOST", with: git.host)
                .replacing("\"ref\": \"refs/heads/main\"", with: "\"ref\": \"\(ref)\"")
                .replacing("\"deleted\": false", with: "\"deleted\": \(deleted)")
            let file = try site.folder.write(event, to: "event.json")
            let docs = Fixtures.programs.removingLastComponent().removingLastComponent().appending("docs/argo")
            let found = try Program.require(
                [
                    "python3", Fixtures.programs.appending("argo-step.py").string, docs.string, file.string,
                    site.folder.appending("pod").string, template, "container_image=\(image)",
                ] + arguments)
            let step = try JSONValue(parsing: found.output)
            return step == .null ? nil : step
        }

        /// Runs a step as a pod would: ConfigMap and Secret are mounted as Kubernetes mounts them, links to links, read-only.
        func run(_ step: JSONValue) throws -> Build {
            var environment = ["GIT_PULL_METHOD": "http"]
            for (mount, volume) in step["mounts"].object ?? [:] {
                switch volume.string {
                case "docker-config":
                    let entry = "\"\(registry.host)\": {\"username\": \"ann\", \"password\": \"\(ArgoTests.password)\"}"
                    try mountFile("config.json", "{\"auths\": {\(entry)}}", at: mount)
                    // The builder looks into /kaniko/.docker by itself; a test has no folder there.
                    environment["DOCKER_CONFIG"] = mount
                case "github-access": try mountFile("token", ArgoTests.token, at: mount)
                default: try Program.require(["mkdir", "-p", mount])
                }
            }
            for name in step["secret"].array ?? [] { environment[name.string ?? ""] = ArgoTests.token }
            for (name, value) in step["env"].object ?? [:] { environment[name] = value.string }
            var command = (step["command"].array ?? []).compactMap(\.string)
            try #require(command.first == "imgbuild")
            command[0] = BuildSite.program.string
            if !command.contains(where: { $0.hasPrefix("--state-dir") }) {
                environment["IMGBUILD_STATE_DIR"] = site.state.string
            }
            return Build(
                try Program.run(command, environment: site.environment(adding: environment), in: site.folder.path))
        }

        private func mountFile(_ name: String, _ text: String, at mount: String) throws {
            try Program.require(["mkdir", "-p", "\(mount)/..2026_11_22"])
            try Program.require(
                ["sh", "-c", "cat > '\(mount)/..2026_11_22/\(name)'"], input: Array(text.utf8))
            try Program.require(["ln", "-sfn", "..2026_11_22", "\(mount)/..data"])
            try Program.require(["ln", "-sfn", "..data/\(name)", "\(mount)/\(name)"])
        }

        func hasTag(_ tag: String) throws -> Bool {
            try registry.hasTag(tag, in: "acme/go-todo", user: ("ann", ArgoTests.password))
        }
    }

    @Test(
        "a push makes the image of its commit, tagged with it", arguments: ["build-kaniko-git", "build-imgbuild-git"])
    func push(_ template: String) throws {
        let cluster = try Cluster()
        let step = try #require(try cluster.step(template))
        let build = try cluster.run(step)
        #expect(build.status == 0, "\(build.log)")
        #expect(try cluster.hasTag(cluster.commit))
        for output in step["outputs"].array ?? [] {
            #expect(try text(of: FilePath(output.string ?? "")) == build.digest)
        }
        #expect((template == "build-imgbuild-git") == !(step["outputs"].array ?? []).isEmpty)
        for secret in [Self.token, Self.password] { #expect(!build.log.contains(secret)) }

        // GitHub delivers a webhook again when somebody asks it to.
        let again = try cluster.run(step)
        #expect(again.status == 0 && again.digest == build.digest, "\(again.log)")
    }

    @Test("what is no push to main starts nothing")
    func filters() throws {
        let cluster = try Cluster()
        #expect(try cluster.step(ref: "refs/heads/main2") == nil)
        #expect(try cluster.step(ref: "refs/tags/v1") == nil)
        #expect(try cluster.step(after: String(repeating: "0", count: 40), deleted: true) == nil)
    }

    @Test(
        "parameters that are empty, or HEAD, mean the tip of what is named",
        arguments: [
            ["repo_ref=", "repo_commit_id="], ["repo_ref=", "repo_commit_id=HEAD"],
            ["repo_ref=refs/heads/main", "repo_commit_id=HEAD"], ["repo_ref=main", "repo_commit_id="],
        ])
    func tip(_ parameters: [String]) throws {
        let cluster = try Cluster()
        let step = try #require(try cluster.step(arguments: parameters + ["container_tag=tip"]))
        let build = try cluster.run(step)
        #expect(build.status == 0, "\(build.log)")
        #expect(build.log.contains(cluster.commit))
        #expect(try cluster.hasTag("tip"))
    }

    @Test("a pushed tag is built, also when it is an object of its own")
    func tag() throws {
        let cluster = try Cluster()
        try cluster.repository.git(["tag", "--annotate", "--message", "First", "v1", "main"])
        let object = try cluster.repository.git(["rev-parse", "v1"])
        #expect(object != cluster.commit)
        let step = try #require(
            try cluster.step(
                arguments: ["repo_ref=refs/tags/v1", "repo_commit_id=\(object)", "container_tag=v1"]))
        let build = try cluster.run(step)
        #expect(build.status == 0, "\(build.log)")
        #expect(try cluster.hasTag("v1"))
    }

    @Test("a branch's name is no tag, and is told before anything is cloned")
    func badTag() throws {
        let cluster = try Cluster()
        let step = try #require(try cluster.step(arguments: ["container_tag=feature/dates"]))
        let build = try cluster.run(step)
        #expect(build.status == 64 && build.log.contains("feature/dates"), "\(build.log)")
        #expect(try cluster.git.requests().isEmpty)
    }

    @Test("the commit of the event is built although somebody replaced the branch meanwhile")
    func forcePush() throws {
        let cluster = try Cluster()
        // As GitHub, which still hands out what no ref leads to.
        try cluster.repository.git(["config", "uploadpack.allowAnySHA1InWant", "true"])
        let step = try #require(try cluster.step())
        try cluster.repository.git(["update-ref", "-d", "refs/heads/main"])
        try cluster.site.folder.write("FROM scratch\nCOPY other /file\n", to: "tree/Dockerfile")
        try cluster.site.folder.write("other\n", to: "tree/other")
        let other = try cluster.repository.commit(cluster.site.folder.appending("tree"))
        #expect(other != cluster.commit)
        let build = try cluster.run(step)
        #expect(build.status == 0 && build.log.contains("COPY file /file"), "\(build.log)")
        #expect(try cluster.hasTag(cluster.commit))
    }

    @Test("a deleted branch that gets past the filters is told as such, and nothing is asked of any server")
    func deletedBranch() throws {
        let cluster = try Cluster()
        let step = try #require(try cluster.step(after: String(repeating: "0", count: 40)))
        let build = try cluster.run(step)
        #expect(build.status == 64 && build.log.contains("when a branch was deleted"), "\(build.log)")
        #expect(try cluster.git.requests().isEmpty && cluster.registry.requests().isEmpty)
    }
}
