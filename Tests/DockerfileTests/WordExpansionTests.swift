import Testing

@testable import Dockerfile

@Suite("Expansion of words")
struct WordExpansionTests {
    static let place = SourceRange(line: 7, columns: 3..<9)
    static let variables = [
        "a": "1", "E": "", "s": "foobarbaz", "p": "/a/b", "f": "x.tar.gz", "n": "one\ntwo", "é": "accent", "sp": "x  y",
        "st": "a*b?c", "self": "$a",
    ]

    static func expand(_ text: String, escape: UInt8 = .backslash) throws(DockerfileError) -> String {
        try WordExpansion(escape: escape) { variables[$0] }.expand(Word(text, range: place))
    }

    @Test(
        "every form gives its value",
        arguments: [
            ("", ""), ("plain", "plain"), ("$a", "1"), ("${a}", "1"), ("x$a.y", "x1.y"), ("$ab", ""), ("${a}b", "1b"),
            ("$U", ""), ("${U}", ""), ("$é", "accent"), ("${é}!", "accent!"), ("$", "$"), ("$/", "$/"),
            ("a$ b", "a$ b"),
            ("$1x", "x"), ("$12x", "x"), ("$@$*$#$?$-$$$!$0.", "."), ("$self", "$a"),
            ("${U:-w}", "w"), ("${E:-w}", "w"), ("${a:-w}", "1"), ("${U-w}", "w"), ("${E-w}", ""), ("${U:-}", ""),
            ("${U:+w}", ""), ("${E:+w}", ""), ("${a:+w}", "w"), ("${E+w}", "w"), ("${U+w}", ""),
            ("${a:?m}", "1"), ("${a?m}", "1"), ("${E?m}", ""),
            ("${U:-${a}x}", "1x"), ("${U:-${V:-${W:-deep}}}", "deep"), ("${U:-\"q }\"}", "q }"), ("${U:-'$a'}", "$a"),
            ("${U:-\\}}", "}"), ("${U:-a b}", "a b"), ("${a:+${U:-z}}", "z"),
            ("${f#*.}", "tar.gz"), ("${f##*.}", "gz"), ("${f%.*}", "x.tar"), ("${f%%.*}", "x"), ("${f#y}", "x.tar.gz"),
            ("${p##*/}", "b"), ("${p%/*}", "/a"), ("${s#???}", "barbaz"), ("${s%$U}", "foobarbaz"), ("${U#x}", ""),
            ("${st#a\\*}", "b?c"), ("${st%%\\?*}", "a*b"), ("${n#*t}", "one\ntwo"), ("${n%e?two}", "one\ntwo"),
            ("${s/ba/fo}", "fooforbaz"), ("${s//ba/fo}", "fooforfoz"),
            ("${p//\\//_}", "_a_b"), ("${s/b*z/X}", "fooX"), ("${s//o/}", "fbarbaz"), ("${s/[a]/x}", "foobarbaz"),
            ("${s//$a/x}", "foobarbaz"), ("${s/foo/$a}", "1barbaz"), ("${s/foo/$1}", "barbaz"), ("${E//x/y}", ""),
            ("${a//1/x\\}y}", "x\\}y"), ("${a///-}", "-1-"),
            ("\\$a", "$a"), ("\\${a}", "${a}"), ("'$a'", "$a"), ("\"$a\"", "1"), ("\"x y\"", "x y"), ("x\\ y", "x y"),
            ("\"a\\'b\"", "a\\'b"), ("'a\\'b", "a\\b"), ("'a\\'b''", "a\\b"), ("\"\\\"\"", "\""), ("\"\\$a\"", "$a"),
            ("\"\\\\\"", "\\"), ("\"\\n\"", "\\n"), ("\\\\", "\\"), ("a\\", "a"), ("''", ""), ("\"\"x''", "x"),
        ])
    func forms(text: String, expected: String) throws {
        #expect(try Self.expand(text) == expected)
    }

    @Test(
        "what is malformed is an error at the word",
        arguments: [
            ("${U:?not there}", "U: not there"), ("${U?}", "not allowed to be unset"),
            ("${E:?}", "not allowed to be empty"),
            ("${E:?$a x}", "E: 1 x"), ("${s//p}", "second '/' is missing"), ("${s/p}", "second '/' is missing"),
            ("${}", "bad substitution"), ("${:x}", "bad substitution"), ("${{a}", "bad substitution"), ("${", "'}'"),
            ("${a", "'}'"), ("${a:", "'}'"), ("${a:-b", "'}'"), ("${a/b/c", "'}'"), ("${a^^}", "modifier '^'"),
            ("${a:0:2}", "modifier ':0'"), ("${#n}", "modifier 'n'"), ("${a,,}", "modifier ','"),
            ("${s#\\x}", "escapes nothing"),
            ("'a", "single quote is not closed"), ("\"a", "double quote is not closed"), ("'a\\'b'", "single quote"),
            ("\"a\\", "double quote"),
            (String(repeating: "${a:-", count: 100_000), "nested deeper"),
            (String(repeating: "${U:-", count: 65) + String(repeating: "}", count: 65), "nested deeper"),
        ])
    func errors(text: String, message: String) {
        let error = fault { () throws(DockerfileError) in _ = try Self.expand(text) }
        #expect(error?.message.contains(message) == true, "\(String(describing: error?.message))")
        #expect(error?.range == Self.place)
    }

    @Test("a backtick may be the escape character; a backslash is then ordinary")
    func backtick() throws {
        #expect(try Self.expand("c:`\\x\\y`$a", escape: UInt8(ascii: "`")) == "c:\\x\\y$a")
        #expect(try Self.expand("\"`\"\\\"", escape: UInt8(ascii: "`")) == "\"\\")
    }

    @Test("words are cut after expansion, but not inside quotes")
    func words() throws {
        let expansion = WordExpansion { Self.variables[$0] }
        let result = try expansion.result(of: Word("  $sp \"$sp\" a\\ b $U c", range: Self.place), cutsWords: true)
        #expect(result.words == ["x", "y", "x  y", "a b", "c"])
        #expect(result.unset == ["U"])
        #expect(try expansion.result(of: Word("$V${V}$U${W:-x}", range: Self.place)).unset == ["V", "U"])
    }

    @Test("output and work are bounded")
    func bounds() {
        let long = String(repeating: "a", count: 1 << 19)
        let expansion = WordExpansion { _ in long }
        let tooLong = fault { () throws(DockerfileError) in _ = try expansion.expand(Word("$a$a$a", range: Self.place))
        }
        #expect(tooLong?.message.contains("longer than") == true)
        let pattern = String(repeating: "a*", count: 500) + "b"
        let tooMuch = fault { () throws(DockerfileError) in
            _ = try expansion.expand(Word("${x//\(pattern)/y}", range: Self.place))
        }
        #expect(tooMuch?.message.contains("too long to match") == true)
    }
}
