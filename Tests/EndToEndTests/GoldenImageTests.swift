import Glibc
import SystemPackage
import TestSupport
import Testing

/// One folder of `testimages`: a Dockerfile with its context, and what its image must be in `expected.json`.
///
/// `base` is `busybox` where the Dockerfile builds on it; `args` are build arguments, `secrets` values by id, `contexts` folders
/// of the context by the name that `from` gives them. `config` holds the members of the image's config that matter, `null` for
/// one that must not be there, and `author` its author; `history` is what each step says, with `- ` before those without a
/// layer; `files` are judged by path; `layers` counts those of the whole image.
struct GoldenImage: CustomTestStringConvertible {
    let name: String
    var testDescription: String { name }

    static let all: [GoldenImage] = {
        let listed = try? Program.require(["ls", Fixtures.testImages.string]).text.split(separator: "\n").map(
            String.init)
        return (listed ?? []).filter { exists(Fixtures.testImages.appending($0).appending("expected.json")) }
            .map { GoldenImage(name: $0) }
    }()

    var folder: FilePath { Fixtures.testImages.appending(name) }

    func expected() throws -> JSONValue { try JSONValue(parsing: contents(of: folder.appending("expected.json"))) }

    /// Copies the folder, with the modes that a checkout has under the usual umask.
    func copy(to site: BuildSite) throws {
        try Program.require(["cp", "-a", "\(folder)/.", site.context.string])
        try Program.require(["find", site.context.string, "-type", "d", "-exec", "chmod", "0755", "{}", "+"])
        try Program.require([
            "sh", "-c",
            #"find "$1" -type f -perm -100 -exec chmod 0755 {} + ; find "$1" -type f ! -perm -100 -exec chmod 0644 {} +"#,
            "modes", site.context.string,
        ])
    }

    /// The flags that the image needs, for a copy of the folder at a site. Secrets become files there.
    func arguments(at site: BuildSite) throws -> [String] {
        let expected = try expected()
        func all(_ key: String) -> [(name: String, value: String)] {
            (expected[key].object ?? [:]).sorted { $0.key < $1.key }.map { ($0.key, $0.value.string ?? "") }
        }
        for secret in all("secrets") { try site.folder.write(secret.value, to: "secrets/\(secret.name)") }
        return all("args").flatMap { ["--build-arg", "\($0.name)=\($0.value)"] }
            + all("contexts").flatMap { ["--build-context", "\($0.name)=\(site.context.appending($0.value))"] }
            + all("secrets").flatMap {
                ["--secret", "id=\($0.name),src=\(site.folder.appending("secrets").appending($0.name))"]
            }
    }
}

@Suite("Images of testimages", .enabled(if: isRoot, "owners of unpacked files need root"))
struct GoldenImageTests {
    @Test("there is a folder for each rule of the language")
    func listed() {
        #expect(GoldenImage.all.count >= 52)
    }

    @Test("an image is what its expected.json says, in every isolation", arguments: GoldenImage.all)
    func golden(_ image: GoldenImage) throws {
        let site = try BuildSite()
        try image.copy(to: site)
        let expected = try image.expected()
        try #require(!RunIsolation.possible.isEmpty, RunIsolation.none)

        var digests: Set<String> = []
        for isolation in RunIsolation.possible {
            let build = try site.require(
                ["--dest", "golden:test", "--no-push", "--oci-layout-path", site.layout.string, isolation.flag]
                    + image.arguments(at: site),
                // Each isolation builds from nothing.
                state: site.folder.appending("state-\(isolation)"))
            digests.insert(try #require(build.digest))
        }
        #expect(digests.count == 1, "the isolations disagree")
        let manifest = try Skopeo.manifest(of: "oci:\(site.layout):test")
        #expect(manifest["layers"].array?.count == expected["layers"].integer)

        let configuration = try Skopeo.configuration(of: "oci:\(site.layout):test")
        for (key, value) in expected["config"].object ?? [:] {
            #expect(configuration["config"][key] == value, "config.\(key)")
        }
        #expect(configuration["author"] == expected["author"])
        let history = (configuration["history"].array ?? []).map { step in
            JSONValue.string((step["empty_layer"] == .bool(true) ? "- " : "") + (step["created_by"].string ?? ""))
        }
        if let expected = expected["history"].array { #expect(history == expected) }
        let tree = try Umoci.unpack(site.layout, tag: "test", into: site.folder.appending("bundle"))
        for (path, file) in expected["files"].object ?? [:] {
            try judge(path, file, in: tree)
        }
    }

    private func judge(_ path: String, _ expected: JSONValue, in tree: FileTree) throws {
        let entry = tree.entries[FilePath(path)]
        guard let type = expected["type"].string, type != "absent" else {
            #expect(entry == nil, "\(path) must not be there")
            return
        }
        guard let entry else {
            Issue.record("\(path) is missing")
            return
        }
        #expect(entry.kind.rawValue == type, "\(path)")
        if let mode = expected["mode"].string { #expect(entry.mode == mode_t(mode, radix: 8), "\(path)") }
        if let uid = expected["uid"].integer { #expect(Int(entry.uid) == uid, "\(path)") }
        if let gid = expected["gid"].integer { #expect(Int(entry.gid) == gid, "\(path)") }
        if let target = expected["target"].string { #expect(entry.target?.string == target, "\(path)") }
        if let modified = expected["modified"].integer { #expect(entry.modified == modified, "\(path)") }
        for (name, value) in expected["xattrs"].object ?? [:] {
            #expect(entry.attributes[name] == value.string, "\(path): \(name)")
        }
        if let other = expected["sameFileAs"].string {
            #expect(entry.inode == tree.entries[FilePath(other)]?.inode, "\(path) is no hard link of \(other)")
        }
        if let content = expected["content"].string {
            #expect(try String(decoding: tree.contents(of: FilePath(path)), as: UTF8.self) == content, "\(path)")
        }
    }
}
