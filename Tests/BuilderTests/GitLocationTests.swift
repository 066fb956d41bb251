import Testing

@testable import Builder

@Suite struct GitLocationTests {
    @Test(
        "no password of a context is in an error",
        arguments: [
            "git://u:s3cret@h/r.git#a b", "https://u:s3cret@h/r.git#a#b#c", "ssh://u:s3cret@h/r#x#nohex",
            "git+ssh://u:s3cret@h/r#a#b#c", "git://u:s3cret@",
        ])
    func redaction(context: String) {
        let error = #expect(throws: BuildError.self) { try GitLocation(parsing: context) }
        #expect(error.map { "\($0)".contains("s3cret") } == false)
    }

    @Test(
        "a context is URL#REF#COMMIT",
        arguments: [
            ("git://h/r.git", "https://h/r.git", nil, nil),
            ("git://u:p%40q@h/r.git#refs/heads/main", "https://h/r.git", "refs/heads/main", nil),
            ("https://h/r.git#main#", "https://h/r.git", "main", nil),
            (
                "https://h/r.git##0123456789012345678901234567890123456789", "https://h/r.git", nil,
                "0123456789012345678901234567890123456789"
            ),
            (
                "git@h:r.git#0123456789012345678901234567890123456789", "git@h:r.git", nil,
                "0123456789012345678901234567890123456789"
            ),
        ] as [(String, String, String?, String?)])
    func parts(context: String, url: String, ref: String?, commit: String?) throws {
        let location = try GitLocation(parsing: context)
        #expect([location.url, location.ref, location.commit] == [url, ref, commit])
        if context.contains("@h/") { #expect(location.userInformation?.password == "p@q") }
    }
}
