import SystemPackage
import TestSupport
import Testing

@Suite("imgbuild check")
struct CheckCommandTests {
    static let text = "FROM busybox\nCOPY a.txt /\nWORKDIR app\n"

    /// What `imgbuild check` with these arguments says of the site's context.
    static func check(_ site: BuildSite, _ arguments: [String] = []) throws -> Program.Outcome {
        try Program.run(
            [BuildSite.program.string, "check", "--context", site.context.string] + arguments,
            environment: site.environment(), in: site.folder.path)
    }

    @Test("a finding has its place, its excerpt and a hint, on standard output; the exit code is 1")
    func text() throws {
        let result = try Self.check(try BuildSite(Self.text))
        #expect(
            result.text == """
                Dockerfile:3: WorkdirRelativePath: 'app' is relative to whatever directory the base image ends in
                  2 | COPY a.txt /
                > 3 | WORKDIR app
                    |         ^^^
                hint: write an absolute path, as /app

                """)
        #expect(result.errorText == "")
        #expect(result.status == 1)
    }

    @Test("JSON has one object for each finding")
    func json() throws {
        let site = try BuildSite(Self.text)
        let result = try Self.check(site, ["--format", "json"])
        #expect(
            result.text == """
                [{"endColumn":12,"endLine":3,"file":"Dockerfile","hint":"write an absolute path, as /app",\
                "id":"WorkdirRelativePath",\
                "message":"'app' is relative to whatever directory the base image ends in",\
                "startColumn":9,"startLine":3}]

                """)
        #expect(result.status == 1)
        try site.folder.write("FROM busybox\n", to: "context/Dockerfile")
        let clean = try Self.check(site, ["--format", "json"])
        #expect(clean.text == "[]\n")
        #expect(clean.status == 0)
    }

    @Test("nothing found is nothing said, and 0")
    func clean() throws {
        let result = try Self.check(try BuildSite("# check=skip=all\n" + Self.text))
        #expect(result.text + result.errorText == "")
        #expect(result.status == 0)
    }

    @Test("an error of the Dockerfile is told as a build tells it")
    func fault() throws {
        let site = try BuildSite("FROM busybox\nCOPI a /\n")
        let result = try Self.check(site)
        #expect(result.text == "")
        #expect(result.errorText.hasPrefix("Dockerfile:2: unknown instruction 'COPI'\n"))
        #expect(result.errorText.hasSuffix("hint: did you mean COPY?\n"))
        #expect(result.status == 1)
        let build = try site.build()
        #expect(build.log.hasSuffix(result.errorText))
    }

    @Test("what a build refuses is told with its place and hint: each of it, in the stages that are built")
    func refusals() throws {
        let site = try BuildSite(
            """
            ARG P=a/b/c/d
            FROM busybox AS unneeded
            RUN --device=a true
            FROM --platform=$P busybox
            RUN --security=insecure true
            ADD --checksum=sha256:00 https://user:password@host/a /
            COPY https://user:password@host/a /

            """)
        let result = try Self.check(site)
        #expect(result.status == 1)
        #expect(result.text == "")
        #expect(
            result.errorText == """
                Dockerfile:4: FROM --platform: 'a/b/c/d' is not a platform: expected os/architecture[/variant], as linux/amd64
                  3 | RUN --device=a true
                > 4 | FROM --platform=$P busybox
                    |                 ^^
                Dockerfile:5: RUN --security=insecure is refused: a build has no more rights than its sandbox
                  4 | FROM --platform=$P busybox
                > 5 | RUN --security=insecure true
                    |                ^^^^^^^^
                Dockerfile:6: --checksum: 'sha256:00' is not a sha256 digest: expected 64 lower-case hex digits
                  5 | RUN --security=insecure true
                > 6 | ADD --checksum=sha256:00 https://*************@host/a /
                    |                ^^^^^^^^^
                hint: the checksum of a file is written sha256:<64 hex digits>
                Dockerfile:7: COPY takes files, not URLs: 'https://*************@host/a'
                  6 | ADD --checksum=sha256:00 https://*************@host/a /
                > 7 | COPY https://*************@host/a /
                    |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
                hint: ADD fetches URLs

                """)
        let unneeded = try Self.check(site, ["--target", "unneeded"])
        #expect(unneeded.errorText.hasPrefix("Dockerfile:3: RUN --device is refused: a build has no devices\n"))
        #expect(unneeded.status == 1)
    }

    @Test("JSON holds the errors, too, and nothing is said beside it")
    func errorsAsJSON() throws {
        let site = try BuildSite("FROM busybox\nRUN --security=insecure true\nWORKDIR app\n")
        let result = try Self.check(site, ["--format", "json"])
        #expect(result.errorText == "")
        #expect(result.status == 1)
        let all = try JSONValue(parsing: result.output)
        #expect(all[0]["id"].string == "WorkdirRelativePath")
        #expect(
            all[1]["id"].string == "Error" && all[1]["startLine"].integer == 2 && all[1]["startColumn"].integer == 16)
        #expect(all[1]["message"].string?.hasPrefix("RUN --security=insecure is refused") == true)
        let missing = try Self.check(site, ["--format", "json", "--target", "none"])
        #expect(
            missing.text == """
                [{"endColumn":12,"endLine":3,"file":"Dockerfile","hint":"write an absolute path, as /app",\
                "id":"WorkdirRelativePath",\
                "message":"'app' is relative to whatever directory the base image ends in",\
                "startColumn":9,"startLine":3},\
                {"file":"Dockerfile","hint":"no stage has a name; write FROM <image> AS <name>","id":"Error",\
                "message":"there is no stage 'none' to build"}]

                """)
    }

    @Test("a build warns; --check and the directive make it fail before any step")
    func build() throws {
        let site = try BuildSite(Self.text, files: ["a.txt": "a"])
        let finding = "Dockerfile:3: WorkdirRelativePath: "
        let warned = try site.build()
        #expect(warned.status == 0)
        #expect(warned.log.contains("warning: \(finding)"))
        let refused = try site.build(["--no-push", "--check"])
        #expect(refused.status == 1)
        #expect(refused.log.contains("\n\(finding)"))
        #expect(refused.log.contains("--check makes it an error, # check=skip=WorkdirRelativePath above"))
        #expect(!refused.log.contains("1/2]"))
        try site.folder.write("# check=error=true\n" + Self.text, to: "context/Dockerfile")
        #expect(try site.build().status == 1)
        try site.folder.write(
            "# check=error=true\nFROM busybox\nCOPY a.txt /\n# check=skip=WorkdirRelativePath\nWORKDIR app\n",
            to: "context/Dockerfile")
        #expect(try site.build().status == 0)
    }

    @Test("a build knows the variables of its base")
    func baseVariables() throws {
        let site = try BuildSite("FROM busybox\nCOPY ${NAME}a.txt $PATH /\n", files: ["a.txt": "a"])
        #expect(try Self.check(site).text == "")
        #expect(
            try site.build().log.contains("warning: Dockerfile:2: UndefinedVar: the variable 'NAME' is not defined"))
    }
}
