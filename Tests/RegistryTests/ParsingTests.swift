import SystemIO
import SystemPackage
import Testing

@testable import Registry

@Suite("parsing")
struct ParsingTests {
    @Test("challenges as real servers write them")
    func challenges() {
        let full = ["realm": "https://a/token", "service": "s", "scope": "repository:a:pull,push"]
        let cases: [(header: String, expected: [Challenge])] = [
            (
                #"Bearer realm="https://a/token",service="s",scope="repository:a:pull,push""#,
                [Challenge(scheme: "bearer", parameters: full)]
            ),
            (
                #"bEARER  REALM = "https://a/token" , service=s,scope="repository:a:pull,push""#,
                [Challenge(scheme: "bearer", parameters: full)]
            ),
            (
                #"Bearer realm="https://a/token" service="s" scope="repository:a:pull,push""#,
                [Challenge(scheme: "bearer", parameters: full)]
            ),
            (#""Bearer" realm="x""#, [Challenge(scheme: "bearer", parameters: ["realm": "x"])]),
            (
                #"Basic realm="x\"y\\z", charset="UTF-8""#,
                [Challenge(scheme: "basic", parameters: ["realm": #"x"y\z"#, "charset": "UTF-8"])]
            ),
            (#"Basic realm="not closed"#, [Challenge(scheme: "basic", parameters: ["realm": "not closed"])]),
            (#"Basic realm="escape\"#, [Challenge(scheme: "basic", parameters: ["realm": "escape"])]),
            ("Basic realm=bare", [Challenge(scheme: "basic", parameters: ["realm": "bare"])]),
            (
                "Bearer realm=https://a/t?x=1,service=s",
                [Challenge(scheme: "bearer", parameters: ["realm": "https://a/t?x=1", "service": "s"])]
            ),
            ("Basic", [Challenge(scheme: "basic", parameters: [:])]),
            (
                #"Negotiate, Basic realm="a", Bearer realm="b""#,
                [
                    Challenge(scheme: "negotiate", parameters: [:]),
                    Challenge(scheme: "basic", parameters: ["realm": "a"]),
                    Challenge(scheme: "bearer", parameters: ["realm": "b"]),
                ]
            ),
            (#"Bearer realm="a",realm="b""#, [Challenge(scheme: "bearer", parameters: ["realm": "a"])]),
            ("", []), (",,, ,", []), ("===", []), ("\"", []), ("\"\\", []),
        ]
        for (header, expected) in cases {
            #expect(Challenge.parse([header]) == expected, "\(header)")
        }
        #expect(Challenge.parse(["Basic realm=a", "Bearer realm=b"]).map(\.scheme) == ["basic", "bearer"])
        let negotiated = Challenge.parse(["Negotiate YWJj==, Basic realm=a"])
        #expect(negotiated.contains(Challenge(scheme: "basic", parameters: ["realm": "a"])))
    }

    @Test("addresses are taken as they are, or not at all")
    func addresses() {
        let good = [
            ("HTTPS://Reg.Example.com:443/v2/?a=%2F&b", "https://reg.example.com/v2/?a=%2F&b"),
            ("http://[::1]:5000/x#frag", "http://[::1]:5000/x"), ("https://h", "https://h/"),
            ("http://h?q", "http://h/?q"),
        ]
        for (text, expected) in good { #expect(HTTPURL(parsing: text)?.text == expected) }
        for text in [
            "", "h", "ftp://h/", "https:///x", "https://u:p@h/", "https://h:0/", "https://h:99999/", "https://h:x/",
            "https://h/a b", "https://h/\r\nX: y", "https://h/é", "https://a:b:c/", "https://[::1/",
        ] {
            #expect(HTTPURL(parsing: text) == nil, "\(text)")
        }
        #expect(HTTPURL(parsing: "https://h/a?sig=secret").map { "\($0)" } == "https://h/a?...")
    }

    @Test("locations are resolved against the address that named them")
    func resolving() throws {
        let base = try #require(HTTPURL(parsing: "https://reg:5000/v2/r/blobs/uploads/?mount=x"))
        let cases: [(String, String?)] = [
            ("https://other/x?s=1", "https://other/x?s=1"), ("//other/x", "https://other/x"),
            ("/v2/up?_state=a%2B", "https://reg:5000/v2/up?_state=a%2B"),
            ("abc", "https://reg:5000/v2/r/blobs/uploads/abc"),
            ("../x?y", "https://reg:5000/v2/r/blobs/x?y"), ("reg:5000/up", "https://reg:5000/up"),
            ("?q", "https://reg:5000/v2/r/blobs/uploads/?q"), ("", nil), ("mailto:x", nil), ("file:///x", nil),
            ("../../../../../../x", "https://reg:5000/x"),
        ]
        for (reference, expected) in cases { #expect(base.resolving(reference)?.text == expected, "\(reference)") }
    }

    @Test("content ranges")
    func contentRanges() {
        #expect(ContentRange("bytes 10-99/100").map { [$0.start, $0.total] } == [10, 100])
        #expect(ContentRange("bytes 10-99/*").map { [$0.start, $0.total] } == [10, nil])
        for text in ["", "bytes */100", "bytes 1-2", "10-99/100"] { #expect(ContentRange(text) == nil) }
    }

    @Test("waits double to their cap, obey Retry-After, and end")
    func retryPolicy() {
        let policy = RetryPolicy.standard
        var error = RegistryError(.status(503), message: "x", isTemporary: true)
        func decide(_ attempt: Int, elapsed: Duration = .zero, random: Double = 1) -> RetryPolicy.Decision {
            policy.decision(after: error, attempt: attempt, elapsed: elapsed, random: random)
        }
        #expect(decide(1) == .wait(.milliseconds(500)))
        #expect(decide(2) == .wait(.seconds(1)))
        #expect(decide(3, random: 0) == .wait(.zero))
        #expect(decide(6) == .stop("gave up after 6 tries"))
        #expect(decide(1, elapsed: .seconds(299.9)) == .stop("gave up after 1 try in 299 s"))
        error.retryAfter = .seconds(7)
        #expect(decide(1, random: 0) == .wait(.seconds(7)))
        error.retryAfter = .seconds(61)
        #expect(decide(1) == .stop("the server asks to wait 61 s, which is too long"))
        error.isTemporary = false
        #expect(decide(1) == .stop(nil))
    }
}
