import Dockerfile
import Layers
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

/// What `.dockerignore` takes away from a folder that is mounted.
@Suite("Hidden files of mounts") struct HiddenFilesTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var rule: String
        /// Names of folders end in a slash.
        var files: [String]
        var ignore: String
        var below = ""
        var hidden: [String]
        var testDescription: String { rule }
    }

    static let cases = [
        Case(rule: "nothing is hidden without patterns", files: ["a", "d/b"], ignore: "", hidden: []),
        Case(rule: "a file and a folder", files: ["a", "b", "d/x", "d/y"], ignore: "a\nd", hidden: ["a", "d"]),
        Case(rule: "only the outermost names are told", files: ["d/e/f", "d/g"], ignore: "d", hidden: ["d"]),
        Case(
            rule: "a folder stays for what comes back in it, and hides the rest",
            files: ["d/a", "d/e/x", "d/e/y", "d/z"],
            ignore: "d\n!d/e/x", hidden: ["d/a", "d/e/y", "d/z"]),
        Case(
            rule: "a folder in which nothing comes back is hidden whole", files: ["d/a/x", "d/b/y", "k"],
            ignore: "d\n!d/*/none", hidden: ["d"]),
        Case(
            rule: "folders in doubt are decided each for itself", files: ["d/a/x", "d/b/keep", "d/c/x", "e/x", "f"],
            ignore: "*\n!**/keep", hidden: ["d/a", "d/c", "e", "f"]),
        Case(rule: "'d/**' keeps the folder", files: ["d/a", "d/e/b"], ignore: "d/**", hidden: ["d/a", "d/e"]),
        Case(
            rule: "a mounted subfolder has the hidden names of its own", files: ["d/a", "d/b", "a"], ignore: "**/a",
            below: "d", hidden: ["d/a"]),
        Case(rule: "a mounted file hides nothing", files: ["d/a"], ignore: "d/b", below: "d/a", hidden: []),
        Case(
            rule: "a name that only begins like a hidden folder's is not in it", files: ["d/x", "d-not/x", "dx"],
            ignore: "d\n!d/none", hidden: ["d"]),
    ]

    private static func view(of item: Case, in folder: ScratchFolder) throws -> (UnionTree, UnionTree.Node) {
        try folder.run("mkdir tree")
        for name in item.files {
            try folder.run("mkdir -p \"tree/$(dirname '\(name)')\" && echo x > 'tree/\(name)'")
        }
        let root = try folder.directory.openDirectory("tree", .noSymlinks)
        let view = UnionTree(layers: [.plain(root)])
        return (view, try #require(try view.node(at: Array(item.below.utf8))))
    }

    @Test("the outermost hidden names are found", arguments: cases) func paths(_ item: Case) throws {
        let folder = try ScratchFolder()
        let (view, node) = try Self.view(of: item, in: folder)
        let paths = try HiddenFiles.paths(
            below: node, in: view, ignored: IgnorePatterns(parsing: Array(item.ignore.utf8)))
        #expect(paths.map { String(decoding: $0, as: UTF8.self) } == item.hidden)
    }

    @Test(
        "stacked on top, the mask takes the hidden names away and changes no folder",
        .enabled(if: isRoot, "whiteouts are devices"))
    func mask() throws {
        let item = Case(
            rule: "", files: ["m/d/a", "m/d/e/x", "m/d/e/y", "m/z", "m/keep"], ignore: "m/d\n!m/d/e/x\nm/z", below: "m",
            hidden: [])
        let folder = try ScratchFolder()
        _ = try Self.view(of: item, in: folder)
        try folder.run(
            "chmod 2750 tree/m; chmod 1711 tree/m/d; chown 5:6 tree/m/d; touch -d @1000000000 tree/m/d tree/m; mkdir mask"
        )
        let root = try folder.directory.openDirectory("tree", .noSymlinks)
        let source = CopyOperation.Source(
            tree: UnionTree(layers: [.plain(root)]), ignored: try IgnorePatterns(parsing: Array(item.ignore.utf8)),
            keepsOwners: false, name: "the build context")
        let mount = try MountTree("m", in: source, trees: [root])
        let mask = try folder.directory.openDirectory("mask", .noSymlinks)
        try HiddenFiles.mask(mount, in: mask)

        let shown = UnionTree(layers: [.overlay(mask), .overlay(try root.openDirectory("m", .noSymlinks))])
        var seen: [String] = []
        try shown.walk(from: []) { node throws(LayerError) in
            let status = node.status
            let mode =
                status.kind == .directory ? " \(String(status.permissions, radix: 8)) \(status.uid):\(status.gid)" : ""
            seen.append(String(decoding: node.path, as: UTF8.self) + mode)
            return .goOn
        }
        #expect(seen == [" 2750 0:0", "d 1711 5:6", "d/e 755 0:0", "d/e/x", "keep"])
        for path in ["", "d"] {
            #expect(try shown.node(at: Array(path.utf8))?.status.modified.seconds == 1_000_000_000, "'\(path)'")
        }
    }
}
