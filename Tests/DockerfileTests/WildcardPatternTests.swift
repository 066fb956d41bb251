import TestSupport
import Testing

@testable import Dockerfile

@Suite("Wildcards in sources")
struct WildcardPatternTests {
    @Test(
        "a whole path is matched as Go's filepath.Match does",
        arguments: [
            ("abc", "abc", true), ("*", "abc", true), ("*", ".hidden", true), ("*", "a/b", false), ("*", "", true),
            ("*c", "abc", true), ("a*", "a", true), ("a*/b", "abc/b", true), ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true), ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true), ("a*b?c*x", "abxbbxdbxebxczzy", false), ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true), ("ab[e-g]", "abc", false), ("ab[^c]", "abc", false), ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true), ("a\\*b", "ab", false), ("a?b", "a☺b", true), ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false), ("[a-ζ]*", "α", true), ("a?b", "a/b", false), ("a[^x]b", "a/b", false),
            ("[\\]a]", "]", true), ("[\\-]", "-", true), ("[x\\-]", "z", false), ("[a-b-c]", "b", nil),
            ("*x", "xxx", true),
            ("**/sub/*.txt", "a/sub/x.txt", true), ("**/sub/*.txt", "a/sub/sub/x.txt", false), ("**", "a/b", false),
            ("[[]", "[", true), ("[", "a", nil), ("[^", "a", nil), ("[^bc", "a", nil), ("a[", "a", nil),
            ("[]a]", "]", nil),
            ("[-]", "-", nil), ("[x-]", "x", nil), ("[-x]", "x", nil), ("\\", "a", nil), ("[\\", "a", nil),
            ("[a-\\", "a", nil),
            ("[b-a]", "a", false),
        ])
    func matching(pattern: String, path: String, expected: Bool?) throws {
        guard let expected else {
            let error = fault { () throws(DockerfileError) in _ = try WildcardPattern(parsing: Array(pattern.utf8)) }
            #expect(error?.message.contains("malformed") == true)
            return
        }
        #expect(try WildcardPattern(parsing: Array(pattern.utf8)).matches(path.utf8) == expected)
    }

    @Test("a malformed pattern in a word is an error at the word")
    func place() {
        let word = Word("a[", range: SourceRange(line: 3, columns: 2..<4))
        let error = fault { () throws(DockerfileError) in _ = try WildcardPattern(parsing: word) }
        #expect(error?.range == word.range)
    }

    @Test("names that are not UTF-8 match byte by byte")
    func bytes() throws {
        #expect(try WildcardPattern(parsing: Array("a?".utf8)).matches([0x61, 0xFF]))
        #expect(try WildcardPattern(parsing: [0xFF, 0x2A]).matches([0xFF, 0xFE, 0x62]))
        #expect(try !WildcardPattern(parsing: [0xFF]).matches([0xFE]))
    }

    @Test("a directory is worth a look only if a path below it may match")
    func below() throws {
        let pattern = try WildcardPattern(parsing: Array("a*/b?/*.c".utf8))
        #expect(pattern.componentCount == 3)
        #expect(pattern.isWildcard)
        #expect(pattern.literal == nil)
        for (directory, expected) in [("ax", true), ("b", false), ("ax/bc", true), ("ax/c", false), ("ax/bc/d", false)]
        {
            #expect(pattern.mayMatch(below: directory.utf8) == expected, "\(directory)")
        }
        let plain = try WildcardPattern(parsing: Array("a\\[b".utf8))
        #expect(!plain.isWildcard)
        #expect(plain.literal == Array("a[b".utf8))
    }

    @Test("a pattern made to backtrack ends soon")
    func hostilePattern() throws {
        let pattern = try WildcardPattern(parsing: Array((String(repeating: "a*", count: 200) + "b").utf8))
        var matches = true
        let path = Array(repeating: UInt8(ascii: "a"), count: 4000)
        let time = processorTime { matches = pattern.matches(path) }
        #expect(!matches)
        #expect(time < .seconds(2))
    }
}
