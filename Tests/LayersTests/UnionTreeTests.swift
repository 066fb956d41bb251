import Layers
import SystemIO
import SystemPackage
import Testing

@Suite struct UnionTreeTests {
    let bench: Workbench

    init() throws {
        bench = try Workbench()
        try bench.sh(
            """
            mkdir -p low/{a/sub,gone,opq/deep,etc,usr/lib} top/{a/sub,opq/deep,f} plain/etc
            echo low > low/a/one; echo low > low/a/two; echo low > low/opq/deep/x; echo low > low/gone/x; echo low > low/f; mkdir low/g; touch low/g/x
            echo top > top/a/two; touch top/opq/deep/y; touch top/f/in; touch top/g; mknod top/gone c 0 0; mknod top/a/one c 0 0
            setfattr -n trusted.overlay.opaque -v y top/opq; chmod 700 top/a; setfattr -n user.mine -v 1 top/a
            ln -s usr/lib low/lib; ln -s /lib/../lib/x low/abs; ln -s missing/there low/dangling; ln -s ../../../etc low/up; ln -s loop low/loop
            printf 'root:x:0:0\\n' > low/etc/passwd; touch low/lib/x; ln -s passwd low/etc/link; mkfifo low/pipe
            """)
    }

    func union() throws -> UnionTree {
        UnionTree(layers: [.overlay(try bench.folder("top")), .overlay(try bench.folder("low"))])
    }

    func listing(_ tree: UnionTree) throws -> [String] {
        var lines: [String] = []
        try tree.walk(from: []) { node throws(LayerError) in
            lines.append(String(decoding: node.path, as: UTF8.self))
            return .goOn
        }
        return lines
    }

    @Test("a stack looks as the kernel mounts it")
    func asMounted() throws {
        let mounted = try bench.sh(
            "mkdir m; unshare -m bash -euc 'mount -t overlay -o lowerdir=top:low overlay m; cd m; find . -mindepth 1 -printf \"%P %y %m %U %s\\n\" | LC_ALL=C sort'"
        )
        var lines: [String] = []
        let letters: [FileStatus.Kind: String] = [.directory: "d", .file: "f", .symlink: "l", .fifo: "p"]
        try union().walk(from: []) { node throws(LayerError) in
            guard !node.path.isEmpty else { return .goOn }
            let size = node.status.kind == .directory ? 4096 : node.status.size
            lines.append(
                "\(String(decoding: node.path, as: UTF8.self)) \(letters[node.status.kind] ?? "?") "
                    + "\(String(node.status.permissions, radix: 8)) \(node.status.uid) \(size)")
            return .goOn
        }
        #expect(lines.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } == mounted.lines)
    }

    @Test("a walk visits folders before what is in them, names bytewise, and skips what it is told to")
    func walk() throws {
        try bench.sh("mkdir -p w/{a/x,a-b,B}; touch w/a.c w/a/x/1 w/a-b/2")
        let tree = UnionTree(layers: [.plain(try bench.folder("w"))])
        #expect(
            try listing(tree) == ["", "B", "a", "a/x", "a/x/1", "a-b", "a-b/2", "a.c"].sorted { order($0) < order($1) })
        var seen: [String] = []
        try tree.walk(from: "a".bytes) { node throws(LayerError) in
            seen.append(String(decoding: node.path, as: UTF8.self))
            return node.path == "a/x".bytes ? .skipBelow : .goOn
        }
        #expect(seen == ["a", "a/x"])
    }

    /// Sorts component by component: the slash before all other bytes.
    private func order(_ path: String) -> String { path.replacing("/", with: "\u{1}") }

    static let names: [(String, Bool, String)] = [
        ("a/two", true, "found a/two"), ("/a//./two", true, "found a/two"), ("a/../../a/two", true, "found a/two"),
        ("a/one", true, "missing a | one"), ("gone/x", true, "missing  | gone/x"),
        ("opq/deep/x", true, "missing opq/deep | x"),
        ("lib/x", true, "found usr/lib/x"), ("lib", true, "found usr/lib"), ("lib", false, "found lib"),
        ("lib/", false, "found usr/lib"), ("lib/.", false, "found usr/lib"), ("abs", true, "found usr/lib/x"),
        ("dangling", true, "missing  | missing/there"), ("dangling", false, "found dangling"),
        ("dangling/below", true, "missing  | missing/there/below"), ("up/passwd", true, "found etc/passwd"),
        ("new/dir/../x", true, "missing  | new/x"), ("new/../../etc", true, "found etc"),
        ("g/x", true, "not a folder g | x"),
        ("", true, "found "), ("/..", true, "found "), ("f/in", true, "found f/in"),
    ]

    @Test("paths are followed inside the root", arguments: names)
    func resolve(path: String, followLast: Bool, expected: String) throws {
        let resolved = try union().resolve(path.bytes, followLast: followLast)
        let text =
            switch resolved {
            case .found(let node): "found \(node.path.text)"
            case .missing(let node, let rest): "missing \(node.path.text) | \(rest.map(\.text).joined(separator: "/"))"
            case .notDirectory(let node, let rest):
                "not a folder \(node.path.text) | \(rest.map(\.text).joined(separator: "/"))"
            }
        #expect(text == expected)
    }

    @Test("symlinks in a circle are an error")
    func circle() throws {
        let expected = LayerError.system(SystemError(call: "open", path: "loop", errno: .tooManySymbolicLinkLevels))
        #expect(throws: expected) { try union().resolve("loop".bytes, followLast: true) }
    }

    @Test("content, links and attributes come from the topmost layer, without overlayfs's own")
    func content() throws {
        let tree = try union()
        #expect(try tree.readSmallFile("/up/link".bytes, limit: 100) == "root:x:0:0\n".bytes)
        #expect(try tree.readSmallFile("nothing".bytes, limit: 100) == nil)
        #expect(throws: LayerError.self) { try tree.readSmallFile("etc/passwd".bytes, limit: 5) }
        #expect(throws: LayerError.self) { try tree.readSmallFile("pipe".bytes, limit: 5) }
        let folder = try #require(try tree.node(at: "a".bytes))
        #expect(try tree.attributes(folder).map(\.name) == ["user.mine"])
        #expect(try tree.attributes(#require(try tree.node(at: "opq".bytes))).isEmpty)
        let two = try #require(try tree.node(at: "a/two".bytes))
        #expect(try tree.open(two).readAll(limit: 10) == "top\n".bytes)
        #expect(try tree.readLink(#require(try tree.node(at: "lib".bytes))) == "usr/lib".bytes)
    }

    @Test("a layer that is only an index hides, adds and merges like an unpacked one")
    func index() throws {
        let index = try LayerIndex([
            LayerEntry(path: "a".bytes, kind: .whiteout),
            LayerEntry(path: "opq".bytes, kind: .directory, permissions: 0o711),
            LayerEntry(path: "opq".bytes, kind: .opaqueMarker),
            LayerEntry(path: "opq/new".bytes, kind: .file(size: 3), permissions: 0o600, uid: 7),
            LayerEntry(path: "opq/same".bytes, kind: .hardLink(target: "opq/new".bytes)),
            LayerEntry(path: "usr/lib/y".bytes, kind: .symlink(target: "x".bytes)),
        ])
        let tree = UnionTree(layers: [.entries(index), .overlay(try bench.folder("low"))])
        #expect(
            try tree.children(of: []).map(\.name.text) == [
                "abs", "dangling", "etc", "f", "g", "gone", "lib", "loop", "opq", "pipe", "up", "usr",
            ])
        #expect(try tree.children(of: "opq".bytes).map(\.name.text) == ["new", "same"])
        let new = try #require(try tree.node(at: "opq/same".bytes))
        #expect(new.status.uid == 7 && new.status.size == 3 && new.layer == 0)
        guard case .found(let node) = try tree.resolve("lib/y".bytes, followLast: true) else {
            Issue.record("the link of the index is not followed")
            return
        }
        #expect(node.path == "usr/lib/x".bytes && node.layer == 1)
        #expect(throws: LayerError.self) { _ = try tree.open(new) }
        // An implied folder has the attributes of the one below.
        try bench.sh("chmod 750 low/usr")
        #expect(try tree.node(at: "usr".bytes)?.status.permissions == 0o750)
    }

    @Test("a plain tree has no deletions")
    func plain() throws {
        let tree = UnionTree(layers: [.plain(try bench.folder("top")), .plain(try bench.folder("low"))])
        #expect(try tree.node(at: "gone".bytes)?.status.kind == .characterDevice)
        #expect(try tree.node(at: "opq/deep/x".bytes) != nil)
    }

    @Test("a deep tree and a wide one are walked with few open folders")
    func large() throws {
        try bench.sh(
            "mkdir -p $(python3 -c \"print('big/' + 'd/' * 300)\"); mkdir -p big/w; cd big/w; for i in {1..300}; do mkdir $i; touch $i/f; done"
        )
        #expect(try listing(UnionTree(layers: [.plain(try bench.folder("big"))])).count == 300 + 1 + 1 + 600)
    }
}

extension [UInt8] {
    var text: String { String(decoding: self, as: UTF8.self) }
}
