// https://github.com/moby/docker-image-spec/blob/v1.3.1/spec.md#combined-image-json--filesystem-changeset-format

import FoundationEssentials
import Glibc
import OCI
package import SystemIO
import SystemPackage

/// Images as `docker save` writes them, in a folder that their archive was unpacked into.
///
/// The folder is taken as hostile: links in it (docker writes one for a layer that two images share) stop at its root, documents are
/// bounded, and layers are compared with what the image's config says.
package struct DockerArchive: Sendable {
    /// An image of the archive. Paths are relative to the archive.
    package struct Image: Sendable, Hashable, Decodable {
        let config: String
        /// `app:1`, `registry.example.com/team/app:1`.
        let names: [String]
        package let layers: [String]

        enum CodingKeys: String, CodingKey {
            case config = "Config"
            case names = "RepoTags"
            case layers = "Layers"
        }

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            config = try container.decode(String.self, forKey: .config)
            names = try container.decodeIfPresent([String].self, forKey: .names) ?? []
            layers = try container.decodeIfPresent([String].self, forKey: .layers) ?? []
        }
    }

    private let folder: Directory
    private let label: String
    private let images: [Image]

    private static let listName: FilePath = "manifest.json"

    /// Whether a folder holds such an archive.
    package static func isOne(_ folder: Directory) -> Bool {
        (try? folder.statusIfPresent(of: listName))?.kind == .file
    }

    /// - Parameter name: the archive, for messages.
    package init(_ folder: Directory, name: String) throws(LayerError) {
        self.folder = folder
        label = "archive '\(name)'"
        let bytes = try layerCall { () throws(SystemError) in
            try folder.open(Self.listName, O_RDONLY | O_NONBLOCK, .inRoot).readAll(limit: ImageLayout.manifestLimit)
        }
        do throws(OCIError) {
            images = try CanonicalJSON.decode([Image].self, from: Data(bytes), name: "\(Self.listName)")
        } catch { throw .invalid(layer: label, entry: nil, reason: error.message) }
    }

    /// One image: by a name that it has, its tag, or its ID; without one the only image.
    package func find(_ name: String?) throws(LayerError) -> Image {
        guard let name else {
            if let only = images.first, images.count == 1 { return only }
            throw invalid(images.isEmpty ? "it has no image" : "it has several images: name one\(offer)")
        }
        let wanted = try? ImageReference(parsing: name)
        let found = images.filter { image in
            image.names.contains { $0 == name || $0.hasSuffix(":\(name)") }
                || (wanted != nil && image.names.contains { (try? ImageReference(parsing: $0)) == wanted })
                || isID(name, of: image)
        }
        guard let first = found.first else {
            throw invalid("it has no image '\(FilePath.printable(name.utf8))'\(offer)")
        }
        guard found.count == 1 else {
            throw invalid("several of its images are '\(FilePath.printable(name.utf8))': write the whole name\(offer)")
        }
        return first
    }

    private func isID(_ name: String, of image: Image) -> Bool {
        guard let digest = try? Digest(parsing: name), let bytes = try? configBytes(of: image) else { return false }
        return Digest(sha256: SHA256.hash(bytes)) == digest
    }

    private var offer: String {
        let names = images.flatMap(\.names)
        guard !names.isEmpty else { return "; its images have IDs only" }
        let shown = names.prefix(20).map { "'\(FilePath.printable($0.utf8.prefix(256)))'" }.joined(separator: ", ")
        return "; it has \(shown)" + (names.count > 20 ? " and \(names.count - 20) more" : "")
    }

    /// The config of an image, byte for byte.
    package func configBytes(of image: Image) throws(LayerError) -> [UInt8] {
        let file = try open(image.config)
        return try layerCall { () throws(SystemError) in try file.readAll(limit: ImageLayout.configLimit) }
    }

    /// Writes a layer's blob to `file`: as it is where it is compressed with gzip, else compressed with it.
    ///
    /// After a failure the file holds a part.
    /// - Parameter file: empty and at its beginning; the writer closes it.
    package func writeLayer(
        _ path: String, to file: consuming OwnedDescriptor, threads: Int, cancellation: Cancellation
    ) throws(LayerError) -> Layer {
        let format = try format(of: path)
        let target = PipelineFile(file)
        let summary = try pass(
            path, from: format == .gzip ? .none : format,
            through: CompressionPipeline(format == .gzip ? .none : .gzip, threads: threads, file: target), cancellation)
        try layerCall { () throws(SystemError) in try target.close() }
        let descriptor = Descriptor(
            mediaType: .dockerLayerGzip, digest: Digest(sha256: summary.outputHash), size: summary.outputSize)
        guard format == .gzip else { return Layer(descriptor: descriptor, diffID: Digest(sha256: summary.inputHash)) }
        // What was copied as it is says nothing yet of what is in it.
        let content = CompressionPipeline(.none, threads: 0) { (_) throws(SystemError) in }
        let inner = try pass(path, from: .gzip, through: content, cancellation)
        return Layer(descriptor: descriptor, diffID: Digest(sha256: inner.inputHash))
    }

    /// Sends the content of a file through a pipeline.
    private func pass(
        _ path: String, from format: Decompressor.Format, through pipeline: consuming CompressionPipeline,
        _ cancellation: Cancellation
    ) throws(LayerError) -> CompressionPipeline.Summary {
        var source = Decompressor(try open(path), format: format)
        var pipeline = pipeline
        while true {
            guard !cancellation.isCancelled else { throw .cancelled }
            let chunk: UnsafeRawBufferPointer?
            do throws(Decompressor.Failure) { chunk = try source.next() } catch {
                throw LayerError(error, layer: label, entry: FilePath.printable(path.utf8))
            }
            guard let chunk else { break }
            do throws(SystemError) { try pipeline.append(chunk) } catch { throw .system(error) }
        }
        do throws(SystemError) { return try pipeline.finish() } catch { throw .system(error) }
    }

    /// How a layer is compressed, by its first bytes.
    private func format(of path: String) throws(LayerError) -> Decompressor.Format {
        let file = try open(path)
        var magic = [UInt8](repeating: 0, count: 4)
        let count = try layerCall { () throws(SystemError) in
            let read: Result<Int, SystemError> = magic.withUnsafeMutableBytes { buffer in
                do throws(SystemError) { return .success(try file.read(into: buffer, at: 0)) } catch {
                    return .failure(error)
                }
            }
            return try read.get()
        }
        if count >= 2, magic[0] == 0x1f, magic[1] == 0x8b { return .gzip }
        return count == 4 && magic == [0x28, 0xb5, 0x2f, 0xfd] ? .zstd : .none
    }

    private func open(_ path: String) throws(LayerError) -> OwnedDescriptor {
        let path = FilePath(path)
        let file = try layerCall { () throws(SystemError) in
            // O_NONBLOCK: a pipe planted there must not hang the open.
            try folder.open(path, O_RDONLY | O_NONBLOCK, .inRoot)
        }
        guard try layerCall({ () throws(SystemError) in try file.status() }).kind == .file else {
            throw invalid("'\(path.printable)' is not a regular file")
        }
        return file
    }

    private func invalid(_ reason: String) -> LayerError {
        .invalid(layer: label, entry: nil, reason: reason)
    }
}
