import FoundationEssentials
import OCI
import Testing

@Suite("Documents")
struct DocumentTests {
    @Test("a document has one form: sorted keys, plain slashes, no blanks")
    func canonical() throws {
        var config = ImageConfig(platform: Platform(os: "linux", architecture: "amd64"))
        config.config.env = ["PATH=/bin"]
        config.config.exposedPorts = ["80/tcp": .init()]
        config.history = [.init(created: "1970-01-01T00:00:00Z", createdBy: "RUN x", emptyLayer: true)]
        let text = String(decoding: try CanonicalJSON.encode(config), as: UTF8.self)
        #expect(
            text
                == #"{"architecture":"amd64","config":{"Env":["PATH=/bin"],"ExposedPorts":{"80/tcp":{}}},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"RUN x","empty_layer":true}],"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}"#
        )
    }

    @Test("Docker's additions to a config survive reading and writing")
    func dockerConfig() throws {
        let text =
            #"{"architecture":"amd64","config":{"ArgsEscaped":true,"Healthcheck":{"Interval":30000000000,"Test":["CMD","x"]},"OnBuild":["RUN y"],"Shell":["/bin/bash","-c"]},"history":[],"os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}"#
        let config = try CanonicalJSON.decode(ImageConfig.self, from: Data(text.utf8), name: "config")
        #expect(String(decoding: try CanonicalJSON.encode(config), as: UTF8.self) == text)
    }

    @Test(
        "a damaged document is refused, with its name and the place",
        arguments: [
            ("{", "the manifest of x is not a valid document: it cannot be read at the top"),
            (
                #"{"schemaVersion":2,"layers":[]}"#,
                "the manifest of x is not a valid document: 'config' is missing at the top"
            ),
            (
                #"{"schemaVersion":2,"config":{"mediaType":"a","digest":"sha256:x","size":1},"layers":[]}"#,
                "the manifest of x: 'sha256:x' is not a sha256 digest: expected 64 lower-case hex digits"
            ),
            (
                #"{"schemaVersion":2,"layers":[],"config":{"mediaType":"a","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":-1}}"#,
                "the manifest of x: a descriptor has the negative size -1"
            ),
        ])
    func damaged(_ text: String, _ message: String) {
        #expect(throws: OCIError(message)) {
            try CanonicalJSON.decode(Manifest.self, from: Data(text.utf8), name: "the manifest of x")
        }
    }

    @Test("Docker's media types are those of OCI by another name")
    func mediaTypes() {
        #expect(MediaType.dockerLayerGzip.asOCI == .ociLayerGzip && MediaType.dockerConfig.asOCI == .ociConfig)
        #expect(MediaType.ociLayerZstd.asOCI == .ociLayerZstd)
        #expect(MediaType(rawValue: "application/octet-stream").layerCompression == nil)
    }
}
