// https://github.com/opencontainers/image-spec/blob/v1.1.0/layer.md

import OCI
package import SystemIO
import SystemPackage

/// Writes one layer blob: entries in canonical order in, a `Layer` out, in one pass.
///
/// The same entries and contents give the same bytes on any machine and with any number of threads. Add the entries in the order
/// of `LayerEntry.precedes`; one that is out of order, stands twice or cannot be in a layer is an error. After
/// any error the writer and the file are of no use: drop both.
package struct LayerWriter: ~Copyable {
    private var tar: TarWriter
    private let file: PipelineFile
    private let compression: CompressionPipeline.Format
    private let latest: Timestamp?
    private var last: LayerEntry?

    private static let name = "new layer"

    /// - Parameters:
    ///   - file: an open scratch file, empty and at its beginning; rename it by the layer's digest after `finish`. The writer
    ///     closes it; keep a duplicate to read the blob from.
    ///   - threads: compressing workers besides the caller's thread; 0 works in the caller's calls only.
    ///   - latest: modification times later than this are set back to it; `nil` keeps them.
    ///   - cancellation: looked at before each entry and each mebibyte.
    package init(
        to file: consuming OwnedDescriptor, compression: CompressionPipeline.Format = .gzip, threads: Int,
        latest: Timestamp?, cancellation: Cancellation
    ) throws(LayerError) {
        let file = PipelineFile(file)
        let pipeline = CompressionPipeline(compression, threads: threads, file: file)
        tar = try TarWriter(into: pipeline, name: LayerWriter.name, cancellation: cancellation)
        self.file = file
        self.compression = compression
        self.latest = latest
    }

    /// Adds anything that has no content: all but regular files, and empty ones of these.
    package mutating func add(_ entry: LayerEntry) throws(LayerError) {
        if case .file(let size) = entry.kind, size != 0 { throw invalid(entry, "its content is missing") }
        _ = try begin(entry)
    }

    /// Adds a regular file with the content that `content` has from its beginning on.
    ///
    /// A file that grew or shrank since its size was taken is an error that names it.
    package mutating func add(_ entry: LayerEntry, content: borrowing OwnedDescriptor) throws(LayerError) {
        guard case .file(let size) = entry.kind else { throw invalid(entry, "only regular files have content") }
        let written = try begin(entry)
        try tar.writeContent(of: written, size: size, from: content)
    }

    /// Adds a regular file whose content is a stretch of another: as many bytes as the entry says, from `offset` on.
    package mutating func add(
        _ entry: LayerEntry, content: borrowing OwnedDescriptor, at offset: Int64
    ) throws(LayerError) {
        guard case .file(let size) = entry.kind else { throw invalid(entry, "only regular files have content") }
        let written = try begin(entry)
        try tar.writeStretch(of: written, size: size, from: content, at: offset)
    }

    /// Adds a regular file whose content is at hand.
    package mutating func add(_ entry: LayerEntry, bytes: [UInt8]) throws(LayerError) {
        guard case .file(let size) = entry.kind else { throw invalid(entry, "only regular files have content") }
        guard size == bytes.count else { throw invalid(entry, "its size is \(size), its content \(bytes.count) bytes") }
        let written = try begin(entry)
        try tar.writeContent(of: written, bytes)
    }

    /// Ends the layer. After success the file holds all of the blob and is closed.
    package consuming func finish() throws(LayerError) -> Layer {
        let file = self.file
        let compression = self.compression
        let summary = try tar.finish()
        do throws(SystemError) { try file.close() } catch { throw .system(error) }
        let mediaType: MediaType =
            switch compression {
            case .none: .ociLayer
            case .gzip: .ociLayerGzip
            case .zstd: .ociLayerZstd
            }
        return Layer(
            descriptor: Descriptor(
                mediaType: mediaType, digest: Digest(sha256: summary.outputHash), size: summary.outputSize),
            diffID: Digest(sha256: summary.inputHash))
    }

    private mutating func begin(_ entry: LayerEntry) throws(LayerError) -> LayerEntry {
        if let flaw = entry.flaw { throw invalid(entry, flaw) }
        if let last, !last.precedes(entry) {
            let place = FilePath.printable(last.path)
            throw invalid(entry, entry.precedes(last) ? "it must come before '\(place)'" : "it is in the layer twice")
        }
        last = entry
        var entry = entry
        if let latest { entry.modified = min(entry.modified, latest) }
        try tar.writeHeader(entry)
        return entry
    }

    private func invalid(_ entry: LayerEntry, _ reason: String) -> LayerError {
        .invalid(layer: LayerWriter.name, entry: FilePath.printable(entry.path), reason: reason)
    }
}
