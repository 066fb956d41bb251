import TestSupport
import Testing

@testable import Dockerfile

@Suite("Ignore patterns")
struct IgnorePatternsTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var patterns: String
        var ignored: [String]
        var kept: [String]
        var testDescription: String { patterns }

        init(_ patterns: String, ignored: [String], kept: [String]) {
            self.patterns = patterns
            self.ignored = ignored
            self.kept = kept
        }
    }

    static let cases = [
        Case("foo", ignored: ["foo", "foo/x", "foo/x/y"], kept: ["b/foo", "foox", "fo"]),
        Case("./a//b/", ignored: ["a/b", "a/b/c"], kept: ["a", "ab"]),
        Case("/foo", ignored: ["foo"], kept: ["a/foo"]), Case("a/../b", ignored: ["b"], kept: ["a"]),
        Case("*.md", ignored: ["a.md", ".md", "a.md/x"], kept: ["d/a.md", "amd"]),
        Case("*/*.md", ignored: ["d/a.md"], kept: ["a.md", "d/e/a.md"]),
        Case("**/*.md", ignored: ["a.md", "d/a.md", "d/e/a.md"], kept: ["a.mdx"]),
        Case("**/x", ignored: ["x", "a/x", "a/b/x", "x/y"], kept: ["ax", "a/xb"]),
        Case("a/**", ignored: ["a/b", "a/b/c", "a/.x"], kept: ["a", "ab"]),
        Case("a/**/b", ignored: ["a/b", "a/x/b", "a/x/y/b", "a/b/c"], kept: ["a", "a/x", "ab", "a/xb"]),
        Case("a**b", ignored: ["ab", "ax/b"], kept: ["axb"]),
        Case("foo**", ignored: ["foo", "foobar/x", "foo/x"], kept: ["x/foo"]),
        Case("**foo", ignored: ["foo", "barfoo", "x/barfoo"], kept: ["foob"]),
        Case("**.o", ignored: ["a.o", "d/a.o", ".o"], kept: ["ao"]),
        Case("**", ignored: ["a", "a/b", ".x"], kept: []), Case("*", ignored: ["a", "a/b", ".x"], kept: []),
        Case(".", ignored: [], kept: ["a", "a/b"]), Case("..", ignored: [], kept: ["a"]),
        Case("a?c", ignored: ["abc", "aéc"], kept: ["ac", "a/c"]),
        Case("[a-c]x", ignored: ["ax", "cx"], kept: ["dx", "x"]), Case("[^a]x", ignored: ["bx", "éx"], kept: ["ax"]),
        Case("\\*", ignored: ["*"], kept: ["a"]), Case("[[]", ignored: ["["], kept: ["a"]),
        Case("#a\n #b", ignored: ["#b"], kept: ["#a"]), Case("  a b  \n\n", ignored: ["a b"], kept: ["a"]),
        Case("\u{FEFF}a", ignored: ["a"], kept: ["\u{FEFF}a"]), Case("a\r\nb\r\n", ignored: ["a", "b"], kept: ["a\r"]),
        Case("dir\n!dir/keep", ignored: ["dir", "dir/x"], kept: ["dir/keep", "dir/keep/y"]),
        Case("*\n! src", ignored: ["a", "srcx"], kept: ["src", "src/a"]),
        Case("!a\na", ignored: ["a"], kept: []),
        Case("*.md\n!README*.md\nREADME-secret.md", ignored: ["x.md", "README-secret.md"], kept: ["README.md"]),
        Case("a.b$(c)", ignored: ["a.b$(c)"], kept: ["axb$(c)"]),
    ]

    @Test("the last match decides, parents included", arguments: cases)
    func matching(example: Case) throws {
        let patterns = try IgnorePatterns(parsing: Array(example.patterns.utf8))
        for path in example.ignored { #expect(patterns.isIgnored(path.utf8), "\(path)") }
        for path in example.kept { #expect(!patterns.isIgnored(path.utf8), "\(path)") }
    }

    @Test("names that are not UTF-8 match by their bytes")
    func bytes() throws {
        let patterns = try IgnorePatterns(parsing: [0xFF, 0x2A, 0x0A] + Array("b?".utf8))
        #expect(patterns.isIgnored([0xFF, 0x61]))
        #expect(!patterns.isIgnored([0xFE, 0x61]))
        #expect(patterns.isIgnored([0x62, 0xC3]))
    }

    @Test("the deciding line is named, as its author wrote it")
    func decidingLine() throws {
        let patterns = try IgnorePatterns(parsing: Array("# c\n\n /dist/ \nx\n!x".utf8))
        #expect(patterns.decidingLine(for: "dist/a".utf8) == .init(number: 3, text: "/dist/"))
        #expect(patterns.decidingLine(for: "x".utf8) == nil)
        #expect(patterns.decidingLine(for: "y".utf8) == nil)
    }

    @Test(
        "an ignored directory is descended only if something below it may be kept",
        arguments: [
            ("dir\n!dir/keep", "dir", true), ("dir\n!dir/keep", "dir/other", false), ("dir\n!other/keep", "dir", false),
            ("*\n!**/x", "dir/deep", true), ("*\n!a/*/c", "a/b", true), ("*\n!a/*/c", "b", false),
            ("*\n!a/b/c", "a/b", true), ("*\n!a/b/c", "a/bb", false), ("!dir/keep\ndir", "dir", false),
            ("dir\n!dir/a/**", "dir", true), ("dir\n!dir", "dir", false), ("*\n!x", "", true), ("a", "a", false),
        ])
    func descending(text: String, directory: String, expected: Bool) throws {
        let patterns = try IgnorePatterns(parsing: Array(text.utf8))
        #expect(patterns.mayContainIncluded(directory.utf8) == expected)
    }

    @Test(
        "malformed patterns are errors with their line",
        arguments: ["a\n!", "a\n! ", "\n[a", "\n[]", "\na\\", "\n[a-]", "\n[b-a]"])
    func faults(text: String) {
        let error = fault { () throws(DockerfileError) in _ = try IgnorePatterns(parsing: Array(text.utf8)) }
        #expect(error?.range?.start.line == 2)
    }

    @Test("--exclude takes the same patterns")
    func exclude() throws {
        let place = SourceRange(line: 4)
        let patterns = try IgnorePatterns(excluding: [Word("*.md", range: place), Word("!a.md", range: place)])
        #expect(patterns.isIgnored("b.md".utf8))
        #expect(!patterns.isIgnored("a.md".utf8))
        #expect(try IgnorePatterns(excluding: []).isEmpty)
        #expect(throws: DockerfileError.self) { try IgnorePatterns(excluding: [Word("[", range: place)]) }
    }

    @Test("a pattern made to backtrack takes no longer than another")
    func hostilePattern() throws {
        let pattern = String(repeating: "a*", count: 100) + "b/" + String(repeating: "**/a*", count: 50)
        let patterns = try IgnorePatterns(parsing: Array(pattern.utf8))
        let path = String(repeating: "a", count: 255) + "/" + String(repeating: "aaaa/", count: 50) + "b"
        var isIgnored = true
        let time = processorTime { isIgnored = patterns.isIgnored(path.utf8) }
        #expect(!isIgnored)
        #expect(time < .seconds(2))
    }
}
