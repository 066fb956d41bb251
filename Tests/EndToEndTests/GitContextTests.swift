import SystemPackage
import TestSupport
import Testing

@Suite("Git contexts", .enabled(if: isRoot, "owners of unpacked files need root"))
struct GitContextTests {
    private static let secret = "s3cret-of-the-context"
    private static let http = ["GIT_PULL_METHOD": "http"]

    /// Runs a shell script with a git of no configuration but a user's name, in a new folder.
    private func script(_ text: String) throws {
        let folder = try TemporaryDirectory()
        try Program.require(
            ["sh", "-ec", text],
            environment: Program.environment(adding: [
                "HOME": folder.path.string, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "T",
                "GIT_AUTHOR_EMAIL": "t@example.com", "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.com",
            ]), in: folder.path)
    }

    private func lay(_ files: [String: String], into site: BuildSite, name: String = "tree") throws -> FilePath {
        for (file, text) in files { try site.folder.write(text, to: "\(name)/\(file)") }
        return site.folder.appending(name)
    }

    // MARK: Flags

    @Test("--git names a branch, which wins over the context's ref, and how much history .git gets")
    func branchAndDepth() throws {
        let site = try BuildSite()
        let repository = try GitRepository(at: site.folder.appending("app.git"))
        try repository.commit(try lay(["Dockerfile": BuildSite.copyAll, "file": "main"], into: site))
        for text in ["side 1", "side 2", "side 3"] {
            try repository.commit(try lay(["file": text], into: site), to: "side")
        }
        let context = "file://\(repository.path)#refs/heads/main"
        let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]
        #expect(try site.copied(context).files["/file"] == "main")
        let branch = ["--git", "branch=side", "--git=single-branch=true"]
        let plain = try site.copied(context, branch)
        #expect(plain.files["/file"] == "side 3" && plain.files["/.git"] == nil)

        for (depth, count) in [("1", "1"), ("2", "2"), ("0", "3")] {
            _ = try site.copied(context, branch + keep + ["--git=depth=\(depth)"])
            let bundle = try TemporaryDirectory()
            let tree = try Umoci.unpack(site.layout, tag: "1", into: bundle.appending("bundle"))
            let said = try Program.require(
                ["git", "-c", "safe.directory=*", "-C", tree.root.string, "rev-list", "--count", "HEAD"])
            #expect(said.text == count + "\n")
        }
        try site.expectClean()
    }

    @Test(
        "a --git that means nothing is a wrong command line",
        arguments: [
            (["--git", "brnach=x"], "--git has no key 'brnach'", "did you mean branch?"),
            (["--git", "shallow=1"], "--git has no key 'shallow'", "there are branch, depth"),
            (["--git", "branch"], "--git 'branch': expected key=value", ""),
            (["--git", "depth=-1"], "--git depth is '-1'", ""),
            (["--git", "depth=all"], "--git depth is 'all'", "0 for all"),
            (["--git", "recurse-submodules=yes"], "--git recurse-submodules is 'yes'", "true or false"),
            (["--git", "single-branch=2"], "--git single-branch is '2'", ""),
        ])
    func wrongFlags(_ flags: [String], _ message: String, _ more: String) throws {
        let build = try BuildSite().build("git://git.invalid/app.git", flags)
        #expect(build.status == 64 && build.log.contains(message) && build.log.contains(more), "\(build.log)")
        #expect(try BuildSite().build(".", ["--git", "branch=x"]).log.contains("the context is no Git repository"))
    }

    @Test("--git insecure-skip-tls=true takes a certificate that nobody vouches for; without it the build fails")
    func certificate() throws {
        let site = try BuildSite()
        try Program.require(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem",
            ], in: site.folder.path)
        let both = try text(of: site.folder.appending("key.pem")) + text(of: site.folder.appending("certificate.pem"))
        let server = try GitServer(certificate: site.folder.write(both, to: "both.pem"))
        _ = try server.makeRepository(
            "app.git", from: try lay(["Dockerfile": BuildSite.copyAll, "file": "text"], into: site))
        let context = "git://\(server.host)/app.git"
        let refused = try site.build(context, [])
        #expect(refused.status == 1 && refused.log.contains("is not trusted"), "\(refused.log)")
        #expect(refused.log.contains("hint: if its authority is one of your own, name a bundle that has it"))
        let authority = ["GIT_SSL_CAINFO": site.folder.appending("certificate.pem").string]
        #expect(try site.copied(context, environment: authority).files["/file"] == "text")
        #expect(try site.copied(context, ["--git", "insecure-skip-tls=true"]).files["/file"] == "text")
    }

    // MARK: Submodules

    @Test("submodules come along if they are wanted, and the token goes to the context's own host alone")
    func submodules() throws {
        let site = try BuildSite()
        let own = try GitServer(user: ("x-access-token", Self.secret))
        let other = try GitServer()
        let foreign = try GitServer(user: ("x-access-token", Self.secret))
        _ = try own.makeRepository("lib.git", from: try lay(["inner": "own"], into: site, name: "lib"))
        let deep = try other.makeRepository("deep.git", from: try lay(["bottom": "deep"], into: site, name: "deep"))
        let middle = try other.makeRepository(
            "middle.git", from: try lay(["inner": "other"], into: site, name: "middle"))
        let app = try own.makeRepository(
            "app.git", from: try lay(["Dockerfile": BuildSite.copyAll, "file": "text"], into: site))
        // Written by hand: git's own command would have to fetch from the servers with the token.
        func link(_ repository: GitRepository, _ branch: String, _ modules: [(String, String, FilePath)]) throws {
            let links = try modules.map { name, _, path in
                let commit = try Program.require(["git", "--git-dir", path.string, "rev-parse", "main"]).text
                return "git update-index --add --cacheinfo 160000,\(commit.filter { !$0.isNewline }),\(name)"
            }
            let texts = modules.map { "[submodule \"\($0.0)\"]\n\tpath = \($0.0)\n\turl = \($0.1)\n" }.joined()
            try script(
                """
                git clone -q \(repository.path) work; cd work
                cat > .gitmodules <<'END'
                \(texts)
                END
                git add .gitmodules
                \(links.joined(separator: "\n"))
                git commit -q -m modules
                git push -q origin HEAD:refs/heads/\(branch)
                """)
        }
        try link(middle, "main", [("deep", "../deep.git", deep.path)])
        let library = own.repositories.appending("lib.git")
        try link(
            app, "with",
            [("lib", "../lib.git", library), ("vendor", "http://\(other.host)/middle.git", middle.path)])
        try link(app, "foreign", [("lib", "http://\(foreign.host)/lib.git", library)])

        let context = "git://\(own.host)/app.git"
        let environment = Self.http.merging(["GIT_TOKEN": Self.secret]) { $1 }
        let modules = ["--git", "recurse-submodules=true"]
        let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]
        let without = try site.copied("\(context)#with", environment: environment)
        #expect(without.files["/lib/inner"] == nil && without.files["/file"] == "text")
        for flags in [modules, modules + keep] {
            let (files, build) = try site.copied("\(context)#with", flags, environment: environment)
            #expect(files["/lib/inner"] == "own" && files["/vendor/inner"] == "other")
            #expect(files["/vendor/deep/bottom"] == "deep")
            #expect((files["/lib/.git"] == nil) == (flags == modules))
            try site.expectNowhere(Self.secret, build)
        }
        #expect(try own.requests().contains { $0.user == "x-access-token" })
        #expect(try other.requests().contains { $0.path.contains("deep.git") })
        #expect(try other.requests().allSatisfy { $0.user == nil })

        let failed = try site.build("\(context)#foreign", modules, environment: environment)
        #expect(failed.status == 1 && failed.log.contains("the submodules of"), "\(failed.log)")
        #expect(failed.log.contains("hint: credentials are given to the repository's own host only"), "\(failed.log)")
        #expect(try foreign.requests().allSatisfy { $0.user == nil })
        try site.expectNowhere(Self.secret, failed)
        try site.expectClean()
    }

    // MARK: Large files

    @Test("files in Git LFS are fetched with the token; without git-lfs their pointers are not taken for them")
    func largeFiles() throws {
        let site = try BuildSite()
        let server = try GitServer(user: ("x-access-token", Self.secret))
        let repository = try server.makeRepository(
            "app.git", from: try lay(["Dockerfile": BuildSite.copyAll, "file": "text"], into: site))
        try script(
            """
            git clone -q file://\(repository.path) work; cd work
            git lfs install --local >/dev/null
            git lfs track '*.bin' >/dev/null
            printf 'large content' > data.bin
            git add .; git commit -q -m large
            git push -q origin HEAD:refs/heads/main
            """)
        let context = "git://\(server.host)/app.git#refs/heads/main"
        let environment = Self.http.merging(["GIT_TOKEN": Self.secret]) { $1 }
        let (files, build) = try site.copied(context, environment: environment)
        #expect(files["/data.bin"] == "large content" && files["/file"] == "text")
        #expect(try server.requests().contains { $0.path.hasSuffix("/objects/batch") && $0.status == 200 })
        try site.expectNowhere(Self.secret, build)
        #expect(try site.copied("file://\(repository.path)").files["/data.bin"] == "large content")

        // A machine without git-lfs.
        try Program.require(
            ["sh", "-ec", "mkdir bin; for p in git sh; do ln -s \"$(command -v $p)\" bin/; done"], in: site.folder.path)
        let poor = environment.merging(["PATH": site.folder.appending("bin").string]) { $1 }
        let refused = try site.build(context, [], environment: poor)
        #expect(refused.status == 1 && refused.log.contains("'data.bin' of http://"), "\(refused.log)")
        #expect(refused.log.contains("is a pointer of Git LFS") && refused.log.contains("hint: install git-lfs"))

        let skip = try site.copied(context, environment: poor.merging(["GIT_LFS_SKIP_SMUDGE": "1"]) { $1 })
        #expect(skip.files["/data.bin"]?.hasPrefix("version https://git-lfs") == true)
        #expect(skip.build.log.contains("warning: 'data.bin' of http://"))
        let skipped = try site.copied(context, environment: environment.merging(["GIT_LFS_SKIP_SMUDGE": "1"]) { $1 })
        #expect(skipped.files["/data.bin"]?.hasPrefix("version https://git-lfs") == true)

        // What the build would not copy is no reason to fail.
        try script(
            """
            git clone -q file://\(repository.path) work; cd work
            printf '*.bin\\n' > .dockerignore
            git add .dockerignore; git commit -q -m ignore; git push -q origin HEAD:refs/heads/ignore
            """)
        let ignoring = try site.copied("git://\(server.host)/app.git#ignore", environment: poor)
        #expect(ignoring.files["/data.bin"] == nil && ignoring.files["/file"] == "text")
        try site.expectClean()
    }

    @Test("a large file that its server does not have is an error that names it")
    func missingLargeFile() throws {
        let site = try BuildSite()
        let pointer = """
            version https://git-lfs.github.com/spec/v1
            oid sha256:\(String(repeating: "ab", count: 32))
            size 12

            """
        let server = try GitServer()
        _ = try server.makeRepository(
            "app.git",
            from: try lay(
                [
                    "Dockerfile": BuildSite.copyAll, "data.bin": pointer,
                    ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
                ], into: site))
        let build = try site.build("git://\(server.host)/app.git", [], environment: Self.http)
        #expect(build.status == 1 && build.log.contains("the Git LFS files of"), "\(build.log)")
        #expect(build.log.contains("data.bin") && build.log.contains("hint: to build with the pointers"))
    }

    // MARK: Credentials

    @Test("a token comes from --git-token-file as a secret is mounted, with the line end that it has there")
    func tokenFile() throws {
        let site = try BuildSite()
        let server = try GitServer(user: ("x-access-token", Self.secret))
        _ = try server.makeRepository(
            "app.git", from: try lay(["Dockerfile": BuildSite.copyAll, "file": "text"], into: site))
        let file = try site.folder.write("\(Self.secret)\r\n", to: "secrets/token", mode: 0o444)
        let context = "git://\(server.host)/app.git##"
        let (files, build) = try site.copied(context, ["--git-token-file", file.string], environment: Self.http)
        #expect(files["/file"] == "text")
        try site.expectNowhere(Self.secret, build)
        let inVariable = Self.http.merging(["GIT_TOKEN": Self.secret + "\n"]) { $1 }
        #expect(try site.copied(context, environment: inVariable).files["/file"] == "text")
        let twoLines = Self.http.merging(["GIT_TOKEN": "\(Self.secret)\nhost=example.com"]) { $1 }
        let refused = try site.build(context, [], environment: twoLines)
        #expect(refused.status == 64 && refused.log.contains("GIT_TOKEN: a secret of more than one line"))
        try site.expectNowhere(Self.secret, refused)
    }

    @Test("a token in the address, as the name or the password, goes into no file and no message")
    func tokenInAddress() throws {
        let site = try BuildSite()
        let right = try GitServer(user: (Self.secret, ""))
        let wrong = try GitServer(user: ("ann", "another"))
        let tree = try lay(["Dockerfile": BuildSite.copyAll, "file": "text"], into: site)
        for server in [right, wrong] { _ = try server.makeRepository("app.git", from: tree) }
        let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]
        let (files, build) = try site.copied(
            "git://\(Self.secret)@\(right.host)/app.git", keep, environment: Self.http)
        #expect(files["/.git/config"]?.contains("http://\(right.host)/app.git") == true)
        try site.expectNowhere(Self.secret, build)
        for user in [Self.secret, "ann:\(Self.secret)"] {
            let refused = try site.build(
                "git://\(user)@\(wrong.host)/app.git", ["-v", "debug"], environment: Self.http)
            #expect(refused.log.contains("refused the credentials from the user information in the URL"))
            try site.expectNowhere(Self.secret, refused)
        }
    }

    // MARK: SSH

    private func makeSSHSite() throws -> (site: BuildSite, server: SSHServer, context: String) {
        let site = try BuildSite()
        let server = try SSHServer()
        let repository = try GitRepository(at: site.folder.appending("repositories/app.git"))
        try repository.commit(try lay(["Dockerfile": BuildSite.copyAll, "file": "over ssh"], into: site))
        return (site, server, "ssh://\(server.authority)\(repository.path)#refs/heads/main")
    }

    @Test("over SSH a repository is read with a key file as it is mounted, an agent's key, or a command")
    func ssh() throws {
        let (site, server, context) = try makeSSHSite()
        let hosts = ["--git-ssh-known-hosts", server.knownHosts.string]
        #expect(try site.copied(context, hosts + ["--git-ssh-key", server.key.string]).files["/file"] == "over ssh")

        // Readable for all, with the line ends of another system and without the last one.
        let key = try text(of: server.key).replacing("\n", with: "\r\n")
        let mounted = try site.folder.write(String(key.reversed().drop { $0.isNewline }.reversed()), to: "secrets/key")
        let variables = [
            "GIT_SSH_KEY_FILE": mounted.string, "GIT_SSH_KNOWN_HOSTS_FILE": server.knownHosts.string,
        ]
        let (files, build) = try site.copied(context, environment: variables)
        #expect(files["/file"] == "over ssh")
        let line = try #require(try text(of: server.key).split(separator: "\n").dropFirst().first)
        try site.expectNowhere(String(line), build)

        let command =
            "ssh -i \(server.key) -o IdentitiesOnly=yes -o UserKnownHostsFile=\(server.knownHosts) -o BatchMode=yes"
        #expect(try site.copied(context, environment: ["GIT_SSH_COMMAND": command]).files["/file"] == "over ssh")
        let both = try site.build(context, hosts, environment: ["GIT_SSH_COMMAND": command])
        #expect(both.status == 64 && both.log.contains("have no effect beside GIT_SSH_COMMAND"))

        let agent = try SSHAgent()
        try server.admit(agent.publicKey)
        let socket = ["SSH_AUTH_SOCK": agent.socket.string]
        #expect(try site.copied(context, hosts, environment: socket).files["/file"] == "over ssh")
        try site.expectClean()
    }

    @Test("a host that is unknown, or has another key than the known one, gets nothing; nor does a refused key go on")
    func sshRefusals() throws {
        let (site, server, context) = try makeSSHSite()
        let key = ["--git-ssh-key", server.key.string]
        let empty = try site.folder.write("", to: "nobody")
        let hosts = ["--git-ssh-known-hosts", server.knownHosts.string]
        let cases: [([String], [String])] = [
            (
                key + ["--git-ssh-known-hosts", empty.string],
                ["an unknown host is not trusted", "hint: name a file with the host's key with --git-ssh-known-hosts"]
            ),
            (
                key + ["--git-ssh-known-hosts", try server.makeWrongKnownHosts().string],
                ["has another key than the one that is known", "hint: if the host did change its key"]
            ),
            (
                hosts + ["--git-ssh-key", server.strangeKey.string],
                ["refused the SSH key", "Permission denied (publickey)", "hint: name a key that may read it"]
            ),
            (hosts + ["--git-ssh-key", "/nonexistent/key"], ["the SSH key '/nonexistent/key' cannot be read"]),
        ]
        for (flags, parts) in cases {
            let build = try site.build(context, flags)
            #expect(build.status == 1)
            for part in parts { #expect(build.log.contains(part), "\(build.log)") }
            #expect(!build.log.contains("TOKEN"), "\(build.log)")
        }
        let gone = try site.build("ssh://\(server.authority)/nonexistent/app.git", hosts + key)
        #expect(gone.log.contains("there is no Git repository at ssh://\(server.authority)"), "\(gone.log)")
        #expect(gone.log.contains("hint: check the address"))
        let password = try site.build(context.replacing("@", with: ":\(Self.secret)@"), [])
        #expect(password.status == 64 && password.log.contains("has a password, which SSH does not take"))
        try site.expectNowhere(Self.secret, password)
        try site.expectClean()
    }
}
