import Testing

@testable import Dockerfile

@Suite("Errors of parsing")
struct ParserErrorTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var text: String
        var line: Int?
        var message: String
        var hint: String?
        var testDescription: String { String(text.prefix(60)) }

        init(_ text: String, _ line: Int?, _ message: String, hint: String? = nil) {
            self.text = text
            self.line = line
            self.message = message
            self.hint = hint
        }
    }

    /// A Dockerfile, the line of the fault, and part of the message.
    static let cases = [
        Case("", nil, "no instructions"), Case("# only\n\n", nil, "no instructions"),
        Case("ARG a", nil, "no FROM"), Case("RUN a\nFROM b", 1, "RUN stands before the first FROM"),
        Case("FROM a\nCOPPY a b", 2, "unknown instruction 'COPPY'", hint: "did you mean COPY?"),
        Case("FROM a\nRNU a", 2, "unknown instruction", hint: "did you mean RUN?"),
        Case("FROM a\n\n# x\nXYZZY", 4, "unknown instruction"),
        Case("FROM", 1, "an image"), Case("FROM a b", 1, "an image"), Case("FROM a b c", 1, "where AS is expected"),
        Case("FROM a AS 1x", 1, "cannot be a stage's name"), Case("FROM --foo=1 a", 1, "FROM has no flag --foo"),
        Case("FROM --platfrom=x a", 1, "no flag", hint: "did you mean --platform?"),
        Case("# escape=x\nFROM a", 1, "escape character cannot be 'x'"),
        Case("# escape=\\\n# escape=`\nFROM a", 2, "given twice"),
        Case("FROM a\nCOPY a", 2, "at least one source"), Case("FROM a\nCOPY", 2, "at least one source"),
        Case("FROM a\nCOPY --chwon=1 a b", 2, "no flag --chwon", hint: "did you mean --chown?"),
        Case("FROM a\nCOPY --chown a b", 2, "--chown needs a value"),
        Case("FROM a\nCOPY --link=yes a b", 2, "true or false"), Case("FROM a\nCOPY --link= a b", 2, "true or false"),
        Case("FROM a\nCOPY --link --link a b", 2, "given twice"),
        Case("FROM a\nCOPY --from=a --from=b c d", 2, "given twice"),
        Case("FROM a\nCOPY --from=$x c d", 2, "not replaced in COPY --from"),
        Case("FROM a\nCOPY --chmod=888 c d", 2, "'888' is no mode"),
        Case("FROM a\nADD --from=x c d", 2, "ADD has no flag --from"),
        Case("FROM a\nADD --parents c d", 2, "ADD has no flag --parents"),
        Case("FROM a\nCOPY a <<E\nE", 2, "destination cannot be a heredoc"),
        Case("FROM a\nCOPY <<a/b /x\na/b", 2, "cannot hold a path"),
        Case("FROM a\nRUN <<E\nx\n", 2, "heredoc 'E' is not terminated"),
        Case("FROM a\nRUN", 2, "a command is needed"), Case("FROM a\nRUN []", 2, "a command is needed"),
        Case("FROM a\nCMD [\"a\", 1]", 2, "only strings"), Case("FROM a\nCMD [[\"a\"]]", 2, "only strings"),
        Case("FROM a\nRUN --mount=type=bnid,target=/x a", 2, "no type 'bnid'", hint: "did you mean bind?"),
        Case("FROM a\nRUN --mount=typ=bind a", 2, "no option 'typ'", hint: "did you mean type?"),
        Case("FROM a\nRUN --mount=type=bind a", 2, "needs a target"),
        Case("FROM a\nRUN --mount=type=cache,target=/. a", 2, "target cannot be"),
        Case("FROM a\nRUN --mount=sharing=locked,target=/x a", 2, "does not go with type=bind"),
        Case("FROM a\nRUN --mount=type=cache,target=/x,sharing=y a", 2, "sharing cannot be 'y'"),
        Case("FROM a\nRUN --mount=type=cache,target=/x,mode=9 a", 2, "not octal"),
        Case("FROM a\nRUN --mount=type=cache,target=/x,uid=x a", 2, "not a number"),
        Case("FROM a\nRUN --mount=type=tmpfs,target=/x,size=1x a", 2, "no size"),
        Case("FROM a\nRUN --mount=type=bind,target=/x,ro=maybe a", 2, "true or false"),
        Case("FROM a\nRUN --mount=type=secret a", 2, "needs an id"),
        Case("FROM a\nRUN --mount=from=$x,target=/x a", 2, "not replaced in --mount from"),
        Case("FROM a\nRUN --network=bridge a", 2, "--network cannot be 'bridge'"),
        Case("FROM a\nRUN --security=x a", 2, "--security cannot be"),
        Case("FROM a\nENV", 2, "key=value"), Case("FROM a\nENV a", 2, "has no value"),
        Case("FROM a\nENV a=b c", 2, "'c' has no '='"), Case("FROM a\nENV =b", 2, "is empty"),
        Case("FROM a\nLABEL a=b \\\n c", 3, "'c' has no '='"), Case("FROM a\nENV --x=1 a=b", 2, "ENV has no flag --x"),
        Case("FROM a\nARG", 2, "at least one name"), Case("FROM a\nARG =x", 2, "is empty"),
        Case("FROM a\nEXPOSE", 2, "at least one"), Case("FROM a\nUSER", 2, "argument is missing"),
        Case("FROM a\nWORKDIR", 2, "argument is missing"), Case("FROM a\nMAINTAINER", 2, "argument is missing"),
        Case("FROM a\nSHELL /bin/sh", 2, "JSON form"), Case("FROM a\nSHELL []", 2, "JSON form"),
        Case("FROM a\nVOLUME", 2, "at least one"), Case("FROM a\nVOLUME [\"\"]", 2, "path is empty"),
        Case("FROM a\nSTOPSIGNAL SIGTREM", 2, "no signal", hint: "did you mean SIGTERM?"),
        Case("FROM a\nSTOPSIGNAL 0", 2, "no signal"), Case("FROM a\nSTOPSIGNAL 'KILL", 2, "quote is not closed"),
        Case("FROM a\nHEALTHCHECK", 2, "CMD or NONE"), Case("FROM a\nHEALTHCHECK RUN a", 2, "neither CMD nor NONE"),
        Case("FROM a\nHEALTHCHECK NONE x", 2, "takes no arguments"), Case("FROM a\nHEALTHCHECK CMD", 2, "command"),
        Case("FROM a\nHEALTHCHECK --interval=1x CMD a", 2, "no duration"),
        Case("FROM a\nHEALTHCHECK --interval=1us CMD a", 2, "less than 1ms"),
        Case("FROM a\nHEALTHCHECK --timeout=-1s CMD a", 2, "less than 1ms"),
        Case("FROM a\nHEALTHCHECK --retries=-1 CMD a", 2, "number from 0"),
        Case("FROM a\nHEALTHCHECK --interval=9999999999999h CMD a", 2, "no duration"),
        Case("FROM a\nONBUILD", 2, "instruction is needed"), Case("FROM a\nONBUILD FROM b", 2, "cannot hold FROM"),
        Case("FROM a\nONBUILD onbuild RUN b", 2, "cannot hold ONBUILD"),
        Case("FROM a\nONBUILD MAINTAINER b", 2, "cannot hold"),
        Case("FROM a\nONBUILD COPY a", 2, "at least one source"), Case("FROM a\nONBUILD FOO a", 2, "unknown"),
        Case("FROM a\nRUN " + String(repeating: "x", count: 65535), 2, "at most 65535"),
        Case("FROM a\n" + String(repeating: "# x\n", count: 1 << 20), nil, "at most"),
    ]

    @Test("every fault is named with its line", arguments: cases)
    func faults(example: Case) {
        let error = fault { () throws(DockerfileError) in _ = try Dockerfile(parsing: example.text) }
        #expect(error?.message.contains(example.message) == true, "\(String(describing: error?.message))")
        #expect(error?.range?.start.line == example.line)
        if let hint = example.hint { #expect(error?.hint == hint) }
    }

    @Test("a text that is not UTF-8 is refused with its line")
    func notUTF8() {
        let text: [UInt8] = Array("FROM a\nRUN ".utf8) + [0xFF, 0x0A]
        let error = fault { () throws(DockerfileError) in _ = try Dockerfile(parsing: text) }
        #expect(error?.range?.start.line == 2)
    }

    @Test("an error is shown with the line before it, the line itself and a caret")
    func excerpt() throws {
        let source = try SourceText(Array("FROM a\nWORKDIR /app\nCOPY dist/ ./\nRUN x".utf8))
        let error = DockerfileError(
            "COPY failed: 'dist/' is not in the build context", at: SourceRange(line: 3, columns: 6..<11),
            hint: "it is excluded by line 3 of .dockerignore (\"dist\")")
        #expect(
            SourceExcerpt.report(error, in: source, name: "Dockerfile") == """
                Dockerfile:3: COPY failed: 'dist/' is not in the build context
                  2 | WORKDIR /app
                > 3 | COPY dist/ ./
                    |      ^^^^^
                hint: it is excluded by line 3 of .dockerignore ("dist")
                """)
    }

    @Test("an excerpt shows all lines of a fault, keeps tabs, cuts long lines, and disarms control characters")
    func hardExcerpts() throws {
        let long = String(repeating: "é", count: 1000)
        let source = try SourceText(Array("FROM a\nRUN a \\\n\tb\n\tRUN \u{1B}[31m x\nRUN \(long) y".utf8))
        let two = SourceRange(start: .init(line: 2, column: 1), end: .init(line: 3, column: 3))
        #expect(SourceExcerpt.excerpt(around: two, in: source) == ["  1 | FROM a", "> 2 | RUN a \\", "> 3 | \tb"])
        let tabs = SourceExcerpt.excerpt(around: SourceRange(line: 4, columns: 2..<5), in: source)
        #expect(tabs == ["  3 | \tb", "> 4 | \tRUN \u{FFFD}[31m x", "    | \t^^^"])
        let far = SourceExcerpt.excerpt(around: SourceRange(line: 5, columns: 2006..<2007), in: source)
        #expect(far.count == 3)
        #expect(far.last?.hasSuffix(" ^") == true)
        #expect(far[1].last == "y")
        #expect(SourceExcerpt.excerpt(around: SourceRange(line: 99), in: source) == [])
    }
}
