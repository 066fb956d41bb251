import Glibc
import SystemPackage
import TestSupport
import Testing

@Suite("The same source gives the same bytes", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct ReproducibilityTests {
    /// Files of all kinds, owners, deletions, times: what a layer can hold.
    private static let dockerfile = """
        FROM busybox AS build
        WORKDIR /work
        COPY . .
        RUN for i in $(seq 200); do echo "$i" > "file-$i"; done; ln -s file-1 link; ln file-2 hard; mkfifo pipe; mkdir -p a/b/c
        RUN rm -r a /etc/issue; chown -R app:users file-3 file-4; chmod 4711 file-5; touch -d @1000000000 file-6; touch now

        FROM busybox
        COPY --from=build --chown=7:8 /work /work
        RUN mv /work/file-7 /work/moved; rm /work/now; dd if=/dev/zero of=/zeros bs=65536 count=40 2>/dev/null

        """

    @Test("whatever the state folder, the isolation, the number of threads, and whether the state is warm")
    func circumstances() throws {
        let site = try BuildSite(Self.dockerfile, files: ["text": "text\n", "folder/script": "#!/bin/sh\n"])
        var digests: [String: [String]] = [:]
        for isolation in RunIsolation.possible {
            for threads in [1, 4] {
                let state = site.folder.appending("state-\(isolation)-\(threads)")
                let build = try site.require(["--no-push", isolation.flag, "--threads", "\(threads)"], state: state)
                digests[try #require(build.digest), default: []].append("\(isolation) with \(threads) threads")
            }
        }
        let warm = try site.require(["--no-push"], state: site.folder.appending("state-\(RunIsolation.possible[0])-1"))
        digests[try #require(warm.digest), default: []].append("warm")
        #expect(digests.count == 1, "\(digests)")
    }

    @Test("a RUN that gives files what they have, or takes one of two names, changes the same in any isolation")
    func nothingNew() throws {
        let site = try BuildSite(
            """
            FROM busybox
            WORKDIR /work
            COPY . .
            RUN for i in 1 2 3; do echo $i > file-$i; done; ln file-2 hard; ln text linked; chmod 4711 file-3
            RUN chmod 755 /bin/busybox; chown -R 0:0 . /etc/passwd; chmod 4711 file-3; touch -r text t; cp text u; cat u > text; touch -r t text; rm t u
            RUN rm hard; chown 0 linked
            RUN touch -r file-1 t; echo 7 > file-1; touch -r t file-1; rm t

            """, files: ["text": "text\n", "zeros": String(repeating: "\0", count: 300_000)])
        var digests: [String?] = []
        for isolation in RunIsolation.possible {
            let build = try site.require(
                ["--no-push", "--timestamp=1000000000", isolation.flag],
                state: site.folder.appending("state-\(isolation)"))
            let made = (1...6).filter { build.log.contains("[stage-0 \($0)/6] done") }
            #expect(made == [1, 2, 3, 5, 6], "\(build.log)")
            digests.append(build.digest)
        }
        #expect(Set(digests).count == 1, "\(digests)")
    }

    @Test("whatever the umask, the user's Git configuration, and the place and time of the clone")
    func clones() throws {
        let site = try BuildSite()
        let tree = try Application.standIn.lay(into: site.folder)
        try site.folder.write("#!/bin/sh\n", to: "tree/script", mode: 0o755)
        let repository = try GitRepository(at: site.folder.appending("app.git"))
        let commit = try repository.commit(tree)
        try site.folder.write(
            "[core]\n\tautocrlf = true\n\tfileMode = false\n\tsymlinks = false\n[init]\n\tdefaultBranch = other\n",
            to: "home/.gitconfig")
        var digests: Set<String> = []
        for umask in ["022", "077", "000"] {
            // The umask is a process's own: a shell sets it and becomes the builder.
            let build = Build(
                try Program.run(
                    ["sh", "-c", "umask \(umask); exec \"$@\"", "umask", BuildSite.program.string]
                        + site.arguments(
                            context: "file://\(repository.path)#refs/heads/main#\(commit)",
                            state: site.folder.appending("state-\(umask)")) + ["--no-push"],
                    environment: site.environment(), in: site.folder.path))
            try #require(build.status == 0, "\(build.log)")
            digests.insert(try #require(build.digest))
        }
        #expect(digests.count == 1)
        // A work tree of the same commit, made by git clone at another time, is the same source.
        for name in ["one", "two"] {
            let clone = site.folder.appending(name)
            try Program.require(
                ["git", "-c", "core.autocrlf=false", "clone", "--quiet", repository.path.string, clone.string],
                environment: Program.environment(adding: ["GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"])
            )
            try site.folder.write(".git\n", to: "\(name)/.dockerignore")
        }
        let folders = try ["one", "two"].map { try site.require(context: site.folder.appending($0).string).digest }
        #expect(folders[0] != nil && folders[0] == folders[1])
    }

    @Test("no time in the image is later than SOURCE_DATE_EPOCH, which is what created says")
    func epoch() throws {
        let site = try BuildSite(Self.dockerfile, files: ["text": "text\n"])
        // 2023-11-14T22:13:20Z
        try site.require(
            ["--dest", "app:1", "--no-push", "--oci-layout-path", site.layout.string],
            environment: ["SOURCE_DATE_EPOCH": "1700000000"])
        let config = try Skopeo.configuration(of: "oci:\(site.layout):1")
        #expect(config["created"].string == "2023-11-14T22:13:20Z")
        let layers = try #require(try Skopeo.manifest(of: "oci:\(site.layout):1")["layers"].array)
        for layer in layers.dropFirst() {
            let blob = try #require(layer["digest"].string?.split(separator: ":").last)
            let script = """
                import sys, tarfile
                print(max(entry.mtime for entry in tarfile.open(sys.argv[1], 'r:gz')))
                """
            let newest = try Program.require(["python3", "-c", script, "\(site.layout)/blobs/sha256/\(blob)"]).text
            #expect(Double(newest.split(separator: "\n").first ?? "").map { $0 <= 1_700_000_000 } == true, "\(newest)")
        }
        // Another instant is another image.
        let other = try site.require(environment: ["SOURCE_DATE_EPOCH": "1700000001"])
        #expect(other.digest != nil)
        #expect(try Skopeo.summary(of: "oci:\(site.layout):1")["Digest"].string != other.digest)
    }

    @Test(
        "the builder's own files stay as they are, whatever a RUN and a COPY do to the image's",
        arguments: RunIsolation.possible)
    func ownFiles(_ isolation: RunIsolation) throws {
        let site = try BuildSite(
            """
            FROM busybox
            COPY marker /etc/imgbuild-marker
            COPY marker /usr/bin/imgbuild-marker
            COPY marker ../../../../../../../../imgbuild-marker
            RUN touch /etc/imgbuild-touched /usr/bin/imgbuild-touched /root/imgbuild-touched /var/imgbuild-touched /imgbuild-touched
            RUN rm /etc/issue; touch -d @0 /etc /usr /usr/bin /var /root; mkdir -p /mnt /opt /srv; touch /opt/x /srv/x /mnt/x

            """, files: ["marker": "marker\n"])
        // Not the folders that other programs of a machine write to at any time.
        let listing = {
            try Program.require([
                "sh", "-c",
                """
                find / /var /usr /root -maxdepth 1 ! -path / ! -path /tmp ! -path /run ! -path /var/tmp ! -path '/root/.*' ! -path /root \
                    -printf '%p %i %m %U:%G %s %T@\n'
                find /etc /usr/bin /usr/sbin /usr/local/bin /home /mnt /media /opt /srv -printf '%p %i %m %U:%G %s %T@\n'
                """,
            ]).text
        }
        let before = try listing()
        try site.require(["--no-push", isolation.flag])
        let after = try listing()
        let changed = Set(before.split(separator: "\n")).symmetricDifference(after.split(separator: "\n"))
        #expect(changed.isEmpty, "\(changed.sorted().prefix(10))")
        #expect(!before.isEmpty)
        try site.expectClean()
        // Beside what was there, the site has the state folder only.
        let names = try Program.require(["ls", "-A", site.folder.path.string]).text.split(separator: "\n")
        #expect(names == ["context", "home", "state", "temporary"])
        #expect(
            try Program.require(["ls", "-A", site.state.string]).text.split(separator: "\n") == [
                "blobs", "indices", "lock", "mounts", "steps", "trees", "work",
            ])
    }
}
