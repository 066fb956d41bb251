import Testing

@testable import Dockerfile

@Suite("Variables of a stage")
struct StageScopeTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var story: String
        var text: String
        var given: [String: String] = [:]
        var automatic: [String: String] = [:]
        var base: [String] = []
        /// A variable and its value at the end; `nil` for unset.
        var expected: [String: String?]
        var testDescription: String { story }
    }

    static let cases = [
        Case(
            story: "ENV values are those from before the line", text: "FROM a\nENV a=1\nENV a=2 b=$a",
            expected: ["a": "2", "b": "1"]),
        Case(story: "ARG values go in one by one", text: "FROM a\nARG a=2 b=$a", expected: ["b": "2"]),
        Case(story: "a legacy value is expanded", text: "FROM a\nENV x=1\nENV a $x  \"q\"", expected: ["a": "1  q"]),
        Case(story: "keys are expanded", text: "FROM a\nENV k=n\nENV $k=v", expected: ["n": "v"]),
        Case(
            story: "base variables are there", text: "FROM a\nENV b=${P}:/x", base: ["P=/bin"],
            expected: ["b": "/bin:/x"]),
        Case(
            story: "a global ARG is unset in a stage", text: "ARG g=1\nFROM a\nENV b=x$g",
            expected: ["b": "x", "g": String?.none]),
        Case(
            story: "ARG without a default takes the global value", text: "ARG g=1\nFROM a\nARG g", expected: ["g": "1"]),
        Case(
            story: "--build-arg beats global default", text: "ARG g=1\nFROM a\nARG g", given: ["g": "2"],
            expected: ["g": "2"]),
        Case(
            story: "the stage's default beats the global value", text: "ARG g=1\nFROM a\nARG g=3", expected: ["g": "3"]),
        Case(
            story: "--build-arg beats the stage's default", text: "FROM a\nARG g=3", given: ["g": "$x"],
            expected: ["g": "$x"]),
        Case(
            story: "--build-arg without ARG does nothing", text: "FROM a\nENV b=x$g", given: ["g": "2"],
            expected: ["b": "x"]),
        Case(story: "ENV after ARG wins", text: "FROM a\nARG v=1\nENV v=2", given: ["v": "3"], expected: ["v": "2"]),
        Case(story: "ARG after ENV wins when it has a value", text: "FROM a\nENV v=2\nARG v=1", expected: ["v": "1"]),
        Case(
            story: "ARG after inherited ENV takes the build-arg", text: "FROM a\nARG X", given: ["X": "2"],
            base: ["X=1"], expected: ["X": "2"]),
        Case(
            story: "ARG without a value keeps an inherited ENV", text: "FROM a\nARG X", base: ["X=1"],
            expected: ["X": "1"]),
        Case(
            story: "a stage's default beats the automatic value", text: "FROM a\nARG TARGETARCH=x86_64",
            automatic: ["TARGETARCH": "amd64"], expected: ["TARGETARCH": "x86_64"]),
        Case(
            story: "--build-arg beats both", text: "FROM a\nARG TARGETARCH=x", given: ["TARGETARCH": "y"],
            automatic: ["TARGETARCH": "z"], expected: ["TARGETARCH": "y"]),
        Case(
            story: "platform arguments must be declared", text: "FROM a\nENV b=x$TARGETARCH",
            automatic: ["TARGETARCH": "z"], expected: ["b": "x"]),
        Case(
            story: "an empty platform argument is set", text: "FROM a\nARG TARGETVARIANT\nENV b=${TARGETVARIANT-x}",
            automatic: ["TARGETVARIANT": ""], expected: ["b": ""]),
        Case(
            story: "a stage inherits ENV and ARG of the stage below",
            text: "FROM a AS x\nARG p=1\nENV q=2\nFROM x\nENV r=$p$q", expected: ["r": "12", "p": "1"]),
        Case(
            story: "sibling stages share nothing",
            text: "FROM a AS x\nARG p=1\nFROM a AS y\nENV r=[$p]\nCOPY --from=x / /", expected: ["r": "[]"]),
        Case(
            story: "global ARGs may use each other", text: "ARG a=1\nARG b=${a}2\nFROM x\nARG b", expected: ["b": "12"]),
    ]

    @Test("the last assignment wins", arguments: cases)
    func values(example: Case) throws {
        let (scope, _) = try evaluate(
            example.text, given: example.given, automatic: example.automatic, base: example.base)
        for (name, value) in example.expected { #expect(scope[name] == value, "\(name)") }
    }

    @Test("the configuration gets ENV only, in order and replaced in place; RUN gets all; history gets the ARGs")
    func environments() throws {
        let (scope, _) = try evaluate(
            "FROM x\nARG A=1\nENV B=2 PATH=/p\nARG C D=4\nENV D=5\nARG A\nENV B=6",
            given: ["http_proxy": "u", "A": "9"],
            base: ["PATH=/bin", "Z="])
        #expect(scope.configEnvironment == ["PATH=/p", "Z=", "B=6", "D=5"])
        #expect(scope.declaredArguments.map { "\($0.name)=\($0.value)" } == ["A=9", "C=", "D=5"])
        #expect(
            scope.runEnvironment.assignments
                == ["PATH=/p", "Z=", "A=9", "B=6", "D=5", "HTTP_PROXY=u", "http_proxy=u"])
        #expect(scope["HTTP_PROXY"] == nil)
    }

    @Test("all words that the language expands are expanded, and no others")
    func fields() throws {
        let (_, all) = try evaluate(
            """
            FROM x
            ENV v=1 o=u:g P="80 81/UDP" S=TERM ex=*.md
            COPY --chown=$o --chmod=75$v --exclude=$ex $v "$v" ./$v
            ADD --checksum=sha256:$v $v /
            EXPOSE $P 90-92
            USER $o
            WORKDIR /a b/$v
            VOLUME /$v ["$v"]
            STOPSIGNAL SIG$S
            LABEL $v='$v' "a b"="$v"
            RUN --mount=type=cache,target=/$v,id=$v --mount=type=secret,id=x echo $v
            CMD $v
            """)
        let kinds = all.map(\.kind)
        guard case .copy(let copy) = kinds[1], case .add(let add) = kinds[2], case .expose(let expose) = kinds[3],
            case .user(let user) = kinds[4], case .workdir(let directory) = kinds[5],
            case .volume(let volumes) = kinds[6],
            case .stopsignal(let signal) = kinds[7], case .label(let labels) = kinds[8], case .run(let run) = kinds[9]
        else {
            Issue.record("other instructions")
            return
        }
        #expect(copy.options.chown?.text == "u:g")
        #expect(try copy.options.mode() == .octal(0o751))
        #expect(copy.options.excludes.map(\.text) == ["$ex"])
        #expect(copy.sources.map(\.text) == ["1", "1"])
        #expect(copy.destination.text == "./1")
        #expect(add.checksum?.text == "sha256:1")
        #expect(try expose.ports() == ["80/tcp", "81/udp", "90/tcp", "91/tcp", "92/tcp"])
        #expect(user.text == "u:g")
        #expect(directory.text == "/a b/1")
        #expect(volumes.map(\.text) == ["/1", "[1]"])
        #expect(signal.text == "SIGTERM")
        #expect(labels.flatMap { [$0.key.text, $0.value.text] } == ["1", "$v", "a b", "1"])
        #expect(run.command == .shell("echo $v"))
        #expect(try run.mounts[0].resolved().target == "/1")
        #expect(kinds[10] == .cmd(.shell("$v")))
    }

    @Test(
        "an escaped wildcard stays a character of the name: in sources of COPY and ADD, and nowhere else",
        arguments: [
            (#"COPY a\*b\?[c\] d\e\\f x"#, [#"a\*b\?[c\]"#, #"de\\f"#]),
            (#"COPY ["a\\*", "$v", "x"]"#, [#"a\*"#, "*"]), (#"ADD ${u:-a\?} "'*'" x"#, [#"a\?"#, "'*'"]),
            (#"ADD https://host/a\?b=c git@host:a\* x"#, ["https://host/a?b=c", "git@host:a*"]),
        ])
    func escapedWildcards(text: String, sources: [String]) throws {
        let (_, all) = try evaluate("FROM x\nENV v=*\n\(text)\nWORKDIR /a\\*")
        switch all[1].kind {
        case .copy(let copy): #expect(copy.sources.map(\.text) == sources)
        case .add(let add): #expect(add.sources.map(\.text) == sources)
        default: Issue.record("another instruction")
        }
        guard case .workdir(let path) = all[2].kind else { return }
        #expect(path.text == "/a*")
    }

    @Test("with the backtick as escape character, a wildcard that it escapes gets the pattern's own escape")
    func backtickWildcards() throws {
        let (_, all) = try evaluate("# escape=`\nFROM x\nCOPY a`*.txt b\\*.txt x/")
        guard case .copy(let copy) = all[0].kind else { return }
        #expect(copy.sources.map(\.text) == [#"a\*.txt"#, #"b\*.txt"#])
    }

    @Test("EXPOSE keeps only the container's port")
    func hostPorts() throws {
        let (_, all) = try evaluate("FROM a\nEXPOSE 127.0.0.1:80:8080 1:2/UDP 7/sctp 9/")
        guard case .expose(let expose)? = all.first?.kind else { return }
        #expect(try expose.ports() == ["8080/tcp", "2/udp", "7/sctp", "9/tcp"])
    }

    @Test("variables that double with each line end in an error, not in a full memory")
    func doubling() throws {
        let lines = (0..<60).map { "ENV a\($0 + 1)=$a\($0)$a\($0)" }.joined(separator: "\n")
        let error = #expect(throws: DockerfileError.self) { _ = try evaluate("FROM x\nENV a0=12345678\n\(lines)") }
        #expect(error?.message.contains("longer than") == true)
        let many = (0..<40).map { "ENV b\($0)=$a16" }.joined(separator: "\n")
        let total = #expect(throws: DockerfileError.self) {
            _ = try evaluate(
                "FROM x\nENV a0=12345678\n" + lines.split(separator: "\n").prefix(16).joined(separator: "\n")
                    + "\n\(many)")
        }
        #expect(total?.message.contains("all variables together") == true)
    }

    @Test("build arguments that nothing declares are named")
    func undeclared() throws {
        let file = try Dockerfile(parsing: "ARG a\nFROM x\nARG b")
        let arguments = BuildArguments(
            given: ["a": "", "b": "", "c": "", "no_proxy": "", "SOURCE_DATE_EPOCH": "1", "TARGETOS": ""],
            automatic: ["TARGETOS": "linux"])
        #expect(arguments.undeclared(in: file) == ["c"])
    }
}
