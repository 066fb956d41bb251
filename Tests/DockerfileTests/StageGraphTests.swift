import TestSupport
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

    @Test("as many stages in a row as there may be take no deep stack, and little time")
    func manyStages() throws {
        let text = "FROM x AS s0\n" + (1..<10_000).map { "FROM s\($0 - 1) AS s\($0)\n" }.joined()
        var count = 0
        let time = try processorTime { count = try Self.graph(text).order.count }
        #expect(count == 10_000)
        #expect(time < .seconds(3))
    }

    /// The name that is used in the last stage, and the stage that was probably meant.
    @Test(
        "a name near to that of a stage before is probably that stage's, but no image's that the Dockerfile uses",
        arguments: [
            ("FROM a AS build\nFROM b", "biuld", "build"), ("FROM a AS build\nFROM b", "Built", "build"),
            ("FROM a AS build\nFROM b", "build:1", nil), ("FROM a AS build\nFROM b", "x/build1", nil),
            ("FROM a\nFROM b\nFROM c AS build", "biuld", nil), ("FROM alpine:3 AS alpine3\nFROM b", "alpine", nil),
            ("FROM alpine3 AS alpine\nFROM b", "alpin", "alpine"), ("FROM a AS build\nFROM b", "nginx", nil),
            ("FROM a AS ab\nFROM b", "cd", nil), ("FROM a AS s1\nFROM b", "0", nil),
        ] as [(String, String, String?)])
    func suggestions(text: String, name: String, expected: String?) throws {
        let lines = text.split(separator: "\n")
        let index = lines.lastIndex { $0 == "FROM b" } ?? 0
        #expect(try Self.graph(text).suggestion(forImage: name, in: index) == expected)
    }
}
