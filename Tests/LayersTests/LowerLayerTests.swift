import Layers
import OCI
import SystemIO
import SystemPackage
import Testing

/// Layers whose meaning depends on the layers below them, unpacked into trees of their own for overlayfs.
@Suite struct LowerLayerTests {
    let bench: Workbench

    init() throws {
        bench = try Workbench()
        try bench.sh(
            """
            mkdir -p base/usr/lib base/opt; ln -s usr/lib base/lib; printf one > base/usr/lib/one; chmod 4711 base/usr/lib/one
            ln -s one base/usr/lib/alias; ln -s /usr base/opt/all; printf f > base/opt/f
            """)
    }

    /// Unpacks a layer on `base`, and says what the two are together: as overlayfs stacks them, and as one flat tree has them.
    func facts(_ entries: String) throws -> (stacked: [String], flat: [String]) {
        try bench.tar(entries)
        let base = UnionTree(layers: [.overlay(try bench.folder("base"))])
        try bench.unpack("layer.tar", .none, into: "on", .overlay(.trusted), on: base)
        try bench.sh("cp -a base flat; mkdir -p merged")
        try bench.unpack("layer.tar", .none, into: "flat", .flat)
        let facts =
            "find . -mindepth 1 \\( -type d -printf \"%p %y\\n\" -o -printf \"%p %y %m %U %l\\n\" \\) | sort; find . -type f -exec sha256sum {} + | sort"
        return (
            try bench.sh(
                "unshare -m bash -euc 'mount -t overlay -o lowerdir=on:base overlay merged; cd merged; \(facts)'"
            ).lines,
            try bench.sh("cd flat; \(facts)").lines
        )
    }

    @Test(
        "a layer on others is the same stacked and flat",
        arguments: [
            "link('two', 'usr/lib/one')", "link('usr/lib/two', '/lib/one'); link('x/y', 'usr/lib/two')",
            "link('two', 'usr/lib/alias')", "file('lib/new', b'n')", "file('lib/sub/deep/new', b'n')",
            "file('opt/all/lib/new', b'n'); file('lib/.wh.one')",
            "file('.wh.opt'); file('opt/all/mine', b'm')", "folder('lib'); file('lib/new', b'n')",
            "file('lib'); link('usr/lib/one', 'opt/f')",
        ])
    func same(entries: String) throws {
        let facts = try facts(entries)
        #expect(facts.stacked == facts.flat)
    }

    @Test("unpacked alone it says that it depends on others, or which folders it made up")
    func alone() throws {
        try bench.tar("link('two', 'usr/lib/one'); file('lib/new')")
        let tree = try bench.unpack("layer.tar", .none, into: "alone")
        #expect(tree.dependsOnLower)
        #expect(tree.impliedDirectories == ["lib".bytes])
    }

    @Test("a link to what no layer has is the layer's fault")
    func missing() throws {
        try bench.tar("link('two', 'usr/lib/none')")
        let base = UnionTree(layers: [.overlay(try bench.folder("base"))])
        do {
            try bench.unpack("layer.tar", .none, into: "on", .overlay(.trusted), on: base)
            Issue.record("accepted")
        } catch let error as LayerError {
            #expect(error.blamesLayer, "\(error)")
            #expect(error.description.contains("sha256:test: entry 'two': a hard link to 'usr/lib/none'"))
        }
    }

    @Test("links of the layer cannot reach out of the lower trees either")
    func contained() throws {
        try bench.sh("mkdir outside; printf secret > outside/secret; ln -s ../../../..$PWD/outside base/out")
        try bench.tar("file('out/new', b'in'); link('two', 'out/secret')")
        let base = UnionTree(layers: [.overlay(try bench.folder("base"))])
        #expect(throws: LayerError.self) {
            try bench.unpack("layer.tar", .none, into: "on", .overlay(.trusted), on: base)
        }
        #expect(try bench.sh("ls -A outside; cat outside/secret") == "secret\nsecret")
    }

    @Test("stacked trees laid out as one are what overlayfs shows")
    func layOut() throws {
        try bench.sh(
            """
            mkdir -p mid/usr/lib top/opt; printf m > mid/usr/lib/m; mknod mid/opt c 0 0; setfattr -n user.k -v v mid/usr
            setfattr -n trusted.overlay.opaque -v y top/opt; printf t > top/opt/t; ln top/opt/t top/hard; chmod 700 top/opt; mkdir merged one
            """)
        let stack = try ["top", "mid", "base"].map { TreeLayer.overlay(try bench.folder($0)) }
        try UnionTree(layers: stack).layOut(in: bench.folder("one"), cancellation: Cancellation())
        let facts =
            "find . -printf \"%p %y %m %U:%G %T@ %l\\n\" | sort; find . -type f -exec sha256sum {} + | sort; getfattr -R -d -m user . | sort"
        let shown = try bench.sh(
            "unshare -m bash -euc 'mount -t overlay -o lowerdir=top:mid:base overlay merged; cd merged; \(facts)'")
        #expect(try bench.sh("cd one; \(facts)") == shown)
        #expect(
            try bench.sh(
                "cd one; stat -c %i hard opt/t | uniq | wc -l; stat -c %i usr/lib/one ../base/usr/lib/one | uniq | wc -l"
            ).lines == ["1", "1"])
    }
}
