import TestSupport
import Testing

@testable import Dockerfile

@Suite("Parsing")
struct ParserTests {
    @Test("a multi-stage Dockerfile becomes typed stages with places")
    func stages() throws {
        let file = try Dockerfile(
            parsing: """
                # syntax=docker/dockerfile:1
                ARG VERSION=1.2
                FROM --platform=$BUILDPLATFORM golang:$VERSION AS Build
                WORKDIR /src
                COPY --chown=1:2 --exclude=*.md a b \\
                    # a comment
                    c ./
                RUN --mount=type=cache,target=/root/.cache go build

                from scratch
                COPY --from=build /out /app
                ENTRYPOINT ["/app"]
                """)
        #expect(file.directives.syntax?.text == "docker/dockerfile:1")
        #expect(file.globalArguments.flatMap(\.arguments).map(\.name.text) == ["VERSION"])
        #expect(file.stages.map(\.name) == ["build", nil])
        #expect(file.stages.map(\.base.text) == ["golang:$VERSION", "scratch"])
        #expect(file.stages[0].platform?.text == "$BUILDPLATFORM")
        #expect(file.stages[0].instructions.map(\.name) == ["WORKDIR", "COPY", "RUN"])
        guard case .copy(let copy) = file.stages[0].instructions[1].kind else {
            Issue.record("no COPY")
            return
        }
        #expect(copy.sources.map(\.range.start.line) == [5, 5, 7])
        #expect(copy.sources[2].range == SourceRange(line: 7, columns: 5..<6))
        #expect(copy.destination.text == "./")
        #expect(copy.options.chown?.text == "1:2")
        #expect(copy.options.chown?.range == SourceRange(line: 5, columns: 14..<17))
        #expect(copy.options.excludes.map(\.text) == ["*.md"])
        #expect(file.stages[0].instructions[1].original == "COPY --chown=1:2 --exclude=*.md a b     c ./")
    }

    /// Lines to join, and what they are joined to: continuation, comments and blank lines inside.
    @Test(
        "continued lines are joined",
        arguments: [
            ("RUN a\\\nb", "ab"), ("RUN a \\\n  b", "a   b"), ("RUN a \\  \t\nb", "a b"), ("RUN a \\\r\nb\r\n", "a b"),
            ("RUN a \\\n# c\n   # d\nb", "a b"), ("RUN a \\\n\n\nb", "a b"), ("RUN a \\", "a"), ("   RUN a", "a"),
            ("RUN a # b", "a # b"), ("run a", "a"), ("RUN\ta", "a"), ("RUN \\\n a", "a"), ("\\\nRUN a", "a"),
            ("RUN a\\\\\nRUN b", "a\\\\"), ("RUN a\\\\\\\nRUN b", "a\\\\\\"),
        ])
    func continuation(text: String, command: String) throws {
        #expect(try run(text)?.command == .shell(command))
    }

    @Test("with escape=` a backslash is ordinary and a backtick continues")
    func escapeDirective() throws {
        let file = try Dockerfile(parsing: "# Escape = `\nFROM a\nRUN dir c:\\\nRUN a `\n b\nWORKDIR c:`\\x")
        #expect(file.directives.escape == "`")
        #expect(file.stages[0].instructions.map(\.original) == ["RUN dir c:\\", "RUN a  b", "WORKDIR c:`\\x"])
        let (_, expanded) = try evaluate("# escape=`\nFROM scratch\nWORKDIR c:`\\x")
        #expect(expanded.first?.kind == .workdir(Word("c:\\x", range: SourceRange(line: 3, columns: 9..<14))))
    }

    @Test(
        "directives end at the first line that is none",
        arguments: ["# c\n# escape=`", "\n# escape=`", "# foo=bar\n# escape=`", "#\n# escape=`"])
    func directivesEnd(text: String) throws {
        #expect(try Dockerfile(parsing: text + "\nFROM a").directives.escape == "\\")
    }

    @Test("a byte order mark is dropped, and the check directive kept")
    func byteOrderMark() throws {
        let file = try Dockerfile(parsing: "\u{FEFF}# check=skip=all;error=true\nFROM a")
        #expect(file.directives.check?.text == "skip=all;error=true")
        #expect(file.stages[0].range.start == SourcePosition(line: 2, column: 1))
    }

    /// Text after FROM, and the command it gives.
    @Test(
        "the JSON form is taken only if it is valid JSON",
        arguments: [
            (#"CMD ["a", "b\n\u0041\ud83d\ude00"]"#, CommandLine.exec(["a", "b\nA😀"])),
            (#"CMD [ ]"#, .exec([])), (#"CMD ["a",]"#, .shell(#"["a",]"#)), ("CMD ['a']", .shell("['a']")),
            (#"CMD ["a"] b"#, .shell(#"["a"] b"#)), (#"CMD ["a""#, .shell(#"["a""#)), ("CMD a  b", .shell("a  b")),
            (#"CMD ["\x"]"#, .shell(#"["\x"]"#)), ("CMD [1 2]", .shell("[1 2]")), ("CMD [01]", .shell("[01]")),
        ])
    func json(text: String, command: CommandLine) throws {
        #expect(try instruction(text) == .cmd(command))
    }

    @Test("ENTRYPOINT [] and a bare ENTRYPOINT clear it")
    func emptyEntrypoint() throws {
        #expect(try instruction("ENTRYPOINT []") == .entrypoint(.exec([])))
        #expect(try instruction("ENTRYPOINT") == .entrypoint(.exec([])))
    }

    /// ENV text and its pairs, unexpanded.
    @Test(
        "ENV has a legacy form and a key=value form",
        arguments: [
            ("ENV a b=c d", ["a", "b=c d"]), ("ENV a=b c=d", ["a", "b", "c", "d"]),
            ("ENV a=\"b c\" d='e f'", ["a", "\"b c\"", "d", "'e f'"]),
            ("ENV a=b\\ c", ["a", "b\\ c"]), ("ENV a=", ["a", ""]), ("ENV k a  b", ["k", "a  b"]),
            ("ENV a=1 \\\n# x\nb=2", ["a", "1", "b", "2"]), ("ENV a==b", ["a", "=b"]),
        ])
    func env(text: String, pairs: [String]) throws {
        guard case .env(let values)? = try instruction(text) else {
            Issue.record("no ENV")
            return
        }
        #expect(values.flatMap { [$0.key.text, $0.value.text] } == pairs)
    }

    @Test("COPY takes all its flags, JSON paths, and splits inside quotes otherwise")
    func copyForms() throws {
        let all = try copy(
            "COPY --from=0 --chown=a:b --chmod=u+x --link --parents=TRUE --exclude=a --exclude='b c' -- --x y /z")
        #expect(all?.from?.text == "0")
        #expect(all?.options.link == true)
        #expect(all?.parents == true)
        #expect(all?.options.excludes.map(\.text) == ["a", "b c"])
        #expect(all?.sources.map(\.text) == ["--x", "y"])
        #expect(try copy(#"COPY ["a b", "c d"]"#)?.sources.map(\.text) == ["a b"])
        #expect(try copy(#"COPY "a b" c"#)?.sources.map(\.text) == ["\"a", "b\""])
        guard case .add(let add)? = try instruction("ADD --keep-git-dir --unpack=false --checksum=sha256:1 a b") else {
            Issue.record("no ADD")
            return
        }
        #expect(add.keepGitDirectory == true)
        #expect(add.unpack == false)
        #expect(add.checksum?.text == "sha256:1")
    }

    @Test("HEALTHCHECK reads durations as Go does")
    func healthcheck() throws {
        let text =
            "HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=0 --start-interval=1.5h --retries=3 CMD [\"a\"]"
        guard case .healthcheck(.check(let check))? = try instruction(text) else {
            Issue.record("no HEALTHCHECK")
            return
        }
        #expect(check.command == .exec(["a"]))
        #expect(check.interval == 90_000_000_000)
        #expect(check.timeout == 500_000_000)
        #expect(check.startPeriod == 0)
        #expect(check.startInterval == 5_400_000_000_000)
        #expect(check.retries == 3)
        #expect(try instruction("HEALTHCHECK none") == .healthcheck(.none))
        #expect(try instruction("HEALTHCHECK cmd a b") == .healthcheck(.check(Healthcheck(command: .shell("a b")))))
    }

    @Test("ONBUILD keeps the text of its trigger, heredoc bodies and all, and gives it back parsed")
    func onbuild() throws {
        let text = "ONBUILD COPY --chown=1 <<A b \\\n /d/\nbody\nA\nRUN x"
        let all = try instructions(text)
        #expect(all.map(\.name) == ["ONBUILD", "RUN"])
        guard case .onbuild(let onbuild) = all[0].kind else { return }
        #expect(onbuild.trigger == "COPY --chown=1 <<A b  /d/\nbody\nA")
        let place = SourceRange(line: 9, columns: 1..<5)
        let parsed = try Instruction.parse(trigger: onbuild.trigger, at: place)
        guard case .copy(let copy) = parsed.kind else {
            Issue.record("no COPY")
            return
        }
        #expect(copy.sources.map(\.text) == ["<<A:body\n", "b"])
        #expect(copy.destination == Word("/d/", range: place))
    }

    @Test(
        "a trigger must be one instruction that may be one",
        arguments: ["", "RUN a\nRUN b", "FROM a", "ONBUILD RUN a", "MAINTAINER a", "COPY a", "X"])
    func badTrigger(text: String) {
        let place = SourceRange(line: 3)
        let error = fault { () throws(DockerfileError) in _ = try Instruction.parse(trigger: text, at: place) }
        #expect(error?.range == place)
        #expect(error?.message.hasPrefix("in the ONBUILD trigger") == true)
    }

    @Test("10,000 lines parse in well under 50 ms where the compiler optimises")
    func speed() throws {
        let line =
            "RUN --mount=type=cache,target=/c apt-get install -y \\\n  \"$PACKAGE\" && rm -rf /var/lib\nCOPY --from=a b c d/\n"
        let text = "FROM a\n" + String(repeating: line, count: 3333)
        var stages = 0
        let time = try processorTime { stages = try Dockerfile(parsing: text).stages.count }
        #expect(stages == 1)
        // An unoptimised build on a busy machine takes ten times as long.
        #expect(time < .seconds(3))
    }
}
