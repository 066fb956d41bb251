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
        #expect(copy.sources.map { file.excerpt(around: $0.range)[1].first } == [">", ">", ">"])
        #expect(copy.sources.map(\.range.start.line) == [5, 5, 7])
        #expect(copy.sources[2].range == SourceRange(line: 7, columns: 5..<6))
        #expect(copy.destination.text == "./")
        #expect(copy.options.chown?.text == "1:2")
        #expect(copy.options.excludes.map(\.text) == ["*.md"])
    }
}
