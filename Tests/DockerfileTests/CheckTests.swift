import Glibc
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Dockerfile

@Suite("Build checks")
struct CheckTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var check: BuildCheck
        /// A Dockerfile with one finding of this check and no other.
        var bad: String
        var line: Int
        /// The same, put right.
        var good: String
        var testDescription: String { check.rawValue }

        init(_ check: BuildCheck, bad: String, line: Int, good: String) {
            self.check = check
            self.bad = bad
            self.line = line
            self.good = good
        }
    }

    static let experimental = "# check=experimental=all\n"

    static let cases = [
        Case(.stageNameCasing, bad: "FROM a AS Base", line: 1, good: "FROM a AS base"),
        Case(.fromAsCasing, bad: "FROM a as base", line: 1, good: "FROM a AS base"),
        Case(.fromAsCasing, bad: "from a AS base", line: 1, good: "from a as base"),
        Case(.noEmptyContinuation, bad: "FROM a\nRUN b && \\\n\n c", line: 3, good: "FROM a\nRUN b && \\\n# d\n c"),
        Case(.consistentInstructionCasing, bad: "FROM a\nRUN b\nrun c", line: 3, good: "FROM a\nRUN b\nRUN c"),
        Case(.consistentInstructionCasing, bad: "from a\nrun b\nRUN c", line: 3, good: "from a\nrun b\nrun c"),
        Case(.consistentInstructionCasing, bad: "FROM a\nRun b", line: 2, good: "FROM a\nRUN b"),
        Case(.consistentInstructionCasing, bad: "arg A=1\nFROM a\nRUN b", line: 1, good: "ARG A=1\nFROM a\nRUN b"),
        Case(.duplicateStageName, bad: "FROM a AS b\nFROM c AS b", line: 2, good: "FROM a AS b\nFROM c AS d"),
        Case(
            .duplicateStageName, bad: "FROM a AS b\nFROM c AS b\nFROM d", line: 2, good: "FROM a AS b\nFROM c\nFROM d"),
        Case(.reservedStageName, bad: "FROM a AS scratch\nFROM b", line: 1, good: "FROM a AS scratch2\nFROM b"),
        Case(.reservedStageName, bad: "FROM a AS context\nFROM b", line: 1, good: "FROM a AS contexts\nFROM b"),
        Case(.jsonArgsRecommended, bad: "FROM a\nCMD b", line: 2, good: "FROM a\nCMD [\"b\"]"),
        Case(
            .jsonArgsRecommended, bad: "FROM a\nENTRYPOINT b", line: 2,
            good: "FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT b"),
        Case(.jsonArgsRecommended, bad: "FROM a\nCMD [\"b\",]", line: 2, good: "FROM a\nCMD []"),
        Case(
            .maintainerDeprecated, bad: "FROM a\nMAINTAINER b", line: 2,
            good: "FROM a\nLABEL org.opencontainers.image.authors=b"),
        Case(.undefinedArgInFrom, bad: "FROM a:1$B", line: 1, good: "ARG B=1\nFROM a:1$B"),
        Case(
            .undefinedArgInFrom, bad: "FROM --platform=${OTHER}linux/amd64 a AS amd64", line: 1,
            good: "FROM --platform=$BUILDPLATFORM a"),
        Case(.workdirRelativePath, bad: "FROM a\nWORKDIR b\nWORKDIR c", line: 2, good: "FROM a\nWORKDIR /b\nWORKDIR c"),
        Case(
            .workdirRelativePath, bad: "FROM a AS b\nFROM b\nWORKDIR c", line: 3,
            good: "FROM a AS b\nWORKDIR /b\nFROM b\nWORKDIR c"),
        Case(.undefinedVar, bad: "FROM scratch\nCOPY $a /", line: 2, good: "FROM scratch\nARG a=1\nCOPY $a /"),
        Case(.undefinedVar, bad: "ARG a=1\nFROM b\nCOPY $a /", line: 3, good: "ARG a=1\nFROM b\nARG a\nCOPY $a /"),
        Case(
            .undefinedVar, bad: "FROM scratch\nRUN --mount=type=cache,target=/$a b", line: 2,
            good: "FROM scratch\nRUN --mount=type=cache,target=/${a:-c} b"),
        Case(
            .undefinedVar, bad: "FROM scratch\nCOPY <<EOF /a\n$host\nEOF", line: 2,
            good: "FROM scratch\nCOPY <<'EOF' /a\n$host\nEOF"),
        Case(
            .undefinedVar, bad: "FROM scratch AS a\nONBUILD ENV b=1\nENV c=$b\nFROM a", line: 3,
            good: "FROM scratch AS a\nONBUILD ENV b=1\nFROM a\nENV c=$b"),
        Case(.undefinedVar, bad: "FROM scratch\nENV a=1 b=$a", line: 2, good: "FROM scratch\nARG a=1 b=$a"),
        Case(
            .multipleInstructionsDisallowed, bad: "FROM a\nCMD [\"b\"]\nCMD [\"c\"]", line: 2,
            good: "FROM a AS b\nCMD [\"b\"]\nFROM b\nCMD [\"c\"]"),
        Case(
            .multipleInstructionsDisallowed, bad: "FROM a\nHEALTHCHECK CMD b\nHEALTHCHECK NONE", line: 2,
            good: "FROM a\nHEALTHCHECK CMD b"),
        Case(.legacyKeyValueFormat, bad: "FROM a\nENV b c", line: 2, good: "FROM a\nENV b=c"),
        Case(.legacyKeyValueFormat, bad: "FROM a\nLABEL b c d", line: 2, good: "FROM a\nLABEL b=\"c d\""),
        Case(
            .redundantTargetPlatform, bad: "FROM --platform=$TARGETPLATFORM a", line: 1,
            good: "FROM --platform=$BUILDPLATFORM a"),
        Case(.secretsUsedInArgOrEnv, bad: "FROM a\nARG API_TOKEN", line: 2, good: "FROM a\nARG PUBLIC_KEY"),
        Case(.secretsUsedInArgOrEnv, bad: "FROM a\nENV b=1 Password=c", line: 2, good: "FROM a\nENV b=1 MONKEY=c"),
        Case(.invalidDefaultArgInFrom, bad: "ARG A\nFROM a:${A}", line: 2, good: "ARG A\nFROM a:${A:-1}"),
        Case(
            .invalidDefaultArgInFrom, bad: "ARG A=b:\nFROM ${A}${A}", line: 2,
            good: "ARG A=localhost:5000/b/c:d\nFROM ${A}"),
        Case(
            .fromPlatformFlagConstDisallowed, bad: "FROM --platform=linux/amd64 a AS b", line: 1,
            good: "FROM --platform=linux/amd64 a AS build-amd64"),
        Case(
            .copyIgnoredFile, bad: experimental + "FROM a\nCOPY dist/x /", line: 3,
            good: experimental + "FROM a\nCOPY dist/keep /"),
        Case(
            .copyIgnoredFile, bad: experimental + "FROM a\nADD ./secret.env a /", line: 3,
            good: experimental + "FROM a\nCOPY --from=b secret.env d* dist /"),
        Case(
            .invalidDefinitionDescription, bad: experimental + "# the version\nARG A=1\nFROM b", line: 2,
            good: experimental + "# A is the version\nARG A=1\n# of anything\n\nFROM b"),
        Case(
            .invalidDefinitionDescription, bad: experimental + "# a\n# b base\nFROM c AS a", line: 3,
            good: experimental + "# b\n# a base\nFROM c AS a\n# nothing\nRUN c"),
        Case(.exposeProtoCasing, bad: "FROM a\nEXPOSE 80/TCP", line: 2, good: "FROM a\nEXPOSE 80/tcp"),
        Case(.exposeInvalidFormat, bad: "FROM a\nEXPOSE 127.0.0.1:80:80", line: 2, good: "FROM a\nEXPOSE 80 81-90/udp"),
        Case(
            .invalidCheckDirective, bad: "# check=skip=WorkdirRelativePaht\nFROM a", line: 1,
            good: "# check=skip=workdirrelativepath,all;error=false\nFROM a"),
        Case(.invalidCheckDirective, bad: "# check=error=maybe\nFROM a", line: 1, good: "# check=error=true\nFROM a"),
        Case(.invalidCheckDirective, bad: "# check=skp=all\nFROM a", line: 1, good: "# check = skip = all\nFROM a"),
        Case(
            .invalidCheckDirective, bad: "FROM a\n# check=error=true\nRUN b", line: 2,
            good: "FROM a\n# check=skip=all\nRUN b"),
    ]

    static func report(_ text: String, _ inputs: CheckInputs? = nil) throws -> CheckReport {
        var inputs = inputs ?? CheckInputs()
        inputs.arguments.automatic = [
            "BUILDPLATFORM": "linux/amd64", "TARGETPLATFORM": "linux/amd64", "TARGETARCH": "amd64",
        ]
        inputs.ignored = try IgnorePatterns(parsing: Array("# out\ndist\n!dist/keep\n*.env".utf8))
        return try Dockerfile(parsing: text).check(inputs)
    }

    /// `id:line` of each finding.
    static func findings(_ text: String, _ inputs: CheckInputs? = nil) throws -> [String] {
        try report(text, inputs).findings.map { "\($0.check.rawValue):\($0.range.start.line)" }
    }

    @Test("each check finds its bad example, alone and in its line, and nothing in the good one", arguments: cases)
    func check(example: Case) throws {
        #expect(try Self.findings(example.bad) == ["\(example.check.rawValue):\(example.line)"])
        #expect(try Self.findings(example.good) == [])
    }

    @Test("every check has an example; the platform of a base is a matter of the build, which refuses a wrong one")
    func completeness() {
        let covered = Set(Self.cases.map(\.check)).union([.invalidBaseImagePlatform])
        #expect(covered == Set(BuildCheck.allCases))
    }

    @Test("docs/dockerfile.md lists every check, and says of those that are experimental that they are")
    func documentation() throws {
        let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        let bytes = try OwnedDescriptor.open(root.appending("docs/dockerfile.md"), O_RDONLY).readAll(limit: 1 << 20)
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        for check in BuildCheck.allCases {
            let name = "| `\(check.rawValue)` "
            let line = lines.first { $0.hasPrefix(name) }
            #expect(line?.contains("(experimental)") == check.isExperimental, "\(check.rawValue)")
        }
    }

    @Test("experimental checks must be asked for, by name or all of them")
    func experimentalChecks() throws {
        let text = "FROM a\nCOPY dist/x /"
        #expect(try Self.findings(text) == [])
        #expect(try Self.findings("# check=experimental=CopyIgnoredFile\n" + text) == ["CopyIgnoredFile:3"])
        #expect(try Self.findings("# check=experimental=InvalidDefinitionDescription\n" + text) == [])
        let hint = try Self.report(Self.experimental + text).findings.first?.hint
        #expect(hint == #"it is excluded by line 2 of .dockerignore ("dist")"#)
    }

    @Test("skip in the first line is for the whole file, above an instruction for it alone")
    func skipping() throws {
        let text = "FROM a\nMAINTAINER b\n# check=skip=MaintainerDeprecated\nMAINTAINER c\nWORKDIR d\n"
        #expect(try Self.findings(text) == ["MaintainerDeprecated:2", "WorkdirRelativePath:5"])
        #expect(try Self.findings("# check=skip=MaintainerDeprecated\n" + text) == ["WorkdirRelativePath:6"])
        #expect(try Self.findings("# check=skip=all\n" + text) == [])
        // With an empty line between, the comment is about nothing.
        #expect(try Self.findings("FROM a\n# check=skip=all\n\nWORKDIR b") == ["WorkdirRelativePath:4"])
        // Other comments may stand around it.
        #expect(try Self.findings("FROM a\n# x\n #check = skip=all\n# y\nWORKDIR b") == [])
    }

    @Test("a misspelt check in a directive comes with the one that was meant")
    func unknownCheck() throws {
        let finding = try Self.report("# check=skip=MaintainerDepricated\nFROM a").findings.first
        #expect(finding?.message == "there is no check 'MaintainerDepricated'")
        #expect(finding?.hint == "did you mean MaintainerDeprecated?")
    }

    @Test("error=true is told to the caller")
    func errors() throws {
        #expect(try Self.report("# check=skip=all;error=true\nFROM a").failsBuild)
        #expect(try !Self.report("# check=error=false\nFROM a").failsBuild)
        #expect(try !Self.report("FROM a\n# check=error=true\nRUN a").failsBuild)
    }

    @Test(
        "an unknown base may set any variable but those that cannot come from it",
        arguments: [
            ("COPY $JAVA_HOME /", nil as String?), ("ENV JAVA_HOME=1\nCOPY $JAVA_HOM /", "did you mean $JAVA_HOME?"),
            ("COPY $1 /", "to keep a '$', write \\$; in a heredoc, quote its name"),
            (
                "COPY $TARGETARCH /",
                "a stage must declare what it takes from the builder: write ARG TARGETARCH in this stage"
            ),
            ("COPY $HTTP_PROXY $PATH /", nil),
        ])
    func unknownBase(text: String, hint: String?) throws {
        let findings = try Self.report("FROM a\n" + text).findings
        #expect(findings.map(\.hint) == (hint.map { [$0] } ?? []))
    }

    @Test("a known base sets what it sets and nothing else")
    func knownBase() throws {
        let base = CheckInputs.Base(environment: ["JAVA_HOME=/java"], triggers: ["ENV b=1", "ARG c"])
        let inputs = CheckInputs(bases: [0: base])
        #expect(try Self.findings("FROM a\nCOPY $JAVA_HOME $b $c /", inputs) == [])
        let findings = try Self.report("FROM a\nCOPY $JAVA_HOMES $OTHER /", inputs).findings
        #expect(
            findings.map(\.message) == [
                "the variable 'JAVA_HOMES' is not defined", "the variable 'OTHER' is not defined",
            ])
        #expect(findings.first?.hint == "did you mean $JAVA_HOME?")
        #expect(findings.first?.range == SourceRange(line: 2, columns: 6..<17))
        let shell = CheckInputs(bases: [0: CheckInputs.Base(environment: [], hasShell: true)])
        #expect(try Self.findings("FROM a\nCMD b", shell) == [])
    }

    @Test("with a target, what instructions do is checked only in the stages that it needs")
    func target() throws {
        let text = "FROM a AS one\nWORKDIR b\nFROM a AS Two\nWORKDIR c\nFROM one\nCMD d"
        #expect(
            try Self.findings(text) == [
                "WorkdirRelativePath:2", "StageNameCasing:3", "WorkdirRelativePath:4", "JSONArgsRecommended:6",
            ])
        #expect(try Self.findings(text, CheckInputs(target: "one")) == ["WorkdirRelativePath:2", "StageNameCasing:3"])
    }

    @Test(
        "errors that a build would meet are told, but not those of stages that are not built, nor those that the base may avert",
        arguments: [
            ("FROM a\nCOPY ${ /", "the '}' of a ${ is missing"),
            ("FROM scratch\nCOPY ${b:?missing} /", "b: missing"), ("FROM a\nCOPY ${b:?missing} /", nil),
            ("FROM a\nENV m=$b\nCOPY --chmod=$m c /", nil), ("FROM scratch\nENV m=x$b\nCOPY --chmod=$m c /", "--chmod"),
            ("FROM a\nENV m=$b\nENV m=9\nCOPY --chmod=$m c /", "--chmod"),
            ("FROM a AS b\nCOPY ${ /\nFROM c", nil),
            ("FROM a\nARG p=0\nEXPOSE ${p}x", "'0x' is no port: it is not a number"),
            ("FROM a\nCOPY --from=c x /\nFROM b AS c", nil), ("FROM a\nCOPY --from=1 x /", "there is no stage 1"),
            ("FROM $a", "FROM: '$a' expands to nothing"), ("FROM a\nCOPY --chmod=$m b /", nil),
            ("FROM a\nARG m=x\nCOPY --chmod=$m b /", "--chmod: 'x' is no mode"),
        ])
    func faults(text: String, message: String?) throws {
        let fault = try Self.report(text).fault?.message
        if let message { #expect(fault?.hasPrefix(message) == true, "\(fault ?? "")") } else { #expect(fault == nil) }
    }

    @Test("findings come in the order of the text")
    func order() throws {
        let text = "from a AS B\nWORKDIR c\nCMD d \\\n\n e\nCMD f\nMAINTAINER g"
        let lines = try Self.report(text).findings.map(\.range.start)
        #expect(lines == lines.sorted())
        #expect(lines.count == 9)
    }

    @Test(
        "a long Dockerfile takes no longer per line than a short one",
        arguments: [
            "RUN a\n", "ENV a$i=$b$i\n", "ARG a$i\nCOPY $a$i $c$i /\n", "FROM a AS b$i\nENV x$i=1\n",
            "FROM $x$i AS c$i\n",
            "# check=skip=UndefinedVar\nWORKDIR $x\n", "EXPOSE 0-65535\n", "CMD a \\\n\n b\n", "# comment\n",
        ])
    func linear(line: String) throws {
        func time(_ count: Int) throws -> Duration {
            let body = (0..<count).map { number in line.replacing("$i", with: String(number)) }.joined()
            let file = try Dockerfile(parsing: "FROM scratch\n" + body)
            return processorTime { _ = file.check() }
        }
        _ = try time(10)
        let short = try time(500)
        let long = try time(5_000)
        #expect(long < short * 30 + .milliseconds(300), "\(short) for 500, \(long) for 5000")
    }

    @Test("no text that parses crashes the checks, and every place lies in it")
    func fuzz() throws {
        var random = SeededGenerator(state: 12)
        var found = 0
        for _ in 0..<12_000 {
            let source = try SourceText(
                Array(("# check=experimental=all\nFROM base\n" + FuzzTests.text(&random, pieces: 10)).utf8))
            guard let file = try? Dockerfile(parsing: source) else { continue }
            for finding in file.check().findings {
                FuzzTests.check(finding.range, source)
                found += 1
            }
        }
        #expect(found > 100)
    }
}
