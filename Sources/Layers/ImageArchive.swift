// https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format
// https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md

import FoundationEssentials
package import OCI
package import SystemIO
package import SystemPackage

/// Writes an image as one tar that `docker load`, `podman load`, and skopeo as `docker-archive:` and `oci-archive:` read.
///
/// The tar is an OCI layout with Docker's `manifest.json` beside it, which names the same blobs; layers stay compressed.
/// The same image and references give the same bytes.
package enum ImageArchive {
    /// Writes the archive to `path`, replacing what is there.
    ///
    /// It is written under a temporary name beside it and renamed when it is complete; after a failure `path` is as it was.
    /// - Parameter references: the names under which the image is loaded, each with a tag; may be empty.
    package static func write(
        _ image: LocalImage, references: [ImageReference], to path: FilePath, cancellation: Cancellation
    ) throws(LayerError) {
        let label = "archive '\(path.printable)'"
        guard let name = path.lastComponent else {
            throw .invalid(layer: label, entry: nil, reason: "it has no file name")
        }
        let parent = path.removingLastComponent()
        let items = try items(of: image, references: references, label: label)
        let folder = try layerCall { () throws(SystemError) in
            try Directory(opening: parent.isEmpty ? "." : parent)
        }
        let target = try layerCall { () throws(SystemError) in
            try AtomicFile(FilePath(root: nil, [name]), in: folder)
        }
        let file = PipelineFile(try layerCall { () throws(SystemError) in try target.duplicate() })
        var tar = try TarWriter(
            into: CompressionPipeline(.none, threads: 1, file: file), name: label, cancellation: cancellation)
        for item in items { try write(item, into: &tar) }
        _ = try tar.finish()
        do throws(SystemError) {
            try file.close()
            try target.publish()
        } catch { throw .system(error) }
    }

    private enum Item {
        case directory(String)
        case document(String, [UInt8])
        case blob(Descriptor, LocalImage)

        var path: String {
            switch self {
            case .directory(let path), .document(let path, _): path
            case .blob(let descriptor, _): LayoutName.blob(descriptor.digest)
            }
        }

        func entry(_ kind: LayerEntry.Kind) -> LayerEntry {
            LayerEntry(path: Array(path.utf8), kind: kind, permissions: kind == .directory ? 0o755 : 0o644)
        }
    }

    /// All that goes into the archive, sorted by name.
    private static func items(
        of image: LocalImage, references: [ImageReference], label: String
    ) throws(LayerError) -> [Item] {
        let named = references.map { reference in
            var descriptor = image.descriptor
            descriptor.annotations = [
                LayoutAnnotation.referenceName: reference.tag ?? "latest",
                LayoutAnnotation.containerdName: reference.description,
            ]
            return descriptor
        }
        let index = ImageIndex(manifests: named.isEmpty ? [image.descriptor] : named)
        let docker = DockerImage(
            config: LayoutName.blob(image.manifest.config.digest),
            repoTags: references.map { "\($0.familiarName):\($0.tag ?? "latest")" },
            layers: image.manifest.layers.map { LayoutName.blob($0.digest) })
        let items: [Item] = [
            .directory("blobs"), .directory(LayoutName.blobs),
            .document(LayoutName.blob(image.descriptor.digest), image.manifestBytes),
            .document(LayoutName.blob(image.manifest.config.digest), image.configBytes),
            .document(LayoutName.index, try encode(index, label: label)),
            .document("manifest.json", try encode([docker], label: label)),
            .document(LayoutName.marker, LayoutName.markerContent),
        ]
        let blobs = image.distinctLayers.map { Item.blob($0, image) }
        return (items + blobs).sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }

    private static func write(_ item: Item, into tar: inout TarWriter) throws(LayerError) {
        switch item {
        case .directory: try tar.writeHeader(item.entry(.directory))
        case .document(_, let bytes):
            let entry = item.entry(.file(size: Int64(bytes.count)))
            try tar.writeHeader(entry)
            try tar.writeContent(of: entry, bytes)
        case .blob(let descriptor, let image):
            let blob = try image.openBlob(descriptor)
            let entry = item.entry(.file(size: descriptor.size))
            try tar.writeHeader(entry)
            try tar.writeContent(of: entry, size: descriptor.size, from: blob)
        }
    }

    /// An image of Docker's `manifest.json`. Paths are relative to the archive.
    private struct DockerImage: Encodable {
        let config: String
        let repoTags: [String]
        let layers: [String]

        enum CodingKeys: String, CodingKey {
            case config = "Config"
            case repoTags = "RepoTags"
            case layers = "Layers"
        }
    }

    static func encode(_ document: some Encodable, label: String) throws(LayerError) -> [UInt8] {
        do {
            return Array(try CanonicalJSON.encode(document))
        } catch {
            throw .invalid(layer: label, entry: nil, reason: "a document cannot be encoded: \(error)")
        }
    }
}
