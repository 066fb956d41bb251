import FoundationEssentials
import Layers
import OCI
import SystemIO
import SystemPackage
import TestSupport

/// A two-layer image in a scratch folder, its layers in `<hex>` files there.
struct SampleImage {
    let image: LocalImage
    let manifest: Manifest
    let config: ImageConfig

    init(in scratch: ScratchFolder, content: String = "hello") throws {
        var config = ImageConfig(platform: Platform(os: "linux", architecture: "amd64"))
        var layers: [Descriptor] = []
        for (name, text) in [("a", content), ("b", "same")] {
            let bytes = Array(text.utf8)
            let entry = LayerWriterTests.entry(name, .file(size: Int64(bytes.count)))
            let layer = try LayerWriterTests.write([(entry, bytes)], to: "layer", in: scratch)
            try scratch.directory.rename("layer", to: FilePath(layer.descriptor.digest.hex))
            layers.append(layer.descriptor)
            config.rootfs.diffIDs.append(layer.diffID)
            config.history.append(ImageConfig.History(created: nil, createdBy: "COPY \(name)"))
        }
        config.config.cmd = ["/bin/true"]
        let configBytes = Array(try CanonicalJSON.encode(config))
        let manifest = Manifest(
            mediaType: .ociManifest, config: SampleImage.describe(configBytes, .ociConfig), layers: layers)
        let manifestBytes = Array(try CanonicalJSON.encode(manifest))
        self.manifest = manifest
        self.config = config
        image = LocalImage(
            descriptor: SampleImage.describe(manifestBytes, .ociManifest), manifestBytes: manifestBytes,
            manifest: manifest, configBytes: configBytes
        ) { descriptor throws(LayerError) in
            do throws(SystemError) {
                return try scratch.directory.open(FilePath(descriptor.digest.hex), 0, .noSymlinks)
            } catch { throw .system(error) }
        }
    }

    static func describe(_ bytes: [UInt8], _ type: MediaType) -> Descriptor {
        Descriptor(mediaType: type, digest: Digest(sha256: SHA256.hash(bytes)), size: Int64(bytes.count))
    }
}
