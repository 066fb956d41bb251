import SystemPackage
import TestSupport
import Testing

/// What COPY, ADD, WORKDIR and mounts refuse: each is told with its line, the word that is wrong, and exit code 1.
@Suite("Errors of steps", .enabled(if: isRoot && !RunIsolation.possible.isEmpty, RunIsolation.none))
struct StepErrorTests {
    struct Case: Sendable {
        /// After `FROM busybox`; the last of them fails.
        var lines: [String]
        var says: String
        var hint: String?

        init(_ lines: String..., says: String, hint: String? = nil) {
            self.lines = lines
            self.says = says
            self.hint = hint
        }
    }

    static let copies = [
        Case("COPY --chown=nosuch a /", says: "no user named 'nosuch' in the image's /etc/passwd"),
        Case("COPY --chown=app:nosuch a /", says: "no group named 'nosuch' in the image's /etc/group"),
        Case("COPY --chown=:5 a /", says: "':5' is not of the form user[:group]"),
        Case("COPY --chmod=9 a /", says: "'9' is no mode", hint: "write 755, 0644 or u=rwX,go=rX"),
        Case("ARG m=rwx", "COPY --chmod=$m a /", says: "'rwx' is no mode"),
        Case("COPY folder /etc/passwd", says: "a directory cannot be copied to '/etc/passwd', which is a file"),
        Case("COPY merged /", says: "the directory '/merged/etc/issue' cannot replace the file '/etc/issue'"),
        Case(
            "RUN mkdir /f.txt", "COPY folder /", says: "the file '/folder/f.txt' cannot replace the directory '/f.txt'"),
        Case(
            "RUN ln -s tmp /etc/x && rm /etc/issue && ln -s /tmp /etc/issue", "COPY merged /",
            says: "cannot replace the symlink '/etc/issue'"),
        Case("COPY a /etc/passwd/", says: "the destination '/etc/passwd' is a file, not a directory"),
        Case("COPY a /etc/passwd/b", says: "'/etc/passwd' is not a directory, and '/etc/passwd/b' leads through it"),
        Case("RUN ln -s /b /a && ln -s /a /b", "COPY a /a/x", says: "leads through more than 40 symlinks"),
        Case("COPY a b /x", says: "several files cannot all become '/x'", hint: "end the destination with a slash"),
        Case("COPY ? /x", says: "several files cannot all become '/x'", hint: "end the destination with a slash"),
        Case("COPY a <<A /x\nA", says: "several files cannot all become '/x'"),
        Case("COPY --from=$X a /", says: "variables are not replaced in COPY --from", hint: "name a stage for it"),
        Case("COPY --from=0 a /", says: "the stage '0' refers to itself"),
        Case("COPY --from=9 a /", says: "there is no stage 9", hint: "stages are counted from 0 to 0"),
        Case("COPY --from=busybox /nosuch /", says: "'nosuch' is not in the image busybox"),
        Case("COPY --parents link/f.txt /", says: "'link' is a symlink, and --parents follows none"),
        Case("COPY --link --chown=app a /", says: "which has no user named 'app'", hint: "give --chown numbers"),
        Case("COPY nothing /", says: "'nothing' is a symlink that leads to nothing in the build context"),
        Case("COPY [a /", says: "the wildcard pattern '[a' is malformed"),
        Case("COPY a", says: "at least one source and a destination are needed"),
        Case("ADD cut.tar /", says: "'cut.tar' cannot be copied: cut.tar: entry 'b': Truncated"),
        Case("ADD --from=busybox a /", says: "has no flag --from"),
        Case("ADD --checksum=sha256:00 a /", says: "--checksum is for URLs and Git repositories"),
        Case("WORKDIR /etc/passwd", says: "'/etc/passwd' is a file and cannot be the working directory"),
        Case("WORKDIR /etc/passwd/x", says: "'/etc/passwd' is not a directory"),
        Case("USER app:nosuch", "RUN true", says: "no group named 'nosuch'"),
    ]

    static let mounts = [
        Case("RUN --mount=source=nosuch,target=/x true", says: "'nosuch' is not in the build context"),
        Case(
            "RUN --mount=source=hidden,target=/x true", says: "'hidden' is not in", hint: "it is excluded by line 1 of"),
        Case("RUN --mount=from=busybox,source=/nosuch,target=/x true", says: "'nosuch' is not in the image busybox"),
        Case("RUN --mount=from=scratch,source=/x,target=/x true", says: "'x' is not in scratch"),
        Case("RUN --mount=source=/pipe,target=/x true", says: "'/pipe' is neither a file nor a folder"),
        Case("RUN --mount=target=/etc/passwd/x true", says: "the target '/etc/passwd/x' leads through a file"),
        Case(
            "RUN --mount=type=cache,target=/x,source=/y true", says: "the source of a cache needs a stage or an image"),
        Case("RUN --mount=type=cache,target=/x,from=busybox,source=/etc/passwd true", says: "'/etc/passwd' is a file"),
        Case("RUN --mount=from=$X,target=/x true", says: "variables are not replaced in --mount from"),
        Case("RUN --mount=target=/x,sharing=locked true", says: "the option 'sharing' does not go with type=bind"),
        Case(
            "RUN --mount=type=secret,id=s,required true", says: "the secret 's' is required and was not given",
            hint: "give it with --secret id=s"),
        Case(
            "ENV s=t", "RUN --mount=type=secret,id=$s,required true",
            says: "the secret 't' is required and was not given"),
        Case(
            "RUN --mount=type=ssh,required true", says: "the SSH agent 'default' is required",
            hint: "forward yours with --ssh default"),
        Case("ENV t=/", "RUN --mount=type=tmpfs,target=$t true", says: "the target cannot be '/'"),
    ]

    private static func expect(_ cases: [Case], _ flags: [String]) throws {
        let site = try BuildSite(
            files: [
                ".dockerignore": "hidden\n", "hidden": "", "a": "a\n", "b": "b\n", "folder/f.txt": "",
                "merged/etc/issue/x": "",
            ])
        try Program.require([
            "sh", "-c",
            "cd \"$1\" && ln -s folder link && ln -s nowhere nothing && mkfifo pipe && tar cf cut.tar a b && truncate -s 1700 cut.tar",
            "files", site.context.string,
        ])
        for item in cases {
            try site.folder.write(
                "FROM busybox\n" + item.lines.joined(separator: "\n") + "\n", to: "context/Dockerfile")
            let build = try site.build(["--no-push"] + flags)
            let line = 1 + item.lines.count
            #expect(build.status == 1, "\(item.lines)")
            for text in ["Dockerfile:\(line): ", item.says, "> \(line) |", "| ", "^"]
                + [item.hint.map { "hint: " + $0 }].compactMap(\.self)
            {
                #expect(build.log.contains(text), "'\(text)' is not in:\n\(build.log)")
            }
            #expect(!build.log.contains(site.state.string), "\(build.log)")
        }
        try site.expectClean()
    }

    @Test("COPY, ADD, WORKDIR and USER") func copying() throws {
        try Self.expect(Self.copies, [])
    }

    @Test("mounts, in every isolation", arguments: RunIsolation.possible) func mounting(_ isolation: RunIsolation)
        throws
    {
        try Self.expect(Self.mounts, [isolation.flag])
    }

    @Test("a --chown or --chmod that expands to nothing is not given") func emptyFlags() throws {
        let site = try BuildSite(
            "FROM busybox\nARG owner\nARG mode\nCOPY --chown=$owner --chmod=${mode} a /\nRUN test \"$(stat -c '%u:%g %a' /a)\" = '0:0 644'\n",
            files: ["a": ""])
        try site.require(["--no-push"])
        let given = ["--no-push", "--build-arg", "owner=5", "--build-arg", "mode=600"]
        #expect(try site.build(given).status == 1)
    }
}
