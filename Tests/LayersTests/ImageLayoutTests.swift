import FoundationEssentials
import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

@Suite struct ImageLayoutTests {
    @Test("skopeo and umoci read a written layout, and it reads back")
    func writeAndRead() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        let layout = try ImageLayout(creating: scratch.path.appending("out"))
        try layout.write(sample.image, tag: "v1", cancellation: Cancellation())
        let digest = try scratch.run("skopeo --insecure-policy inspect --format '{{.Digest}}' oci:out:v1")
        #expect(digest == "\(sample.image.descriptor.digest)\n")
        #expect(try scratch.run("umoci list --layout out") == "v1\n")
        try scratch.run("umoci unpack --rootless --image out:v1 bundle && test \"$(cat bundle/rootfs/a)\" = hello")

        let reopened = try ImageLayout(opening: scratch.path.appending("out"))
        let found = try reopened.find(tag: "v1")
        #expect(found.digest == sample.image.descriptor.digest)
        #expect(try reopened.find(digest: found.digest) == found)
        #expect(try reopened.document(found) == sample.image.manifestBytes)
        #expect(
            try reopened.document(sample.manifest.config, limit: ImageLayout.configLimit) == sample.image.configBytes)
        let blob = try reopened.openBlob(sample.manifest.layers[0]).readAll(limit: 1 << 20)
        #expect(Digest(sha256: SHA256.hash(blob)) == sample.manifest.layers[0].digest)
    }

    @Test("a tag moves to the image that got it last; other images stay")
    func tagsMove() throws {
        let scratch = try ScratchFolder()
        let layout = try ImageLayout(creating: scratch.path.appending("out"))
        let one = try SampleImage(in: scratch, content: "one").image
        let two = try SampleImage(in: scratch, content: "two").image
        for (image, tag) in [(one, "a"), (one, "b"), (two, "a"), (two, "a"), (two, nil), (two, nil)] {
            try layout.write(image, tag: tag, cancellation: Cancellation())
        }
        #expect(try layout.find(tag: "a").digest == two.descriptor.digest)
        #expect(try layout.find(tag: "b").digest == one.descriptor.digest)
        #expect(try layout.index().manifests.count == 3)
        try scratch.run("umoci list --layout out | tr '\\n' ' ' | grep -q 'b a\\|a b'")
    }

    @Test("without a tag it is the only image or latest; else the error tells the tags")
    func choosing() throws {
        let scratch = try ScratchFolder()
        let layout = try ImageLayout(creating: scratch.path.appending("out"))
        let one = try SampleImage(in: scratch, content: "one").image
        let two = try SampleImage(in: scratch, content: "two").image
        try layout.write(one, tag: "a", cancellation: Cancellation())
        #expect(try layout.find(tag: nil).digest == one.descriptor.digest)
        try layout.write(two, tag: "b", cancellation: Cancellation())
        for tag in [nil, "c"] {
            let error = #expect(throws: LayerError.self) { try layout.find(tag: tag) }
            #expect(error?.description.contains("'a', 'b'") == true, "\(error?.description ?? "")")
        }
        try layout.write(two, tag: "latest", cancellation: Cancellation())
        #expect(try layout.find(tag: nil).digest == two.descriptor.digest)
    }

    /// What is done to a sound layout, and a word of the error that opening or reading it must give.
    static let hostile: [(String, String)] = [
        ("rm out/oci-layout", "oci-layout"),
        ("echo '{\"imageLayoutVersion\":\"2.0.0\"}' > out/oci-layout", "2.0.0"),
        ("rm out/oci-layout && mkfifo out/oci-layout", "regular file"),
        ("mv out/index.json elsewhere && ln -s ../elsewhere out/index.json", "symbolic links"),
        ("rm -r out/index.json && mkdir out/index.json", "regular file"),
        ("truncate -s 5M out/index.json", "too large"),
        ("echo nonsense > out/index.json", "index.json"),
        ("mv out/blobs outside && ln -s ../outside out/blobs", "symbolic links"),
        ("for f in out/blobs/sha256/*; do ln -sf /etc/passwd $f; done", "symbolic links"),
        ("for f in out/blobs/sha256/*; do rm $f; mkfifo $f; done", "regular file"),
        ("for f in out/blobs/sha256/*; do echo >> $f; done", "bytes, expected"),
        ("for f in out/blobs/sha256/*; do printf x | dd of=$f conv=notrunc status=none; done", "has the digest"),
        ("sed -i 's/\"size\":[0-9]*/\"size\":99999999/' out/index.json", "at most 4194304"),
        ("sed -i 's/\"size\":[0-9]*/\"size\":-1/' out/index.json", "negative"),
        ("sed -i 's/sha256:[0-9a-f]*/sha256:..\\/..\\/..\\/etc\\/passwd/' out/index.json", "sha256"),
    ]

    @Test("a damaged or hostile layout is one clear error", arguments: hostile)
    func hostileLayouts(damage: String, word: String) throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        try ImageLayout(creating: scratch.path.appending("out")).write(
            sample.image, tag: "t", cancellation: Cancellation())
        try scratch.run(damage)
        let error = #expect(throws: LayerError.self) {
            let layout = try ImageLayout(opening: scratch.path.appending("out"))
            _ = try layout.document(try layout.find(tag: "t"))
        }
        #expect(error?.description.contains(word) == true, "\(error?.description ?? "")")
    }

    @Test("a blob with another digest than it should have is not stored")
    func wrongBlob() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        let hex = sample.manifest.layers[0].digest.hex
        try scratch.run("printf x | dd of=\(hex) conv=notrunc status=none")
        let layout = try ImageLayout(creating: scratch.path.appending("out"))
        #expect(throws: LayerError.self) { try layout.write(sample.image, tag: "t", cancellation: Cancellation()) }
        #expect(try scratch.run("ls -A out out/blobs/sha256") == "out:\nblobs\noci-layout\n\nout/blobs/sha256:\n")
    }

    @Test("a blob that was cut off is written again")
    func repairs() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        let layout = try ImageLayout(creating: scratch.path.appending("out"))
        try layout.write(sample.image, tag: "t", cancellation: Cancellation())
        let layer = sample.manifest.layers[1]
        try scratch.run("truncate -s 3 out/blobs/sha256/\(layer.digest.hex)")
        try layout.write(sample.image, tag: "t", cancellation: Cancellation())
        #expect(
            Digest(sha256: SHA256.hash(try layout.openBlob(layer).readAll(limit: 1 << 20))) == layer.digest)
    }

    @Test("a location is a path with a tag or a digest")
    func locations() throws {
        let digest = Digest(sha256: SHA256.hash([]))
        let table: [(String, FilePath, String?, Digest?)] = [
            ("out", "out", nil, nil), ("/a/b:v1", "/a/b", "v1", nil),
            ("./x:host:5000/y:1", "./x", "host:5000/y:1", nil),
            ("a@b/c@\(digest)", "a@b/c", nil, digest), ("user@host", "user@host", nil, nil),
        ]
        for (text, path, tag, digest) in table {
            let location = try ImageLayout.Location(parsing: text)
            #expect(location.path == path && location.tag == tag && location.digest == digest, "\(text)")
        }
        for text in ["", ":v1", "out:", "out@sha256:abc"] {
            #expect(throws: OCIError.self, "\(text)") { try ImageLayout.Location(parsing: text) }
        }
    }
}
