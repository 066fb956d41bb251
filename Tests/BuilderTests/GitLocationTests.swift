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
            ("git://h/r.git##", "https://h/r.git", nil, nil), ("git://h/r.git#HEAD#HEAD", "https://h/r.git", nil, nil),
            ("git://h/r.git#refs/pull/7/head#ABCDEF1", "https://h/r.git", "refs/pull/7/head", "abcdef1"),
            ("ssh://git@h:22/r", "ssh://git@h:22/r", nil, nil), ("git+ssh://h/r#main", "ssh://h/r", "main", nil),
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

    @Test(
        "a commit of zeros, of too few digits, and a ref that cannot be one are refused",
        arguments: [
            ("git://h/r#main#0000000000000000000000000000000000000000", "a branch was deleted"),
            ("git://h/r#0000000000000000000000000000000000000000", "a branch was deleted"),
            ("git://h/r#main#abcde", "is not a commit"), ("git://h/r#main#v1.2", "is not a commit"),
            ("git://h/r#--upload-pack=x", "is not a Git ref"), ("git://h/r#a..b", "is not a Git ref"),
            ("ssh://git:s3cret@h/r", "SSH does not take"), ("git:///srv/r.git", "names no repository"),
        ])
    func refused(context: String, message: String) {
        let error = #expect(throws: BuildError.self) { try GitLocation(parsing: context) }
        #expect(error?.message.contains(message) == true, "\(String(describing: error))")
    }

    @Test(
        "a host is the one that a token would go to",
        arguments: [
            ("https://u:p@h:1/r.git", "h:1"), ("git@h:r.git", "h"), ("ssh://git@h:22/r", "h:22"),
            ("file:///r.git", nil),
        ] as [(String, String?)])
    func host(context: String, host: String?) throws {
        #expect(try GitLocation(parsing: context).host == host)
    }
}
