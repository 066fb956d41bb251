import CArchive
import SystemIO

/// The bytes that libarchive asks for.
final class TarSource {
    private let name: String
    /// A layer: decompressed and hashed ahead by a thread of its own.
    private let layer: HashedStream?
    /// An archive: libarchive itself finds out how it is compressed.
    private var archive: Decompressor?
    /// What went wrong below libarchive, which knows only that it did.
    private(set) var failure: LayerError?

    init(layer: HashedStream, name: String) {
        self.layer = layer
        self.name = name
        archive = nil
    }

    init(archive: consuming Decompressor, name: String) {
        layer = nil
        self.name = name
        self.archive = .some(archive)
    }

    private func next() throws(LayerError) -> UnsafeRawBufferPointer? {
        do throws(Decompressor.Failure) {
            if let layer { return try layer.next() }
            return try archive?.next()
        } catch {
            throw LayerError(error, layer: name)
        }
    }

    /// libarchive's read callback: the count, 0 at the end, negative on failure.
    func give(_ block: UnsafeMutablePointer<UnsafeRawPointer?>) -> Int {
        do throws(LayerError) {
            guard let bytes = try next() else { return 0 }
            block.pointee = bytes.baseAddress
            return bytes.count
        } catch {
            failure = error
            return Int(ARCHIVE_FATAL)
        }
    }

    /// Reads a layer to its end and gives the SHA-256 of all of it.
    func finish() throws(LayerError) -> [UInt8] {
        while try next() != nil {}
        guard let layer else { preconditionFailure("an archive has no digest") }
        return layer.digest
    }
}
