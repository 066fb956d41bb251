import Testing

@testable import Dockerfile

@Suite("The graph of stages")
struct StageGraphTests {
    static func graph(
        _ text: String, target: String? = nil, given: [String: String] = [:], automatic: [String: String] = [:]
    ) throws(DockerfileError) -> StageGraph {
        try StageGraph(
            Dockerfile(parsing: text), target: target, arguments: BuildArguments(given: given, automatic: automatic))
    }

    static let diamond = """
        FROM one AS a
        FROM $UNSET AS unused
        FROM two AS b
        COPY --from=A / /
        FROM b AS c
        RUN --mount=from=a,target=/m x
        FROM scratch AS Last
        COPY --from=2 / /
        COPY --from=nginx:1 / /
        """

    @Test(
        "only what the target needs is there, in order",
        arguments: [(nil, [0, 2, 4]), ("LAST", [0, 2, 4]), ("c", [0, 2, 3]), ("a", [0]), ("b", [0, 2])])
    func pruning(target: String?, order: [Int]) throws {
        let graph = try Self.graph(Self.diamond, target: target)
        #expect(graph.order == order)
        #expect(graph.nodes[2]?.dependencies ?? [0] == [0])
    }

    @Test("a base is a stage, scratch, or an image with its platform")
    func bases() throws {
        let text = """
            ARG I=img T
            FROM --platform=$BUILDPLATFORM ${I}:${T:-9} AS img2
            FROM img2 AS x
            FROM scratch AS y
            COPY --from=x / /
            FROM X
            COPY --from=y / /
            COPY --from=0 / /
            """
        let graph = try Self.graph(text, given: ["I": "i"], automatic: ["BUILDPLATFORM": "linux/amd64"])
        #expect(graph.order == [0, 1, 2, 3])
        #expect(graph.nodes[0]?.base == .image("i:9", platform: "linux/amd64"))
        #expect(graph.nodes[1]?.base == .stage(0))
        #expect(graph.nodes[2]?.base == .scratch)
        #expect(graph.nodes[3]?.base == .stage(1))
        #expect(graph.nodes[3]?.dependencies == [0, 1, 2])
    }

    @Test("a named context takes the place of a stage: that is not built, and who names it gets the context")
    func contexts() throws {
        let text = """
            FROM one AS base
            COPY --from=none / /
            FROM two AS other
            FROM Base AS built
            COPY --from=BASE / /
            COPY --from=0 / /
            RUN --mount=from=other,target=/x true
            """
        let graph = try StageGraph(Dockerfile(parsing: text), contexts: ["Base", "unused"])
        #expect(graph.order == [1, 2])
        #expect(graph.nodes[2]?.base == .image("Base", platform: nil))
        for from in ["base", "BASE", "0"] {
            #expect(try graph.reference(Word(from, range: SourceRange(line: 1)), in: 2) == .image("Base"))
        }
        #expect(try graph.reference(Word("other", range: SourceRange(line: 1)), in: 2) == .stage(1))
    }

    @Test("of stages with one name, FROM takes the nearest before it; a number is an image in FROM")
    func duplicates() throws {
        let graph = try Self.graph("FROM one AS a\nFROM two AS a\nFROM a AS b\nFROM three AS a\nFROM 0 AS c\nFROM b")
        #expect(graph.nodes[2]?.base == .stage(1))
        #expect(try Self.graph("FROM one\nFROM 0").nodes[1]?.base == .image("0", platform: nil))
        #expect(try Self.graph("FROM one AS a\nFROM two AS a", target: "a").target == 1)
        let self_ = try Self.graph("FROM alpine AS alpine\nRUN x")
        #expect(self_.nodes[0]?.base == .image("alpine", platform: nil))
    }

    @Test(
        "a reference that cannot be is an error in its line",
        arguments: [
            ("FROM a\nCOPY --from=b / /\nFROM x AS b\nCOPY --from=0 / /", 2, "not defined yet"),
            ("FROM a AS b\nCOPY --from=b / /", 2, "refers to itself"),
            ("FROM a\nCOPY --from=0 / /", 2, "refers to itself"),
            ("FROM a\nCOPY --from=7 / /", 2, "no stage 7"),
            ("FROM a\nCOPY --from=99999999999999999999 / /", 2, "no stage"),
            ("FROM a AS b\nRUN --mount=from=b,target=/x y", 2, "refers to itself"),
            ("ARG e=\nFROM $e", 2, "expands to nothing"),
            ("FROM --platform=$e a", 1, "platform '$e' expands to nothing"),
            ("ARG a=${b:?why}\nFROM x", 1, "b: why"), ("FROM \"a", 1, "not closed"),
            (
                "FROM one AS a\nFROM two AS b\nCOPY --from=a / /\nFROM three AS a\nCOPY --from=b / /", 3,
                "not defined yet"
            ),
        ])
    func faults(text: String, line: Int, message: String) {
        let error = fault { () throws(DockerfileError) in _ = try Self.graph(text) }
        #expect(error?.message.contains(message) == true, "\(String(describing: error?.message))")
        #expect(error?.range?.start.line == line)
    }

    @Test("a mount's number is an image, not a stage")
    func mountNumber() throws {
        let graph = try Self.graph("FROM a\nFROM b\nRUN --mount=from=0,target=/x y")
        #expect(graph.order == [1])
        let place = SourceRange(line: 3)
        #expect(try graph.reference(Word("0", range: place), in: 1, allowsIndex: false) == .image("0"))
        #expect(try graph.reference(Word("0", range: place), in: 1) == .stage(0))
        #expect(try graph.reference(Word("scratch", range: place), in: 1) == .scratch)
    }

    @Test("an unknown target is an error with a suggestion")
    func unknownTarget() {
        let error = fault { () throws(DockerfileError) in _ = try Self.graph("FROM a AS build", target: "biuld") }
        #expect(error?.message == "there is no stage 'biuld' to build")
        #expect(error?.hint == "did you mean build?")
        let number = fault { () throws(DockerfileError) in _ = try Self.graph("FROM a", target: "0") }
        #expect(number?.hint?.contains("no stage has a name") == true)
    }

    @Test("TARGETSTAGE is the target, or default")
    func targetStage() throws {
        #expect(try Self.graph("FROM a AS b\nARG TARGETSTAGE").global.variables["TARGETSTAGE"] == "default")
        #expect(try Self.graph("FROM a AS b", target: "B").global.variables["TARGETSTAGE"] == "B")
    }

    @Test("ONBUILD of a stage fires in the stage on it, with that stage's references")
    func onbuild() throws {
        let text = "FROM x AS files\nFROM y AS base\nONBUILD COPY --from=files /a /b\nFROM base\nRUN z"
        let graph = try Self.graph(text)
        #expect(graph.order == [0, 1, 2])
        #expect(graph.nodes[2]?.triggers.map(\.original) == ["COPY --from=files /a /b"])
        #expect(graph.nodes[2]?.dependencies == [0, 1])
        #expect(graph.nodes[1]?.dependencies == [])
    }

    @Test("triggers of a base image add the stages they need")
    func laterTriggers() throws {
        var graph = try Self.graph("FROM deep AS d\nFROM d AS files\nFROM onbuild")
        #expect(graph.order == [2])
        let trigger = try Instruction.parse(trigger: "COPY --from=files / /", at: SourceRange(line: 3))
        #expect(try graph.require([trigger], in: 2) == [0, 1])
        #expect(graph.order == [0, 1, 2])
        #expect(graph.nodes[2]?.dependencies == [1])
        let bad = try Instruction.parse(trigger: "COPY --from=2 / /", at: SourceRange(line: 3))
        #expect(throws: DockerfileError.self) { try graph.require([bad], in: 2) }
    }

    @Test("a hundred thousand stages in a row take no deep stack")
    func manyStages() throws {
        let text = "FROM x AS s0\n" + (1...100_000).map { "FROM s\($0 - 1) AS s\($0)\n" }.joined()
        #expect(try Self.graph(text).order.count == 100_001)
    }
}
