// https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md

package import OCI
package import SystemIO

/// A finished image whose blobs can be opened here, ready to be written as a layout or an archive.
package struct LocalImage: Sendable {
    /// Of the manifest's bytes.
    package let descriptor: Descriptor
    package let manifestBytes: [UInt8]
    /// What `manifestBytes` says.
    package let manifest: Manifest
    package let configBytes: [UInt8]
    /// Opens a layer's blob, which is verified already, for reading from its beginning.
    package let openBlob: @Sendable (Descriptor) throws(LayerError) -> OwnedDescriptor

    package init(
        descriptor: Descriptor, manifestBytes: [UInt8], manifest: Manifest, configBytes: [UInt8],
        openBlob: @escaping @Sendable (Descriptor) throws(LayerError) -> OwnedDescriptor
    ) {
        self.descriptor = descriptor
        self.manifestBytes = manifestBytes
        self.manifest = manifest
        self.configBytes = configBytes
        self.openBlob = openBlob
    }

    /// The layers to store: an image may name the same blob more than once.
    var distinctLayers: [Descriptor] {
        var seen: Set<Digest> = []
        return manifest.layers.filter { seen.insert($0.digest).inserted }
    }
}

/// Names in an OCI layout: of a folder, or within an archive.
enum LayoutName {
    static let marker = "oci-layout"
    static let markerContent = Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)
    static let index = "index.json"
    static let blobs = "blobs/sha256"

    static func blob(_ digest: Digest) -> String { "\(blobs)/\(digest.hex)" }
}

/// Annotations by which an image in a layout is named.
/// https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md
enum LayoutAnnotation {
    /// The tag alone, as `skopeo copy ... oci:PATH:TAG` writes it.
    static let referenceName = "org.opencontainers.image.ref.name"
    /// The whole reference, by which containerd names an image that it loads.
    static let containerdName = "io.containerd.image.name"
}

/// Makes a call to the kernel part of a layer's work: its failure becomes `.system`.
func layerCall<T: ~Copyable>(_ body: () throws(SystemError) -> T) throws(LayerError) -> T {
    do throws(SystemError) { return try body() } catch { throw .system(error) }
}
