import Dockerfile
import Registry
import Testing

@testable import Builder

@Suite("what a source of ADD is")
struct AddSourceTests {
    private static func word(_ text: String) -> Word { Word(text, range: SourceRange(line: 1)) }

    @Test(
        "is told by its text alone",
        arguments: [
            ("file", "local"), ("git@", "git"), ("http:/host/x", "local"), ("HTTP://host/x", "local"),
            ("./https://host/x", "local"), ("github.com/acme/app", "local"), ("app.git", "local"),
            ("http://host/x", "file"), ("https://host/", "file"), ("https://host/x.git/", "file"),
            ("https://host/app.git.zip", "file"), ("https://host/x?name=app.git", "file"),
            ("https://host/x#app.git", "file"),
            ("https://host/app.git", "git"), ("http://host/app.git#main", "git"),
            ("https://host/app.git?tag=v1", "git"),
            ("git@host:acme/app", "git"), ("ssh://git@host/app", "git"), ("git://host/app", "git"),
        ])
    func kind(_ text: String, _ kind: String) {
        let found = GitSource.isGit(text) ? "git" : RemoteFile.isURL(text) ? "file" : "local"
        #expect(found == kind)
        #expect(AddSource.isRemote(text) == (kind != "local"))
    }

    @Test(
        "a file is named by the last element of its address's path",
        arguments: [
            ("https://host/a/b.tgz", "b.tgz"), ("https://host/b?x=/y/z", "b"), ("https://host/b#c/d", "b"),
            ("https://host/a%20b%2Bc", "a b+c"), ("https://host/dir/", "dir"), ("https://host/é b", "é b"),
            ("https://host/...", "..."), ("https://host/%2561", "%61"),
            ("https://host", nil), ("https://host/", nil), ("https://host/?f=x", nil), ("https://host/a%2Fb", nil),
            ("https://host/..", nil), ("https://host/%2e%2E", nil), ("https://host/.", nil),
            ("https://host/a%00b", nil),
            ("https://host/%ff", nil),
        ] as [(String, String?)])
    func name(_ address: String, _ name: String?) throws {
        #expect(try RemoteFile(parsing: Self.word(address), checksum: nil).name == name)
    }

    @Test("user information is taken out of an address, and nothing of it is shown")
    func userInformation() throws {
        let file = try RemoteFile(parsing: Self.word("https://jo:p%40ss@host/x?a=b@c"), checksum: nil)
        #expect(file.url.text == "https://host/x?a=b@c")
        #expect(file.user?.username == "jo" && file.user?.password == "p@ss")
        #expect(try RemoteFile(parsing: Self.word("https://host?a=b@c"), checksum: nil).user == nil)
        for (text, shown) in [
            ("ADD https://jo:pw@host/x /", "ADD https://*****@host/x /"), ("https://token@host", "https://*****@host"),
            ("\"http://a@b\",\"http://c/d@e\"", "\"http://*@b\",\"http://c/d@e\""),
            ("ssh://git@host/x", "ssh://git@host/x"), ("ssh://jo:pw@host/x", "ssh://*****@host/x"),
            ("git@host:x a://", "git@host:x a://"),
        ] { #expect(text.hidingUserInformation == shown) }
    }

    @Test(
        "the address of a repository says where, what, and how",
        arguments: [
            ("https://host/a.git", "https://host/a.git", nil, nil, ""),
            ("https://host/a.git#main", "https://host/a.git", "main", nil, ""),
            ("https://host/a.git#v1:docs/./x/", "https://host/a.git", "v1", nil, "docs/x"),
            ("https://host/a.git#:../../docs", "https://host/a.git", nil, nil, "docs"),
            ("https://host/a.git?branch=b/c&subdir=d", "https://host/a.git", "refs/heads/b/c", nil, "d"),
            ("https://host/a.git?tag=v1#:d", "https://host/a.git", "refs/tags/v1", nil, "d"),
            ("https://host/a.git?ref=refs%2Fpull%2F1%2Fhead", "https://host/a.git", "refs/pull/1/head", nil, ""),
            ("https://host/a.git?ref=main#main", "https://host/a.git", "main", nil, ""),
            (
                "https://host/a.git?commit=0123456789ABCDEF0123456789abcdef01234567", "https://host/a.git", nil,
                "0123456789abcdef0123456789abcdef01234567", ""
            ),
            ("git://host/a", "https://host/a", nil, nil, ""), ("git@host:a.git#b:c", "git@host:a.git", "b", nil, "c"),
            ("ssh://git@host:22/a#b", "ssh://git@host:22/a", "b", nil, ""),
            ("https://jo:pw@host/a.git#b", "https://host/a.git", "b", nil, ""),
        ] as [(String, String, String?, String?, String)])
    func repository(_ text: String, _ url: String, _ ref: String?, _ commit: String?, _ subdirectory: String) throws {
        let source = try GitSource(parsing: Self.word(text))
        #expect(source.location.url == url)
        #expect(source.location.ref == ref)
        #expect(source.location.commit == commit)
        #expect(String(decoding: source.subdirectory.bytes, as: UTF8.self) == subdirectory)
    }

    @Test("flags of a repository's address, and those beside it")
    func flags() throws {
        var plain = try GitSource(parsing: Self.word("https://host/a.git"))
        #expect(plain.keepsGitFolder == nil && plain.includesSubmodules && plain.checksum == nil)
        try plain.apply(checksum: Self.word("ABCDEF0"), keepsGitFolder: true, at: SourceRange(line: 1))
        #expect(plain.keepsGitFolder == true && plain.checksum == "abcdef0")
        let said = try GitSource(parsing: Self.word("https://host/a.git?keep-git-dir&submodules=0&checksum=1234567"))
        #expect(said.keepsGitFolder == true && !said.includesSubmodules && said.checksum == "1234567")
        // Too short to be fetched by its name: the tip is compared.
        #expect(said.location.commit == nil && said.location.ref == nil)
    }

    @Test(
        "an ADD that contradicts itself is refused before any work",
        arguments: [
            ("https://host/a.git?depth=1 /", "no key 'depth'"),
            ("https://host/a.git?tag=a&tag=b /", "'tag' twice"),
            ("https://host/a.git?tag=a&branch=b /", "'refs/tags/a' and 'refs/heads/b'"),
            ("https://host/a.git?ref=a#b /", "both ref"),
            ("https://host/a.git?subdir=a#:b /", "both subdir"),
            ("https://host/a.git?submodules=maybe /", "submodules is 'maybe'"),
            ("https://host/a.git?commit=12345 /", "'12345' is not the checksum"),
            ("https://host/a.git#--upload-pack=x /", "is not a Git ref"),
            ("--keep-git-dir=false https://host/a.git?keep-git-dir=true /", "contradicts keep-git-dir=true"),
            ("--checksum=abcdef0 https://host/a.git?commit=abcdef1 /", "contradicts the commit abcdef1"),
            ("--checksum=sha256:00 https://host/a.git /", "at least 7"),
            ("--checksum=abcdef0 https://host/a /", "sha256:<64 hex digits>"),
            ("--checksum=sha256:00 https://host/a /", "64"),
            ("--checksum=abcdef0 a /", "for URLs and Git repositories"),
            ("--checksum=abcdef0 https://host/a.git https://host/b.git /", "here are 2"),
            ("--checksum=abcdef0 https://host/a.git <<X /\nX", "here are 2"),
            ("https://ho$st/a%zz https://[::/ /", "is not an http or https address"),
        ])
    func contradictions(_ text: String, _ message: String) async throws {
        let site = try AddSite()
        #expect(try await site.failure("ARG st=st\nADD \(text)").contains(message))
        #expect(!site.events.contains { $0.contains("fetching") })
    }
}
