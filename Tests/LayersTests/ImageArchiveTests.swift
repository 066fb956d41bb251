import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport
import Testing

@Suite struct ImageArchiveTests {
    static func write(
        _ sample: SampleImage, _ names: [String], to name: String = "x.tar", in scratch: ScratchFolder
    ) throws {
        try ImageArchive.write(
            sample.image, references: try names.map { try ImageReference(parsing: $0) },
            to: scratch.path.appending(name), cancellation: Cancellation())
    }

    @Test(
        "skopeo reads one file as docker-archive and as oci-archive",
        arguments: [["go-todo:dev"], [], ["127.0.0.1:5000/team/app:1"]])
    func skopeoReadsBoth(names: [String]) throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        try Self.write(sample, names, in: scratch)
        try scratch.run(
            "skopeo --insecure-policy copy -q docker-archive:x.tar oci:from-docker:t && skopeo --insecure-policy copy -q oci-archive:x.tar oci:from-oci:t"
        )
        // As an OCI archive it is the image itself; as a Docker one, the same files in a new manifest.
        let digest = try scratch.run("skopeo --insecure-policy inspect --format '{{.Digest}}' oci:from-oci:t")
        #expect(digest == "\(sample.image.descriptor.digest)\n")
        for source in ["from-docker", "from-oci"] {
            let config = try scratch.run("skopeo --insecure-policy inspect --config --raw oci:\(source):t | sha256sum")
            if source == "from-oci" { #expect(config == "\(sample.manifest.config.digest.hex)  -\n") }
            try scratch.run("umoci unpack --rootless --image \(source):t \(source)-bundle")
            #expect(try scratch.run("cat \(source)-bundle/rootfs/a \(source)-bundle/rootfs/b") == "hellosame")
        }
    }

    @Test("docker's manifest.json names the tags as docker shows them, and blobs that are there")
    func dockerManifest() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        try Self.write(sample, ["go-todo:dev", "ghcr.io/acme/go-todo:1"], in: scratch)
        let check = """
            python3 - <<'EOF'
            import tarfile, json, hashlib
            t = tarfile.open('x.tar')
            [m] = json.load(t.extractfile('manifest.json'))
            print(m['RepoTags'])
            for name in [m['Config']] + m['Layers']:
                assert hashlib.sha256(t.extractfile(name).read()).hexdigest() == name.split('/')[-1], name
            for d in json.load(t.extractfile('index.json'))['manifests']: print(d['annotations']['io.containerd.image.name'])
            names = t.getnames(); assert names == sorted(names); print(len(names))
            EOF
            """
        let expected = """
            ['go-todo:dev', 'ghcr.io/acme/go-todo:1']
            docker.io/library/go-todo:dev
            ghcr.io/acme/go-todo:1
            9

            """
        #expect(try scratch.run(check) == expected)
    }

    @Test("the same image gives the same archive, and nothing else is left beside it")
    func reproducible() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        try Self.write(sample, ["a:1"], in: scratch)
        try Self.write(sample, ["a:1"], to: "y.tar", in: scratch)
        try scratch.run("cmp x.tar y.tar")
        #expect(try scratch.directory.names().filter { $0.string.hasPrefix(".imgbuild-") } == [])
    }

    @Test("a failure leaves the archive that was there, and no temporary file")
    func failureKeepsTheOldOne() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        try scratch.write("x.tar", [1, 2, 3])
        try scratch.directory.remove(FilePath(sample.manifest.layers[1].digest.hex))
        #expect(throws: LayerError.self) { try Self.write(sample, [], in: scratch) }
        #expect(try scratch.read("x.tar") == [1, 2, 3])
        #expect(try scratch.directory.names().filter { $0.string.hasPrefix(".imgbuild-") } == [])
    }

    @Test("a layer that is cut off is never archived")
    func cutOffLayer() throws {
        let scratch = try ScratchFolder()
        let sample = try SampleImage(in: scratch)
        try scratch.run("truncate -s -1 \(sample.manifest.layers[0].digest.hex)")
        let error = #expect(throws: LayerError.self) { try Self.write(sample, [], in: scratch) }
        #expect(error?.description.contains(sample.manifest.layers[0].digest.hex) == true)
        #expect(error?.description.contains("shrank") == true)
    }
}
