import TestSupport
import Testing

@testable import Dockerfile

@Suite("Hostile input", .serialized)
struct FuzzTests {
    static let pieces = [
        "FROM a", "FROM scratch AS b", "COPY ", "ADD ", "RUN ", "ENV ", "ARG ", "ONBUILD ", "HEALTHCHECK ", "EXPOSE ",
        "LABEL ",
        "VOLUME ", "--mount=", "--chmod=", "--from=b", "--link", "type=cache,", "target=", "<<EOF", "<<-'A'", "EOF",
        "A", "[",
        "]", "\"", "'", "\\", "`", "$", "${", "}", ":-", "##", "//", "/", "*", "?", "=", ",", " ", "\t", "\n", "\n",
        "\r\n", "#",
        "# escape=`\n", "é", "9", "-", "--", "x", "!", "**", "CMD", "NONE", "SIGTERM", "$x", "\u{FEFF}",
    ]

    static func text(_ random: inout SeededGenerator, pieces count: Int) -> String {
        (0..<Int.random(in: 0...count, using: &random)).map { _ in
            pieces[Int.random(in: 0..<pieces.count, using: &random)]
        }
        .joined()
    }

    /// That a range lies in the text, so that an excerpt can be drawn.
    static func check(_ range: SourceRange?, _ source: SourceText) {
        guard let range else { return }
        #expect(range.start.line >= 1 && range.end.line <= source.lineCount && range.start <= range.end)
    }

    @Test("no sequence of words crashes the parser, the graph or the scopes, and every place lies in the text")
    func parser() throws {
        var random = SeededGenerator(state: 2026)
        var parsed = 0
        for _ in 0..<6000 {
            let source = try SourceText(Array(("FROM base\n" + Self.text(&random, pieces: 24)).utf8))
            do {
                let file = try Dockerfile(parsing: source)
                for instruction in file.stages.flatMap(\.instructions) { Self.check(instruction.range, source) }
                let graph = try StageGraph(file)
                for node in graph.nodes.values {
                    var scope = StageScope(global: graph.global, baseEnvironment: ["x=1"])
                    for instruction in node.stage.instructions { try scope.apply(scope.expanded(instruction)) }
                }
                parsed += 1
            } catch {
                Self.check(error.range, source)
                #expect(!SourceExcerpt.report(error, in: source, name: "f").isEmpty)
            }
        }
        // The pieces are chosen so that both outcomes are met.
        #expect(parsed > 100)
    }

    @Test("no word crashes the expander, and an expanded word of plain characters stays as it is")
    func expander() {
        var random = SeededGenerator(state: 7)
        let expansion = WordExpansion { $0 == "x" ? "value" : nil }
        var failed = 0
        for _ in 0..<20_000 {
            let word = Word(Self.text(&random, pieces: 12), range: SourceRange(line: 1))
            let error = fault { () throws(DockerfileError) in
                let text = try expansion.expand(word)
                if !word.text.contains(where: { "$'\"\\".contains($0) }) { #expect(text == word.text) }
            }
            if error != nil { failed += 1 }
        }
        #expect(failed > 100)
    }

    @Test("the ignore matcher agrees with a plain, slow one on random patterns and paths")
    func ignoreMatcher() throws {
        var random = SeededGenerator(state: 11)
        let alphabet = ["a", "b", "/", "*", "**", "?", "a", "/"]
        for _ in 0..<20_000 {
            let pattern = (0..<Int.random(in: 1...7, using: &random)).map { _ in
                alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
            }.joined()
            let path = (0..<Int.random(in: 1...7, using: &random)).map { _ in
                ["a", "b", "/"][Int.random(in: 0..<3, using: &random)]
            }.joined().split(separator: "/").joined(separator: "/")
            var cleaned = PathText.cleaned(pattern)
            if cleaned.count > 1, cleaned.hasPrefix("/") { cleaned.removeFirst() }
            guard !path.isEmpty, !cleaned.contains("***") else { continue }
            let components = path.split(separator: "/")
            let expected = (1...components.count).contains { count in
                SlowMatcher.matches(cleaned, components.prefix(count).joined(separator: "/"))
            }
            let patterns = try IgnorePatterns(parsing: Array(pattern.utf8))
            #expect(patterns.isIgnored(path.utf8) == expected, "\(pattern) on \(path)")
            // Long patterns are matched in another way.
            if let matcher = PathMatcher(Array(cleaned.utf8), usesBits: false) {
                var walk = PathMatcher.Walk(path.utf8)
                #expect(matcher.matchesPathOrParent(&walk) == expected, "\(pattern) on \(path)")
            }
        }
    }

    /// Each word is dear by itself, and there are many.
    static let manyPatterns =
        "ENV s=" + String(repeating: "a", count: 500) + "\n"
        + String(repeating: "LABEL t=${s//a*a*a*a*b/x}\n", count: 10_000)
    static let manyValues =
        "ENV a0=12345678\n" + (0..<16).map { "ENV a\($0 + 1)=$a\($0)$a\($0)\n" }.joined()
        + String(repeating: "LABEL t=$a16\n", count: 10_000)

    @Test(
        "what is large or deep ends in time",
        arguments: [
            "RUN a " + String(repeating: "\\\n", count: 100_000), "RUN " + String(repeating: "a\\\n", count: 100_000),
            "ENV a=" + String(repeating: "${", count: 30_000), "ENV a=" + String(repeating: "\"$x", count: 10_000),
            "CMD " + String(repeating: "[", count: 60_000), "COPY " + String(repeating: "<<A ", count: 10_000) + "/\n",
            "COPY " + String(repeating: "<<A ", count: 10_000) + "/\n" + String(repeating: "A\n", count: 10_000),
            String(repeating: "ENV a$x=1\nARG b$x=1\n", count: 5000),
            String(repeating: "ONBUILD ", count: 8000) + "RUN a",
            "RUN --mount=" + String(repeating: "target=/a,", count: 6000),
            "LABEL " + String(repeating: "a=b ", count: 16_000),
            "EXPOSE " + String(repeating: "0-65535 ", count: 8), String(repeating: "RUN <<A\nA\n", count: 20_000),
            "ENV a=" + String(repeating: "${a:-\\\n", count: 100_000),
            "ENV a=" + String(repeating: "${a:-\\\n", count: 60) + "x" + String(repeating: "}", count: 60),
            "COPY " + String(repeating: "--exclude=a \\\n", count: 100_000) + "a b",
            "CMD " + String(repeating: "[\\\n", count: 100_000),
            "CMD [" + String(repeating: "\"a\",\\\n", count: 100_000),
            "RUN " + String(repeating: "--mount=target=/a \\\n", count: 50_000) + "a",
            String(repeating: "FROM a\n", count: 100_000), manyPatterns, manyValues,
            String(repeating: "FROM a AS b\nCOPY --from=b / /\n", count: 100_000),
        ])
    func large(text: String) {
        let time = processorTime {
            do { _ = try evaluate("FROM scratch\n" + text) } catch { #expect(error is DockerfileError) }
        }
        #expect(time < .seconds(15))
    }

    @Test("a text of 100 MB is refused before it is looked at")
    func tooLarge() {
        let text = [UInt8](repeating: UInt8(ascii: "\n"), count: 100_000_000)
        var error: DockerfileError?
        let time = processorTime { error = fault { () throws(DockerfileError) in _ = try Dockerfile(parsing: text) } }
        #expect(error?.message == "the Dockerfile has 100000000 bytes; at most 4194304 are read")
        #expect(time < .milliseconds(100))
    }
}

/// The meaning of a pattern of `a`, `b`, `/`, `*`, `**` and `?`, by trying everything.
private enum SlowMatcher {
    static func matches(_ pattern: String, _ path: String) -> Bool {
        if pattern.hasPrefix("**"), pattern.count > 2, !pattern.dropFirst(2).contains(where: { "*?".contains($0) }) {
            let suffix = pattern.dropFirst(2)
            return suffix.hasPrefix("/") ? ("/" + path).hasSuffix(suffix) : path.hasSuffix(suffix)
        }
        return matches(Array(pattern)[...], Array(path)[...])
    }

    private static func matches(_ pattern: ArraySlice<Character>, _ path: ArraySlice<Character>) -> Bool {
        guard let first = pattern.first else { return path.isEmpty }
        if pattern.starts(with: "**") {
            var rest = pattern.dropFirst(2)
            if rest.first == "/" { rest = rest.dropFirst() }
            if rest.isEmpty { return true }
            return matches(rest, path)
                || path.indices.contains { path[$0] == "/" && matches(rest, path[($0 + 1)...]) }
        }
        if first == "*" {
            let component = path.prefix { $0 != "/" }
            return (0...component.count).contains { matches(pattern.dropFirst(), path.dropFirst($0)) }
        }
        guard let character = path.first, first == "?" ? character != "/" : character == first else { return false }
        return matches(pattern.dropFirst(), path.dropFirst())
    }
}
