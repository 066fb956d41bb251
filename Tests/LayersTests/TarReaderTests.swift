import Layers
import OCI
import SystemIO
import SystemPackage
import Testing

@Suite struct TarReaderTests {
    let bench: Workbench

    init() throws {
        bench = try Workbench()
        try bench.sh(
            "mkdir src; printf content > src/file; cp src/file notes.tar; tar -C src -cf plain.tar .; : > empty; head -c 20480 /dev/zero > zeros"
        )
        try bench.sh(
            "for t in gzip bzip2 xz zstd; do $t -c plain.tar > archive.$t; $t -c notes.tar > text.$t; done; head -c 300 plain.tar > broken"
        )
        try bench.sh(
            "head -c 40 archive.gzip > broken.gz; printf 'no tar at all' | head -c 600 > text; ar rc x.ar src/file; printf x | gzip > one.gz"
        )
    }

    func entries(_ reader: consuming TarReader) throws -> [LayerEntry] {
        var reader = reader
        var entries: [LayerEntry] = []
        while let entry = try reader.next() { entries.append(entry) }
        return entries
    }

    @Test("a tar is told by its first header, never by its name")
    func looksLikeArchive() throws {
        let yes = ["plain.tar", "archive.gzip", "archive.bzip2", "archive.xz", "archive.zstd"]
        let no = [
            "notes.tar", "text.gzip", "text.xz", "text.zstd", "text.bzip2", "empty", "zeros", "broken", "broken.gz",
            "text", "x.ar", "one.gz",
        ]
        for name in yes { #expect(try TarReader.looksLikeArchive(bench.open(name)), "\(name)") }
        for name in no { #expect(try !TarReader.looksLikeArchive(bench.open(name)), "\(name)") }
    }

    @Test(
        "archives of every compression give the same entries",
        arguments: ["plain.tar", "archive.gzip", "archive.bzip2", "archive.xz", "archive.zstd"])
    func compressions(name: String) throws {
        let file = try bench.open(name)
        // Looking does not move the position that reading begins at.
        #expect(try TarReader.looksLikeArchive(file))
        var reader = try TarReader(archive: file, name: name)
        #expect(try reader.next()?.path == [])
        #expect(try reader.next()?.kind == .file(size: 7))
        let block = try #require(try reader.nextBlock())
        #expect(Array(block.bytes) == "content".bytes)
        #expect(try reader.next() == nil)
    }

    @Test("an archive's .wh. names are names, a layer's are deletions")
    func whiteouts() throws {
        try bench.tar("file('.wh.a'); file('d/.wh.b'); file('d/.wh..wh..opq'); file('.wh..wh.aufs')")
        #expect(
            try entries(TarReader(archive: bench.open("layer.tar"), name: "a")).allSatisfy { $0.kind == .file(size: 0) }
        )
        let layer = try entries(TarReader(layer: bench.open("layer.tar"), compression: .none, name: "a"))
        #expect(layer.map(\.kind) == [.whiteout, .whiteout, .opaqueMarker])
        #expect(layer.map(\.path) == ["a", "d/b", "d"].map(\.bytes))
    }

    @Test("attributes, big ids, fractions of seconds and names that are no UTF-8 are read as they are")
    func metadata() throws {
        try bench.tar(
            "file('f', uid=4000000000, gid=7, mode=0o4755, pax_headers={'mtime': '-1.25', 'SCHILY.xattr.user.k': 'v', 'LIBARCHIVE.xattr.user.b64': 'AQI='})"
        )
        let entry = try #require(
            try entries(TarReader(layer: bench.open("layer.tar"), compression: .none, name: "l")).first)
        #expect(entry.uid == 4_000_000_000 && entry.gid == 7 && entry.permissions == 0o4755)
        #expect(
            entry.attributes == [
                ExtendedAttribute(name: "user.b64", value: [1, 2]), ExtendedAttribute(name: "user.k", value: "v".bytes),
            ])
        try bench.sh(
            "mkdir n; touch n/$'caf\\xe9'; tar -C n --format=gnu -cf gnu.tar $'caf\\xe9'; tar -C n --format=pax -cf pax.tar $'caf\\xe9'"
        )
        for tar in ["gnu.tar", "pax.tar"] {
            let names = try entries(TarReader(layer: bench.open(tar), compression: .none, name: "l")).map(\.path)
            #expect(names == [[0x63, 0x61, 0x66, 0xe9]], "\(tar)")
        }
    }

    @Test("an entry beyond the limit is refused by its name, whatever the ones before were")
    func entryLimit() throws {
        try bench.tar("for i in range(4): file('same'); file('.wh..wh.note%d' % i); file('.wh.gone%d' % i)")
        let digest = "sha256:test"
        var sound = try TarReader(layer: bench.open("layer.tar"), compression: .none, name: digest, entryLimit: 12)
        while try sound.next() != nil {}
        var reader = try TarReader(layer: bench.open("layer.tar"), compression: .none, name: digest, entryLimit: 11)
        let failure = #expect(throws: LayerError.self) { while try reader.next() != nil {} }
        #expect(
            failure
                == .invalid(layer: digest, entry: ".wh.gone3", reason: "it is one of more than 11 entries"))
    }

    @Test("endless special headers are refused")
    func endlessHeaders() throws {
        try bench.python(
            """
            i = tarfile.TarInfo('x'); i.type = tarfile.XHDTYPE; i.size = 14
            open('layer.tar', 'wb').write((i.tobuf(tarfile.USTAR_FORMAT) + b'14 path=abcde\\n'.ljust(512, b'\\0')) * 20000)
            """)
        #expect(throws: LayerError.self) {
            try entries(TarReader(layer: bench.open("layer.tar"), compression: .none, name: "l"))
        }
    }
}

@Suite struct DecompressorTests {
    let bench: Workbench

    init() throws {
        bench = try Workbench()
    }

    func read(_ name: String, _ format: Decompressor.Format, chunkSize: Int = Decompressor.chunkSize) throws -> [UInt8]
    {
        var decompressor = Decompressor(try bench.open(name), format: format, chunkSize: chunkSize)
        var bytes: [UInt8] = []
        while let chunk = try decompressor.next() { bytes.append(contentsOf: chunk) }
        return bytes
    }

    @Test(
        "a stream reads the same wherever it is cut into chunks", arguments: [1, 2, 3, 7, 8, 9, 13, 64, 1000, 1 << 18])
    func chunks(size: Int) throws {
        try bench.sh(
            "{ noise 20000; seq 1 3000; } > a; seq 1 500 > b; : > c; cat a c b > all; for t in gzip zstd; do for f in a c b; do $t -c $f; done > all.$t; done; "
                + "{ cat all.gzip; head -c 777 /dev/zero; } > padded.gz")
        let expected = try bench.open("all").readAll(limit: 1 << 20)
        #expect(try read("all", .none, chunkSize: size) == expected)
        #expect(try read("all.gzip", .gzip, chunkSize: size) == expected)
        #expect(try read("padded.gz", .gzip, chunkSize: size) == expected)
        #expect(try read("all.zstd", .zstd, chunkSize: size) == expected)
    }

    /// The rule: each script makes `x` from `good.gz` and `good.zst`, and reading it fails.
    static let damages: [(String, Decompressor.Format)] = [
        (": > x", .gzip), (": > x", .zstd), ("head -c 20 good.gz > x", .gzip), ("head -c -1 good.gz > x", .gzip),
        ("head -c -1 good.zst > x", .zstd), ("{ cat good.gz; printf junk; } > x", .gzip),
        ("{ cat good.zst; printf junk; } > x", .zstd),
        ("{ cat good.gz; head -c 9 /dev/zero; cat good.gz; } > x", .gzip), ("cp good.zst x", .gzip),
        ("cp good.gz x", .zstd),
        ("cp good.gz x; printf X | dd of=x bs=1 seek=3000 conv=notrunc status=none", .gzip),
        ("cp good.zst x; printf X | dd of=x bs=1 seek=3000 conv=notrunc status=none", .zstd),
        ("cp good.gz x; truncate -s -8 x; printf AAAABBBB >> x", .gzip),
    ]

    @Test("damage is an error of its own", arguments: damages)
    func damage(script: String, format: Decompressor.Format) throws {
        try bench.sh("{ noise 9000; seq 1 2000; } > good; gzip -k good; zstd -q good; \(script)")
        do {
            _ = try read("x", format)
            Issue.record("read")
        } catch Decompressor.Failure.damaged {
        }
    }
}
