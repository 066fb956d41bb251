import SystemPackage
import TestSupport
import Testing

/// What is taken from earlier builds in one state folder, and what is not.
@Suite("Step cache", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct StepCacheTests {
    /// Every RUN gives other bytes each time that it is done: images are the same only if nothing was.
    private static let random = "head -c 8 /dev/urandom >"

    private static let dockerfile = """
        FROM busybox AS tools
        WORKDIR /src
        COPY input .
        ARG VERSION=1
        RUN cat input >/tool && chmod 755 /tool && \(random) /log
        FROM busybox
        ENV MODE=fast
        RUN \(random) /first
        COPY --from=tools /tool /usr/bin/tool
        COPY notes /notes/
        RUN --mount=type=bind,source=mounted,target=/m --mount=type=cache,target=/cache \(random) /second
        CMD ["tool"]

        """

    private static func site(_ dockerfile: String = dockerfile) throws -> BuildSite {
        try BuildSite(
            dockerfile,
            files: [
                "input": "one\n", "notes/a": "a\n", "notes/b": "b\n", "mounted": "m\n", ".dockerignore": "ignored*\n",
                "other": "o\n",
            ])
    }

    private static let flags = ["--no-push", "--timestamp", "1700000000", RunIsolation.possible[0].flag]

    /// How many steps a build took from the cache.
    private static func cached(_ build: Build) -> Int {
        build.log.split(separator: "\n").count { $0.contains("was done before") }
    }

    @Test("nothing is done again when nothing has changed, and the image is the same")
    func unchanged() throws {
        let site = try Self.site()
        let cold = try site.require(Self.flags, cached: true)
        #expect(Self.cached(cold) == 0)
        let warm = try site.require(Self.flags, cached: true)
        #expect(warm.digest == cold.digest)
        // The four steps of the target; the stage that it copies from is not even gone through.
        #expect(Self.cached(warm) == 4, "\(warm.log)")
        #expect(!warm.log.contains("[tools"), "\(warm.log)")
        let again = try site.require(Self.flags + ["--no-cache"], cached: true)
        #expect(again.digest != cold.digest)
        #expect(Self.cached(again) == 0)
        // What was done is kept all the same.
        #expect(try site.require(Self.flags, cached: true).digest == again.digest)
    }

    struct Change: Sendable {
        let testDescription: String
        var script = ""
        var flags: [String] = []
        /// Steps of both stages that are still taken from the cache.
        let cached: Int

        init(_ description: String, _ script: String = "", flags: [String] = [], cached: Int) {
            testDescription = description
            self.script = script
            self.flags = flags
            self.cached = cached
        }
    }

    private static let changes = [
        Change("an ignored file", "echo x >ignored.txt", cached: 4),
        Change("a file that nobody copies", "echo x >other", cached: 4),
        Change("times of files", "touch -d '2020-01-01' input notes/a mounted", cached: 4),
        Change("an unused build argument", flags: ["--build-arg", "OTHER=2"], cached: 4),
        Change("a proxy that no ARG declares", flags: ["--build-arg", "HTTP_PROXY=http://p:1"], cached: 4),
        Change("CMD", "sed -i 's/CMD.*/CMD [\"x\"]/' Dockerfile", cached: 4),
        // tools: WORKDIR stays. Target: the first RUN stays; the COPY takes another file.
        Change("a copied file of another stage", "echo two >input", cached: 2),
        // tools: the RUN is done again; its tool is the same, so that all of the target stays.
        Change("a declared build argument", flags: ["--build-arg", "VERSION=2"], cached: 2 + 4),
        Change("content of a copied folder", "echo x >notes/a", cached: 2),
        Change("a mode in it", "chmod 600 notes/a", cached: 2),
        Change("a name in it", "mv notes/a notes/c", cached: 2),
        Change("a link in it", "ln -sf b notes/a", cached: 2),
        Change("the file of a bind mount", "echo x >mounted", cached: 3),
        Change("a variable", "sed -i 's/MODE=fast/MODE=slow/' Dockerfile", cached: 3),
        Change("another level of compression", flags: ["--compression-level", "9"], cached: 0),
        Change("real times", flags: ["--timestamp", "now"], cached: 0),
        Change("an earlier instant", flags: ["--timestamp", "1600000000"], cached: 0),
        Change("a later instant", flags: ["--timestamp", "1800000000"], cached: 4),
        Change("a stage without cache", flags: ["--no-cache-filter", "tools"], cached: 4),
        Change("the target without cache", flags: ["--no-cache-filter", "1"], cached: 3),
    ]

    @Test("what a step depends on is done again, and nothing else")
    func changes() throws {
        let site = try Self.site()
        try site.require(Self.flags, cached: true)
        let script = "rm -rf context && cp -a original context && cd context\n"
        try Program.require(["cp", "-a", "context", "original"], in: site.folder.path)
        for change in Self.changes {
            try Program.require(["sh", "-ec", script + change.script + "\n:"], in: site.folder.path)
            let build = try site.require(Self.flags + change.flags, cached: true)
            #expect(Self.cached(build) == change.cached, "\(change.testDescription):\n\(build.log)")
        }
    }

    @Test("a changed RUN that gives the same files turns what follows into hits")
    func sameFiles() throws {
        let site = try BuildSite("FROM busybox\nRUN echo a >/f\nRUN \(Self.random) /r\n")
        let first = try site.require(Self.flags, cached: true)
        try site.folder.write("FROM busybox\nRUN echo a  >/f\nRUN \(Self.random) /r\n", to: "context/Dockerfile")
        let second = try site.require(Self.flags, cached: true)
        #expect(Self.cached(second) == 1, "\(second.log)")
        #expect(first.digest != second.digest, "the history tells them apart")
    }

    /// What happens to the state folder, and what is said of it.
    private static let damage = [
        ("for f in steps/*; do echo nonsense >$f; done", "is not used"),
        ("for f in steps/*; do : >$f; done", "is not used"),
        ("for f in steps/*; do rm $f; mkdir $f; done", "is not used"),
        ("rm -r steps/*; mkfifo steps/$(echo x | sha256sum | cut -c1-64)", ""),
        ("for f in steps/*; do rm $f; mkfifo $f; done", "is not used"),
        ("for f in steps/*; do ln -sf /dev/zero $f; done", "is not used"),
        ("for f in steps/*; do head -c 9000000 /dev/zero >$f; done", "is not used"),
        ("set -- steps/*; mv $1 x; p=$1; shift; for f; do mv $f $p; p=$f; done; mv x $p", ""),
        ("for f in steps/*; do sed -i 's/\"made\"/\"gone\"/' $f; done", "is not used"),
        ("for f in steps/*; do sed -i 's/\"version\":1/\"version\":7/' $f; done", "is not used"),
        (
            "for f in blobs/sha256/*; do printf x | dd of=$f bs=1 seek=20 conv=notrunc 2>/dev/null; done",
            "was damaged"
        ),
        ("for f in blobs/sha256/*; do printf x >>$f; done", ""),
        ("rm blobs/sha256/*", ""),
    ]

    @Test("damage in the state folder is a miss with a warning, and the image is the same")
    func damage() throws {
        let text = "FROM busybox\nWORKDIR /w\nCOPY notes .\nRUN cat a b >c\nFROM busybox\nCOPY --from=0 /w /w\n"
        let site = try Self.site(text)
        let cold = try site.require(Self.flags, cached: true)
        for (script, said) in Self.damage {
            try Program.require(["sh", "-ec", script + "\n:"], in: site.state)
            let build = try site.require(Self.flags, cached: true)
            #expect(build.digest == cold.digest, "\(script)")
            #expect(said.isEmpty || build.log.contains(said), "\(script):\n\(build.log)")
        }
        // What was done in place of what was damaged is kept, whatever stood in its way.
        let build = try site.require(Self.flags, cached: true)
        #expect(Self.cached(build) == 1 && !build.log.contains("is not used"), "\(build.log)")
    }

    /// A change that makes another image, and that a key could miss.
    struct Trap: Sendable {
        let testDescription: String
        let dockerfile: String
        let script: String

        init(_ description: String, _ dockerfile: String, _ script: String) {
            testDescription = description
            self.dockerfile = dockerfile
            self.script = script
        }
    }

    private static let traps = [
        Trap(
            "a folder with a file of the name that the file had", "FROM scratch\nCOPY a /b\n",
            "mv a x; mkdir a; mv x a/a"),
        Trap("a symlink's target", "FROM scratch\nCOPY dir /d\n", "ln -sfn d dir/link"),
        Trap("another name of a file in place of a copy", "FROM scratch\nCOPY dir /d\n", "ln -f dir/c dir/e"),
        Trap("a mode", "FROM scratch\nCOPY dir /d\n", "chmod 700 dir/c"),
        Trap("an empty file", "FROM scratch\nCOPY dir /d\n", "touch -d @1600000000 dir/new"),
        Trap("an attribute", "FROM scratch\nCOPY dir /d\n", "setfattr -n user.k -v x dir/c"),
        Trap("a line of .dockerignore", "FROM scratch\nCOPY dir /d\n", "echo dir/c >.dockerignore"),
        Trap("an exception in .dockerignore", "FROM scratch\nCOPY dir /d\n", "printf 'dir\\n!dir/c\\n' >.dockerignore"),
        Trap("a file in an archive", "FROM scratch\nADD t.tar /\n", "tar -cf t.tar b"),
        Trap("an archive in place of a folder of its name", "FROM scratch\nADD dir /x\n", "mv dir d; tar -cf dir d"),
        Trap("the lines of a COPY", "FROM scratch\nCOPY <<E /f\none\nE\n", "sed -i s/one/two/ Dockerfile"),
        Trap("the lines of a RUN", "FROM busybox\nRUN <<E\necho one >/f\nE\n", "sed -i s/one/two/ Dockerfile"),
        Trap(
            "an argument before FROM", "ARG V=one\nFROM busybox\nARG V\nRUN echo $V >/f\n",
            "sed -i s/one/two/ Dockerfile"),
        Trap(
            "the shell", #"FROM busybox\#nSHELL ["/bin/sh", "-c", "echo one >/f"]\#nRUN true\#n"#,
            "sed -i s/one/two/ Dockerfile"),
        Trap(
            "the user", "FROM busybox\nRUN mkdir -m 777 /w\nUSER 7\nRUN id -u >/w/id\n",
            "sed -i 's/USER 7/USER 8/' Dockerfile"),
        Trap("the owner of a WORKDIR", "FROM scratch\nUSER 7\nWORKDIR /w\n", "sed -i 's/USER 7/USER 8/' Dockerfile"),
        Trap(
            "the mode of a mounted folder",
            "FROM busybox\nRUN --mount=type=bind,source=dir,target=/m stat -c %a /m >/f\n", "chmod 700 dir"),
        Trap(
            "the base of a stage that is copied from",
            "FROM busybox AS s\nCOPY a /etc/a\nFROM scratch\nCOPY --from=s /etc /etc\n",
            "sed -i 's/FROM busybox/FROM scratch/' Dockerfile"),
        Trap(
            "a file in a mounted stage",
            "FROM scratch AS s\nCOPY a /a\nFROM busybox\nRUN --mount=type=bind,from=s,target=/m cat /m/a >/f\n",
            "echo x >a"),
    ]

    @Test(
        "whatever changes the image is in a key: a build with the cache gives what one without it does",
        arguments: traps)
    func nothingForgotten(trap: Trap) throws {
        let site = try BuildSite(trap.dockerfile, files: ["a": "a\n", "b": "b\n", "dir/c": "c\n", "dir/d": "c\n"])
        let prepare = "cp -p dir/c dir/e; ln -s c dir/link; tar -cf t.tar a; touch .dockerignore"
        let times = "; find . -exec touch -hd @1600000000 {} +"
        try Program.require(["sh", "-ec", prepare + times], in: site.context)
        let before = try site.require(Self.flags, cached: true)
        try Program.require(["sh", "-ec", trap.script + times], in: site.context)
        let after = try site.require(Self.flags, cached: true)
        let fresh = try site.require(Self.flags, state: site.folder.appending("fresh"))
        #expect(after.digest == fresh.digest, "\(after.log)")
        #expect(after.digest != before.digest)
    }

    @Test("a RUN whose secret has changed is not done again, and no record holds an argument's value")
    func secrets() throws {
        let site = try BuildSite(
            "FROM busybox\nARG TOKEN\nRUN --mount=type=secret,id=s,target=/s wc -c </s >/n\n")
        func build(_ secret: String) throws -> Build {
            try site.require(
                Self.flags + ["--secret", "id=s,env=SECRET", "--build-arg", "TOKEN=plain-value"], cached: true,
                environment: ["SECRET": secret])
        }
        #expect(try build("one").digest == build("three").digest)
        #expect(
            try Program.run(["grep", "-rlE", "plain-value|three", site.state.appending("steps").string]).status == 1)
    }

    @Test("imgbuild prune counts records, and what it takes is done again")
    func pruned() throws {
        let site = try Self.site()
        try site.require(Self.flags, cached: true)
        let pruned = try Program.require(
            [BuildSite.program.string, "prune", "--all", "--state-dir", site.state.string],
            environment: site.environment())
        #expect(pruned.text.contains("step\t"))
        #expect(Self.cached(try site.require(Self.flags, cached: true)) == 0)
    }
}
