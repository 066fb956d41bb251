import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

@Suite struct LayerListingTests {
    let bench: Workbench

    init() throws { bench = try Workbench() }

    /// What the listing of a file says, made as for a layer.
    private func listing(_ name: String) throws -> LayerListing {
        let hex = try bench.sh("sha256sum < '\(name)' | cut -c1-64").trimmed
        return try LayerListing(
            reading: bench.open(name), compression: .none, expecting: Digest(parsing: "sha256:\(hex)"), name: name,
            cancellation: Cancellation())
    }

    private static let everything = """
        folder('./', mode=0o711); folder('etc'); file('etc/passwd', b'app:x:7:8::/:\\n', uid=3, gid=4, mtime=1700000000.25)
        file('etc/group', b''); file('big', b'x' * 70000, mode=0o4755, uid=2097152); symlink('link', '../etc')
        link('other', 'etc/passwd'); add('null', tarfile.CHRTYPE, devmajor=1, devminor=3); add('sda', tarfile.BLKTYPE, devmajor=8)
        add('pipe', tarfile.FIFOTYPE, mtime=-5); file('gone/.wh.x'); file('etc/.wh..wh..opq')
        file('caps', b'', pax_headers={'SCHILY.xattr.user.a': '1', 'SCHILY.xattr.user.b': ''}); file('n\\u00e4me' * 40, b'')
        """

    @Test("a listing says all that the tar says, keeps account files, and survives being written and read")
    func roundTrip() throws {
        try bench.tar(Self.everything)
        let listing = try listing("layer.tar")
        var entries: [LayerEntry] = []
        var reader = try TarReader(layer: bench.open("layer.tar"), compression: .none, name: "")
        while let entry = try reader.next() { entries.append(entry) }
        #expect(listing.entries == entries && entries.count == 14)
        #expect(listing.contents == [2: "app:x:7:8::/:\n".bytes, 3: []])
        let bytes = listing.encoded()
        #expect(LayerListing(decoding: bytes, of: listing.diffID) == listing)
        let nothing = LayerListing(diffID: listing.diffID, entries: [])
        #expect(LayerListing(decoding: nothing.encoded(), of: listing.diffID) == nothing)
    }

    @Test("a listing that is damaged, cut off or another layer's is none")
    func damaged() throws {
        try bench.tar(Self.everything)
        let listing = try listing("layer.tar")
        let bytes = listing.encoded()
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 1 << UInt8(place % 8)
            #expect(LayerListing(decoding: damaged, of: listing.diffID) == nil, "byte \(place)")
        }
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(LayerListing(decoding: Array(bytes[..<count]), of: listing.diffID) == nil)
        }
        #expect(LayerListing(decoding: bytes, of: Digest(sha256: SHA256.hash([]))) == nil)
    }

    @Test("bytes that someone sealed with evil in mind give no path that a tar could not give")
    func hostile() throws {
        try bench.tar(Self.everything)
        let listing = try listing("layer.tar")
        let sound = Array(listing.encoded().dropLast(32))
        var random = SplitMix(seed: 7)
        var accepted = 0
        for _ in 0..<3000 {
            var bytes = sound
            let start = 19 + 71  // behind the magic and the diffID
            for _ in 0...random.below(3) {
                bytes[start + random.below(bytes.count - start)] = UInt8(truncatingIfNeeded: random.next())
            }
            guard let read = LayerListing(decoding: bytes + SHA256.hash(bytes), of: listing.diffID) else { continue }
            accepted += 1
            for entry in read.entries where !entry.path.isEmpty {
                let names = entry.path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
                #expect(names.allSatisfy { !$0.isEmpty && $0 != ".".bytes[...] && $0 != "..".bytes[...] })
            }
        }
        #expect(accepted > 100, "nothing was read at all")
    }

    @Test("a tar that is not the layer's is refused")
    func mismatch() throws {
        try bench.tar("file('a')")
        #expect(throws: LayerError.self) {
            try LayerListing(
                reading: bench.open("layer.tar"), compression: .none, expecting: Digest(sha256: SHA256.hash([])),
                name: "", cancellation: Cancellation())
        }
    }
}

/// A stack of layers that is only listed is the tree that unpacking gives.
@Suite(.enabled(if: isRoot, "owners of unpacked files need root")) struct ListedStackTests {
    let bench: Workbench

    init() throws { bench = try Workbench() }

    static let stacks: [(String, [String])] = [
        (
            "names lead through links of the layer",
            ["folder('usr/lib'); symlink('lib', 'usr/lib'); file('lib/x'); file('lib/d/y')"]
        ),
        (
            "names lead through links of a layer below",
            [
                "folder('usr/lib', mode=0o700); symlink('lib', 'usr/lib'); symlink('abs', '/lib/.')",
                "file('lib/x'); file('abs/y'); file('new/z')",
            ]
        ),
        ("a link to nothing gets its target", ["symlink('a', 'b/../c/d')", "file('a/x')"]),
        (
            "hard links name files of this layer and below",
            [
                "file('a', b'1', uid=5); symlink('s', 'a'); symlink('d', 'e'); folder('e'); file('e/f')",
                "link('b', 'a'); link('c', 'b'); link('t', 's'); link('g', 'd/f')",
            ]
        ),
        (
            "deletions",
            [
                "folder('d'); file('d/a'); file('d/b'); file('e'); folder('f'); file('f/x')",
                "file('d/.wh.a'); file('.wh.e'); file('.wh.f'); file('.wh.none')",
            ]
        ),
        (
            "deletions spare what the layer has",
            [
                "folder('d', mode=0o700); file('d/a'); file('d/b')",
                "folder('d', mode=0o711); file('d/c'); file('.wh.d')",
            ]
        ),
        (
            "opaque folders",
            [
                "folder('d'); file('d/a'); folder('d/e'); file('d/e/x')",
                "folder('d'); file('d/.wh..wh..opq'); file('d/e/y')",
            ]
        ),
        ("the root is opaque", ["file('a'); folder('b')", "file('.wh..wh..opq'); file('c')"]),
        (
            "files and folders take each other's place",
            [
                "folder('a'); file('a/x'); file('b'); symlink('c', 'a')",
                "file('a'); folder('b'); file('b/y'); folder('c', mode=0o701); file('c/z')",
            ]
        ),
        (
            "implied folders keep what they are below",
            ["folder('a', mode=0o1777, uid=9); folder('a/b', mode=0o700)", "file('a/b/c')", "file('a/d/e')"]
        ),
        (
            "what was deleted and is made again is new",
            ["folder('a', mode=0o700, uid=9); file('a/x')", "file('.wh.a')", "folder('a'); file('a/y')"]
        ),
        (
            "entries without content",
            [
                "add('p', tarfile.FIFOTYPE); add('c', tarfile.CHRTYPE, devmajor=5, devminor=1); file('x', b'', pax_headers={'SCHILY.xattr.user.a': '1'})"
            ]
        ),
    ]

    @Test("as it is unpacked", arguments: stacks)
    func table(name: String, layers: [String]) throws {
        for (number, entries) in layers.enumerated() { try bench.tar("\(number).tar", entries) }
        try compare(layers.indices.map { "\($0).tar" }, tree: "tree", name)
    }

    /// Compares a stack with the flat tree that it is unpacked to.
    ///
    /// - Returns: whether it can be unpacked; if not, it cannot be listed either.
    @discardableResult
    private func compare(_ layers: [String], tree: String, _ name: String) throws -> Bool {
        var stack: [TreeLayer] = []
        for layer in layers {
            let unpacked = Result { try bench.unpack(layer, into: tree, .flat) }
            let hex = try bench.sh("sha256sum < \(layer) | cut -c1-64").trimmed
            let listing = try LayerListing(
                reading: bench.open(layer), compression: .none, expecting: Digest(parsing: "sha256:\(hex)"),
                name: layer, cancellation: Cancellation())
            let index = Result { try LayerIndex(listing, on: stack.isEmpty ? nil : UnionTree(layers: stack)) }
            switch (unpacked, index) {
            case (.success, .success(let index)): stack.insert(.entries(index), at: 0)
            case (.failure, .failure): return false
            case (.failure(let error), .success): Issue.record("\(name): \(layer) is only listed: \(error)")
            case (.success, .failure(let error)): Issue.record("\(name): \(layer) is only unpacked: \(error)")
            }
            guard case (.success, .success) = (unpacked, index) else { return false }
        }
        let listed = try lines(UnionTree(layers: stack))
        let unpacked = try lines(UnionTree(layers: [.plain(bench.folder(tree))]))
        #expect(listed == unpacked, "\(name)")
        return true
    }

    /// All but the times of folders: in a flat tree a folder has that of the last change in it.
    private func lines(_ tree: UnionTree) throws -> [String] {
        var lines: [String] = []
        var files: [UInt64: Int] = [:]
        try tree.walk(from: []) { node throws(LayerError) in
            guard !node.path.isEmpty else { return .goOn }
            let entry = try tree.entry(of: node)
            // Which names are one file, whatever its number is.
            let identity = node.status.device &* 31 &+ node.status.inode
            let file = files[identity] ?? files.count
            files[identity] = file
            let time = entry.kind == .directory ? 0 : entry.modified.seconds
            lines.append(
                "\(entry.path.text) \(entry.kind) \(String(entry.permissions, radix: 8)) \(entry.uid):\(entry.gid) \(time) \(entry.attributes.map(\.name)) \(file)"
            )
            return .goOn
        }
        return lines
    }
}
