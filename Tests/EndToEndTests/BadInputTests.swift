import Glibc
import SystemPackage
import TestSupport
import Testing

/// A build that must fail, with what it must say. In texts `REGISTRY` stands for the test's registry, which is empty.
struct BadBuild: CustomTestStringConvertible, Sendable {
    let name: String
    var dockerfile: String?
    var files: [String: String] = ["file": "text\n"]
    var arguments: [String] = []
    var environment: [String: String] = [:]
    var status: Int32 = 1
    /// All of them: the place, the reason, the hint.
    let says: [String]
    var testDescription: String { name }

    static let all = [
        BadBuild(
            name: "no Dockerfile", files: ["Dockerfile.prod": "FROM scratch\n"],
            says: ["there is no 'Dockerfile'", "hint: found 'Dockerfile.prod': name it with --dockerfile"]),
        BadBuild(
            name: "an empty Dockerfile", dockerfile: "# nothing\n",
            says: ["the Dockerfile has no instructions", "hint: begin with FROM"]),
        BadBuild(
            name: "an unknown instruction", dockerfile: "FROM busybox\nCOPPY file /\n",
            says: [
                "Dockerfile:2: unknown instruction 'COPPY'", "> 2 | COPPY file /", "    | ^^^^^",
                "hint: did you mean COPY?",
            ]),
        BadBuild(
            name: "an unknown flag", dockerfile: "FROM busybox\n", arguments: ["--no-psuh"], status: 64,
            says: ["Unknown option '--no-psuh'"]),
        BadBuild(
            name: "an unknown flag of an instruction", dockerfile: "FROM busybox\nCOPY --chwon=1 file /\n",
            says: ["Dockerfile:2:", "--chwon", "hint: did you mean --chown?"]),
        BadBuild(
            name: "a value that a flag does not take", dockerfile: "FROM busybox\n",
            arguments: ["--isolation", "docker"], status: 64,
            says: ["docker", "--isolation"]),
        BadBuild(
            name: "a destination that is no reference", dockerfile: "FROM busybox\n",
            arguments: ["--dest", "Acme/App:1"], status: 64,
            says: ["Acme/App:1"]),
        BadBuild(
            name: "a source that is not there", dockerfile: "FROM busybox\nCOPY fiel /\n",
            says: [
                "Dockerfile:2: 'fiel' is not in the build context", "> 2 | COPY fiel /", "    |      ^^^^",
                "hint: did you mean 'file'?",
            ]),
        BadBuild(
            name: "a source that .dockerignore hides", dockerfile: "FROM scratch\nCOPY dist/ ./\n",
            files: ["dist/app": "app\n", ".dockerignore": "# outputs\n\ndist\n"],
            says: [
                "Dockerfile:2: 'dist' is not in the build context",
                "hint: it is excluded by line 3 of .dockerignore (\"dist\")",
            ]),
        BadBuild(
            name: "a source outside of the context", dockerfile: "FROM scratch\nCOPY ../home /\n",
            says: ["Dockerfile:2: 'home' is not in the build context"]),
        BadBuild(
            name: "a stage with another name",
            dockerfile: "FROM busybox AS build\nFROM scratch\nCOPY --from=Biuld /bin/busybox /\n",
            says: [
                "warning: Dockerfile:3: 'Biuld' is no stage before this one; did you mean 'build'?",
                "Dockerfile:3: 'Biuld' is no stage before this one; did you mean the stage 'build'? As an image",
                "> 3 | COPY --from=Biuld",
            ]),
        BadBuild(
            name: "a base with the name of a stage, nearly",
            dockerfile: "FROM busybox AS build\nFROM Build1\nCOPY --from=build /bin/busybox /\n",
            says: ["Dockerfile:2: 'Build1' is no stage before this one; did you mean the stage 'build'?"]),
        BadBuild(
            name: "a number in the place of a mount's stage",
            dockerfile: "FROM busybox\nRUN --mount=from=BASE,target=/x true\n".replacing("BASE", with: "0"),
            arguments: ["--build-context", "0=oci-layout:///nonexistent/layout"],
            says: ["Dockerfile:2: '0' is no stage", "hint: a number names a stage only in COPY --from"]),
        BadBuild(
            name: "a platform that is none", dockerfile: "FROM --platform=x/y/z/a scratch\nCOPY file /\n",
            says: ["Dockerfile:1: FROM --platform: 'x/y/z/a' is not a platform", "    |                 ^^^^^^^"]),
        BadBuild(
            name: "a variable that holds a URL",
            dockerfile: "FROM scratch\nARG U=https://example.com/file\nCOPY $U /\n",
            says: ["Dockerfile:3: COPY takes files, not URLs: 'https://example.com/file'", "hint: ADD fetches URLs"]),
        BadBuild(
            name: "a variable that holds the address of a repository",
            dockerfile: "FROM scratch\nARG U=https://example.com/a.git\nCOPY \"$U\" /\n",
            says: [
                "Dockerfile:3: COPY takes files, not Git repositories: 'https://example.com/a.git'",
                "hint: ADD fetches repositories",
            ]),
        BadBuild(
            name: "a target that is no stage", dockerfile: "FROM busybox AS build\n", arguments: ["--target", "biuld"],
            says: ["there is no stage 'biuld' to build", "hint: did you mean build?"]),
        BadBuild(
            name: "a base that its registry does not have", dockerfile: "FROM REGISTRY/library/none:1\nRUN true\n",
            says: [
                "Dockerfile:1: the base image 'REGISTRY/library/none:1' cannot be used", "MANIFEST_UNKNOWN", "404",
                "hint: check the tag",
            ]),
        BadBuild(
            name: "a base of a layout without that tag", dockerfile: "FROM base\n",
            arguments: ["--build-context", "base=oci-layout://BUSYBOX:nope"],
            says: ["Dockerfile:1: the base image 'base' cannot be used", "it has no image 'nope'; it has 'latest'"]),
        BadBuild(
            name: "a base for another platform", dockerfile: "FROM busybox\n",
            arguments: ["--platform", "linux/riscv64"],
            says: [
                "Dockerfile:1: busybox is an image for linux/", "the build is for linux/riscv64",
                "hint: choose the image's platform",
            ]),
        BadBuild(
            name: "a RUN without a way to run", dockerfile: "FROM busybox\nRUN true\n", arguments: ["--isolation=none"],
            says: ["Dockerfile:2: RUN is not possible with the isolation 'none'", "hint: run the build as root"]),
        BadBuild(
            name: "a user that the image does not know", dockerfile: "FROM busybox\nUSER nosuch\nRUN true\n",
            says: ["Dockerfile:3: USER nosuch", "nosuch"]),
        BadBuild(
            name: "a program that the image does not have", dockerfile: "FROM busybox\nRUN [\"/bin/nosuch\"]\n",
            says: ["Dockerfile:2:", "executable '/bin/nosuch' does not exist"]),
        BadBuild(
            name: "a docker config that is not JSON", dockerfile: "FROM scratch\nCOPY file /\n",
            files: ["file": "", "docker/config.json": "{\"auths\": {\n  oops}}"],
            environment: ["DOCKER_CONFIG": "CONTEXT/docker"],
            says: ["docker/config.json"]),
        BadBuild(
            name: "a time that is none", dockerfile: "FROM scratch\n", environment: ["SOURCE_DATE_EPOCH": "yesterday"],
            status: 64,
            says: ["SOURCE_DATE_EPOCH is 'yesterday'"]),
    ]

    /// What is not done: refused by name and place, before anything is pulled.
    static let refused = [
        BadBuild(
            name: "RUN --security=insecure",
            dockerfile: "FROM REGISTRY/library/busybox:1\nRUN --security=insecure true\n",
            says: ["Dockerfile:2: RUN --security=insecure is refused", "^^^^^"]),
        BadBuild(
            name: "RUN --device", dockerfile: "FROM REGISTRY/library/busybox:1\nRUN --device=vendor.com/gpu=all true\n",
            says: ["Dockerfile:2: RUN --device", "^^^^"]),
        BadBuild(
            name: "COPY of a URL", dockerfile: "FROM REGISTRY/library/busybox:1\nCOPY https://example.com/file /\n",
            says: [
                "Dockerfile:2: COPY takes files, not URLs: 'https://example.com/file'",
                "> 2 | COPY https://example.com/file /",
                "hint: ADD fetches URLs",
            ]),
    ]
}

@Suite("Bad input")
struct BadInputTests {
    /// Runs the build with a destination and a digest file, and expects of it all that every failure owes.
    @discardableResult
    private func expectFailure(
        _ bad: BadBuild, registry: DockerRegistry, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Build {
        let layout = try BusyboxImage.shared().layout.string
        let site = try BuildSite()
        func filled(_ text: String) -> String {
            text.replacing("REGISTRY", with: registry.host).replacing("CONTEXT", with: site.context.string)
                .replacing("BUSYBOX", with: layout)
        }
        if let dockerfile = bad.dockerfile { try site.folder.write(filled(dockerfile), to: "context/Dockerfile") }
        for (name, text) in bad.files { try site.folder.write(text, to: "context/\(name)") }
        let tar = site.folder.appending("image.tar")
        let build = try site.build(
            [
                "--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app:1", "--digest-file",
                site.digestFile.string,
            ]
                + ["--tar-path", tar.string] + bad.arguments.map(filled),
            environment: bad.environment.mapValues(filled))
        #expect(build.status == bad.status, "\(build.log)", sourceLocation: sourceLocation)
        for text in bad.says.map(filled) {
            #expect(build.log.contains(text), "'\(text)' is not in:\n\(build.log)", sourceLocation: sourceLocation)
        }
        #expect(build.output == "", sourceLocation: sourceLocation)
        #expect(!exists(site.digestFile) && !exists(tar), sourceLocation: sourceLocation)
        #expect(try !registry.hasTag("1", in: "acme/app"), sourceLocation: sourceLocation)
        try site.expectClean(sourceLocation: sourceLocation)
        return build
    }

    @Test("is told by place, reason and hint, and leaves nothing behind", arguments: BadBuild.all)
    func bad(_ bad: BadBuild) throws {
        try expectFailure(bad, registry: DockerRegistry())
    }

    @Test("what is not done is refused by its line before anything is pulled", arguments: BadBuild.refused)
    func refused(_ bad: BadBuild) throws {
        let registry = try DockerRegistry()
        try BusyboxImage.shared().push(to: registry, as: "library/busybox:1")
        let before = try registry.requests().count
        try expectFailure(bad, registry: registry)
        let pulls = try registry.requests().dropFirst(before).filter { $0.path.contains("/library/busybox/") }
        #expect(pulls == [])
    }

    @Test("a RUN that fails passes its exit code on", arguments: RunIsolation.possible)
    func failingRun(_ isolation: RunIsolation) throws {
        try expectFailure(
            BadBuild(
                name: "", dockerfile: "FROM busybox\nRUN echo made > /made\nRUN echo so far so good >&2; exit 42\n",
                arguments: [isolation.flag], status: 42,
                says: ["so far so good", "Dockerfile:3: the command failed with exit code 42", "> 3 | RUN echo"]),
            registry: DockerRegistry())
    }

    @Test("a RUN that a signal kills is told as such", arguments: RunIsolation.possible)
    func killedRun(_ isolation: RunIsolation) throws {
        // 128 and the number of the signal, as shells have it.
        for (signal, status) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] as [(String, Int32)] {
            try expectFailure(
                BadBuild(
                    name: "", dockerfile: "FROM busybox\nRUN kill -\(signal) $$; sleep 10\n",
                    arguments: [isolation.flag], status: status,
                    says: ["Dockerfile:2: the command was killed by signal \(status - 128)"]),
                registry: DockerRegistry())
        }
    }

    @Test("a wrong password is refused with the name of the file it is from")
    func wrongPassword() throws {
        let registry = try DockerRegistry(user: ("ann", "secret"))
        let site = try BuildSite("FROM scratch\nCOPY file /\n", files: ["file": "text\n"])
        // printf 'ann:wrong-password' | base64
        let config = try site.folder.write(
            #"{"auths": {"\#(registry.host)": {"auth": "YW5uOndyb25nLXBhc3N3b3Jk"}}}"#, to: "docker/config.json")
        let build = try site.build(
            [
                "--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app:1", "--digest-file",
                site.digestFile.string,
            ],
            environment: ["DOCKER_CONFIG": site.folder.appending("docker").string])
        #expect(build.status == 1)
        #expect(build.log.contains("refused the credentials from") && build.log.contains(config.string), "\(build.log)")
        #expect(!build.log.contains("wrong-password") && !build.log.contains("YW5uOndyb25nLXBhc3N3b3Jk"))
        #expect(!exists(site.digestFile))
        try site.expectClean()
    }

    @Test(
        "a registry that is not there is named, for a base and for a destination",
        arguments: ["FROM REGISTRY/base:1\n", "FROM scratch\nCOPY file /\n"])
    func registryDown(_ dockerfile: String) throws {
        let host = "127.0.0.1:\(try freePort())"
        let site = try BuildSite(dockerfile.replacing("REGISTRY", with: host), files: ["file": "text\n"])
        let build = try site.build(
            ["--insecure-registry", host, "--dest", "\(host)/acme/app:1", "--digest-file", site.digestFile.string])
        #expect(build.status == 1)
        #expect(build.log.contains(host) && build.log.lowercased().contains("connect"), "\(build.log)")
        #expect(!exists(site.digestFile))
        try site.expectClean()
    }

    @Test("a base layer that its registry damaged is told by its digest, and nothing of it is kept")
    func damagedBase() throws {
        let registry = try DockerRegistry()
        try BusyboxImage.shared().push(to: registry, as: "library/base:1")
        let layer = try #require(try Skopeo.summary(of: "docker://\(registry.host)/library/base:1")["Layers"][0].string)
        let digits = layer.split(separator: ":")[1]
        // One byte in the middle; the size stays.
        try Program.require([
            "sh", "-ec",
            #"f=$(find "$1" -path "*$2/data"); printf '\377\000\377' | dd of="$f" bs=1 seek=500000 conv=notrunc status=none"#,
            "damage", registry.storage.string, String(digits),
        ])
        let site = try BuildSite("FROM \(registry.host)/library/base:1\nRUN true\n")
        let build = try site.build(
            [
                "--insecure-registry", registry.host, "--dest", "\(registry.host)/acme/app:1", "--digest-file",
                site.digestFile.string,
            ])
        #expect(build.status == 1)
        #expect(build.log.contains(layer), "\(build.log)")
        #expect(build.log.contains("digest"), "\(build.log)")
        #expect(try !registry.hasTag("1", in: "acme/app"))
        #expect(!exists(site.digestFile) && !exists(site.state.appending("blobs/sha256/\(digits)")))
        try site.expectClean()
    }

    @Test(
        "a full disk is told with a hint, and the scratch is gone",
        .enabled(if: isRoot && !RunIsolation.possible.isEmpty), arguments: [1, 5])
    func fullDisk(megabytes: Int) throws {
        // The base's layer has about 1 MB: one disk is full while it arrives, the other in the RUN's own files or their layer.
        let site = try BuildSite("FROM busybox\nRUN dd if=/dev/urandom of=/big bs=65536 count=200\n")
        try site.folder.makeDirectory("state")
        // In a mount namespace of its own, which takes the mount with it.
        let script = """
            mount -t tmpfs -o size=\(megabytes)m none "$1" || exit 99
            state=$1
            shift
            "$@"
            status=$?
            ls -A "$state/work"
            exit $status
            """
        let outcome = try Program.run(
            ["unshare", "--mount", "sh", "-c", script, "full", site.state.string, BuildSite.program.string]
                + site.arguments()
                + ["--no-push", "--dest", "app:1", "--digest-file", site.digestFile.string],
            environment: site.environment(), in: site.folder.path)
        #expect(outcome.status == 1, "\(outcome.errorText)")
        #expect(outcome.errorText.contains("No space left on device"), "\(outcome.errorText)")
        if megabytes == 1 {
            #expect(
                outcome.errorText.contains("hint: free space in the state folder's file system"), "\(outcome.errorText)"
            )
        }
        #expect(outcome.text == "", "work/ is not empty")
        #expect(!exists(site.digestFile))
        try site.expectClean()
    }

    @Test("a mistyped stage is told before a registry answers, which may take its time", .timeLimit(.minutes(5)))
    func mistypedStage() throws {
        let site = try BuildSite("FROM busybox AS build\nFROM scratch\nCOPY --from=biuld /bin/busybox /\n")
        // Nobody answers: a proxy that takes connections and says nothing.
        let proxy = try SilentServer()
        let build = try site.start(
            ["--no-push"], environment: ["https_proxy": "http://127.0.0.1:\(proxy.port)"])
        let warning = "warning: Dockerfile:3: 'biuld' is no stage before this one; did you mean 'build'?"
        #expect(try eventually { try build.errorText().contains(warning) })
        #expect(build.isRunning())
        build.signal(SIGTERM)
        #expect(try build.wait().status == 143)
    }

    @Test("a stage that nobody needs is neither resolved nor run, broken as it may be")
    func unneededStages() throws {
        let registry = try DockerRegistry()
        let site = try BuildSite(
            """
            FROM \(registry.host)/no/such:image AS unneeded
            RUN false
            FROM unneeded AS further
            COPY nothing /
            FROM busybox AS needed
            RUN echo made > /made
            FROM scratch AS last
            COPY --from=needed /made /
            FROM \(registry.host)/neither/this AS after
            COPY --from=\(registry.host)/nor/that /x /

            """)
        let build = try site.require(["--insecure-registry", registry.host, "--no-push", "--target", "last"])
        #expect(build.digest != nil)
        #expect(try registry.requests() == [])
    }
}

/// A Git context that must be refused. `URL` stands for the repository's, `COMMIT` for the commit on its branch `main`.
struct BadRepository: CustomTestStringConvertible, Sendable {
    let name: String
    let context: String
    var environment: [String: String] = [:]
    var status: Int32 = 1
    let says: [String]
    var testDescription: String { name }

    static let all = [
        BadRepository(
            name: "a ref that is not there", context: "URL/acme/app.git#refs/heads/gone",
            says: ["the ref refs/heads/gone does not exist in", "acme/app.git", "hint: write it in full"]),
        BadRepository(
            name: "a commit that is not there",
            context: "URL/acme/app.git#refs/heads/main#1234567890123456789012345678901234567890",
            says: [
                "the commit 1234567890123456789012345678901234567890 is not in the history of refs/heads/main",
                "hint: it may have been replaced by a force-push",
            ]),
        BadRepository(
            name: "the commit of a deleted branch",
            context: "URL/acme/app.git#refs/heads/main#0000000000000000000000000000000000000000",
            status: 64,
            says: ["the commit is all zeros", "a branch was deleted", "hint: filter deleted branches in the trigger"]),
        BadRepository(
            name: "a word in the place of the commit", context: "URL/acme/app.git#refs/heads/main#v1.2", status: 64,
            says: ["'v1.2' is not a commit", "URL#REF#COMMIT"]),
        BadRepository(
            name: "an option in the place of the ref", context: "URL/acme/app.git#--upload-pack=touch /tmp/x",
            status: 64,
            says: ["is not a Git ref"]),
        BadRepository(
            name: "no such repository", context: "URL/acme/none.git#refs/heads/main",
            says: ["there is no Git repository at", "acme/none.git", "hint: credentials came from GIT_TOKEN"]),
        BadRepository(
            name: "a wrong token", context: "URL/acme/app.git#refs/heads/main",
            environment: ["GIT_TOKEN": "wrong-token"],
            says: ["refused the credentials from GIT_TOKEN", "hint: check that they are valid"]),
        BadRepository(
            name: "no token", context: "URL/acme/app.git#refs/heads/main", environment: ["GIT_TOKEN": ""],
            says: ["wants credentials, and none were given", "hint: set GIT_TOKEN"]),
        BadRepository(
            name: "a token file that is not there", context: "URL/acme/app.git",
            environment: ["GIT_TOKEN": "", "GIT_TOKEN_FILE": "/nonexistent/token"], status: 64,
            says: ["GIT_TOKEN_FILE", "/nonexistent/token", "No such file or directory"]),
    ]
}

@Suite("Bad repositories")
struct BadRepositoryTests {
    @Test("are told by repository, ref or commit, with a hint, and no secret", arguments: BadRepository.all)
    func bad(_ bad: BadRepository) throws {
        let site = try BuildSite()
        let git = try GitServer(user: ("x-access-token", "right-token"))
        _ = try git.makeRepository("acme/app.git", from: Application.standIn.lay(into: site.folder))
        let build = try site.build(
            ["--no-push", "--digest-file", site.digestFile.string],
            context: bad.context.replacing("URL", with: "git://\(git.host)"),
            environment: ["GIT_PULL_METHOD": "http", "GIT_TOKEN": "right-token"].merging(bad.environment) { $1 })
        #expect(build.status == bad.status, "\(build.log)")
        for text in bad.says { #expect(build.log.contains(text), "'\(text)' is not in:\n\(build.log)") }
        #expect(!build.log.contains("right-token") && !build.log.contains("wrong-token"))
        #expect(build.output == "" && !exists(site.digestFile))
        try site.expectClean()
    }
}
