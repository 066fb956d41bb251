import TestSupport
import Testing

@testable import Dockerfile

@Suite("Errors of parsing")
struct ParserErrorTests {
    @Test("every fault of the language is named with its line", arguments: FaultyDockerfile.all)
    func faults(example: FaultyDockerfile) throws {
        var error: DockerfileError?
        do { _ = try evaluate(example.text) } catch let thrown as DockerfileError { error = thrown }
        #expect(error?.message.contains(example.message) == true, "\(String(describing: error?.message))")
        #expect(error?.range?.start.line == example.line)
        if let hint = example.hint { #expect(error?.hint == hint) }
    }

    @Test("a NUL is pointed at")
    func nul() throws {
        let error = fault { () throws(DockerfileError) in _ = try SourceText(Array("FROM a\nRUN b\u{0}c\n".utf8)) }
        #expect(error?.range == SourceRange(line: 2, columns: 6..<7))
        let first = fault { () throws(DockerfileError) in _ = try SourceText([0]) }
        #expect(first?.range == SourceRange(line: 1, columns: 1..<2))
        let last = fault { () throws(DockerfileError) in _ = try SourceText(Array("FROM a\n\u{0}".utf8)) }
        #expect(last?.range == SourceRange(line: 2, columns: 1..<2))
    }

    @Test("a message is one line of bounded length, whatever the text is that it repeats")
    func messages() {
        let error = DockerfileError(
            "'a\nb\u{1B}[31m\u{85}é' is no name", at: SourceRange(line: 1), hint: "did you mean 'a\tb'?")
        #expect(
            SourceExcerpt.report(error, in: nil, name: "Dockerfile") == """
                Dockerfile:1: 'a\\x0ab\\x1b[31m\\x85é' is no name
                hint: did you mean 'a\\x09b'?
                """)
        let long = SourceExcerpt.printable("begin" + String(repeating: "x", count: 4 << 20) + "end")
        #expect(long.hasPrefix("beginx") && long.contains("x ... x") && long.hasSuffix("xend"))
        #expect(long.utf8.count < 2100)
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
