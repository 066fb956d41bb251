import SystemPackage
import TestSupport
import Testing

@Suite("Faults of a Dockerfile, as the program tells them")
struct FaultyDockerfileTests {
    /// A file that is too large is refused before it is read: see below.
    @Test(
        "every fault of the language: its place, its message, and 1",
        arguments: FaultyDockerfile.all.filter { $0.text.utf8.count <= 4 << 20 })
    func faults(example: FaultyDockerfile) throws {
        let result = try CheckCommandTests.check(try BuildSite(example.text))
        let place = example.line.map { "Dockerfile:\($0): " } ?? "error: "
        let line = result.errorText.split(separator: "\n").first { $0.hasPrefix(place) } ?? ""
        #expect(line.contains(example.message), "\(result.errorText)")
        if let hint = example.hint { #expect(result.errorText.contains("hint: \(hint)\n"), "\(result.errorText)") }
        #expect(result.status == 1)
    }

    @Test("a build ends with 1 for each kind of them, too, before it begins")
    func builds() throws {
        for text in ["", "FROM a b c", "FROM scratch\nWORKDIR ${x:?}", "FROM scratch\nCOPY --from=7 a b"] {
            let build = try BuildSite(text).build()
            #expect(build.status == 1 && build.output == "", "\(build.log)")
        }
    }

    @Test("a Dockerfile of 100 MB is refused by its size, whatever is in it")
    func tooLarge() throws {
        let site = try BuildSite()
        try Program.require(["truncate", "-s", "100M", site.context.appending("Dockerfile").string])
        // Memory for the limit and the program, not for the file (KiB of address space).
        for command in ["check", "build"] {
            let result = try Program.run(
                [
                    "sh", "-c", "ulimit -d 65536; exec \"$@\"", "limited", BuildSite.program.string, command,
                    "--context",
                    site.context.string,
                ] + (command == "build" ? ["--no-push", "--state-dir", site.state.string] : []),
                environment: site.environment())
            #expect(
                result.errorText.hasSuffix(
                    "error: the Dockerfile 'Dockerfile' has more than 4194304 bytes\nhint: is this file a Dockerfile?\n"
                ),
                "\(result.errorText)")
            #expect(result.status == 1)
        }
    }

    /// A name with a newline and an escape sequence is a name like any other, and is shown in one harmless line.
    static let name = "a\nb\u{1B}[31m"
    static let shown = "a\\x0ab\\x1b[31m"

    @Test(
        "names with control characters are shown in one line, and are no names of variables",
        arguments: [
            (["--dockerfile", name], 1, "there is no '\(shown)' in the context"),
            (["--target", name], 1, "there is no stage '\(shown)' to build"),
            (["--context", name], 1, "'\(shown)'"),
            (["--context", "x://\(name)"], 64, "x://\(shown): only a folder can be checked"),
            (["--build-arg", "\(name)=1"], 64, "--build-arg \(shown): the name holds a control character"),
            (["--build-arg", "N=\(name)"], 1, "ARG: '\(shown)' cannot be the name of a variable"),
        ] as [([String], Int32, String)])
    func names(arguments: [String], status: Int32, message: String) throws {
        let site = try BuildSite("ARG N=n\nARG $N\nFROM scratch\nARG N\nENV $N=1\n")
        let result = try CheckCommandTests.check(site, arguments)
        #expect(result.status == status)
        let lines = result.errorText.split(separator: "\n")
        #expect(lines.contains { $0.contains(message) }, "\(result.errorText)")
        #expect(!result.errorText.contains("\u{1B}"))
    }

    @Test("a source with a newline in its name is copied if it is there, and named in one line if not")
    func sources() throws {
        let site = try BuildSite("FROM scratch\nCOPY [\"a\\nb\", \"/\"]\n", files: ["a\nb": "text"])
        try site.require(["--dest", "x:1", "--no-push", "--oci-layout-path", site.layout.string])
        let image = try Umoci.unpack(site.layout, tag: "1", into: site.folder.appending("bundle"))
        #expect(image.entries["/a\nb"]?.size == 4)
        try Program.require(["rm", site.context.appending("a\nb").string])
        let build = try site.build()
        #expect(build.status == 1)
        #expect(build.log.contains("Dockerfile:2: 'a\\x0ab' is not in the build context\n"), "\(build.log)")
    }
}
