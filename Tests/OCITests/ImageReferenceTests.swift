import OCI
import Testing

@Suite("Image references")
struct ImageReferenceTests {
    static let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    /// As written; registry, repository, tag; as Docker shows it.
    static let valid: [(String, String, String, String?, String)] = [
        // Docker Hub's defaults.
        ("golang", "docker.io", "library/golang", "latest", "golang"),
        ("golang:1", "docker.io", "library/golang", "1", "golang"),
        ("acme/app", "docker.io", "acme/app", "latest", "acme/app"),
        ("docker.io/golang", "docker.io", "library/golang", "latest", "golang"),
        ("index.docker.io/acme/app:2", "docker.io", "acme/app", "2", "acme/app"),
        // A first component is a registry if it has a dot or a colon, or is localhost.
        ("localhost/app", "localhost", "app", "latest", "localhost/app"),
        ("localhost:5000/a/b/c:x", "localhost:5000", "a/b/c", "x", "localhost:5000/a/b/c"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000", "app", "latest", "127.0.0.1:5000/app"),
        ("[::1]:5000/app:1", "[::1]:5000", "app", "1", "[::1]:5000/app"),
        (
            "123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/app:v1.2_3-x",
            "123456789012.dkr.ecr.eu-west-2.amazonaws.com", "team/app", "v1.2_3-x",
            "123456789012.dkr.ecr.eu-west-2.amazonaws.com/team/app"
        ),
        // The separators of a component: one dot, one or two underscores, any number of dashes.
        ("r.io/a.b/c_d/e__f/g---h", "r.io", "a.b/c_d/e__f/g---h", "latest", "r.io/a.b/c_d/e__f/g---h"),
    ]

    @Test("references are read with Docker's defaults", arguments: valid)
    func parsing(_ text: String, _ registry: String, _ repository: String, _ tag: String?, _ familiar: String) throws {
        let reference = try ImageReference(parsing: text)
        #expect(reference.registry == registry)
        #expect(reference.repository == repository)
        #expect(reference.tag == tag)
        #expect(reference.familiarName == familiar)
    }

    @Test("a digest wins over the tag, and without a tag there is none")
    func digests() throws {
        let both = try ImageReference(parsing: "r.io/app:1@\(Self.digest)")
        #expect(both.tag == "1" && both.manifestName == Self.digest)
        let alone = try ImageReference(parsing: "r.io/app@\(Self.digest)")
        #expect(alone.tag == nil && alone.description == "r.io/app@\(Self.digest)")
    }

    @Test(
        "what is no reference is refused",
        arguments: [
            "", ":tag", "r.io/", "r.io/app:", "r.io/App:1", "r.io/a//b", "r.io/../etc", "r.io/a..b", "r.io/a___b",
            "r.io/-a",
            "r.io/a-", "https://r.io/app", "r.io/app:-x", "r.io/app:" + String(repeating: "x", count: 129),
            "r.io:99999/app",
            "r.io:0/app", "r.io/app@sha256:abc", "r.io/app:a b", "r.io/app\n", "-r.io/app",
            "r.io/" + String(repeating: "a", count: 256),
            "[zz]/app",
        ])
    func refused(_ text: String) {
        #expect(throws: OCIError.self) { try ImageReference(parsing: text) }
    }

    @Test("a branch's name in the place of a tag is told as a wrong tag")
    func branch() {
        for name in ["r.io/team/app:feature/x", "r.io:5000/app:feature/x"] {
            let error = #expect(throws: OCIError.self) { try ImageReference(parsing: name) }
            #expect(error?.description.contains("the tag 'feature/x' may hold letters, digits") == true)
        }
    }

    @Test("an upper-case repository is answered with its lower-case name")
    func upperCase() {
        #expect(
            throws: OCIError(
                "'Foo:1' is not an image reference: the repository 'library/Foo' is not valid; repository names are lower case: did you mean 'library/foo'?"
            )
        ) {
            try ImageReference(parsing: "Foo:1")
        }
    }
}
