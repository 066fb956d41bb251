import Layers
import OCI
import SystemIO

/// Makes a layer's blob in the store: one pass from files to a verified, named blob.
struct LayerMaker: Sendable {
    let store: BlobStore
    let compression: CompressionPipeline.Format
    let threads: Int
    /// Later times in the layer are set back to this.
    let latest: Timestamp?
    let cancellation: Cancellation

    /// Lets `write` fill a new layer, and stores it.
    ///
    /// Blocks; nothing is left behind after a failure.
    func make(_ write: (inout LayerWriter) throws -> Void) throws -> Layer {
        let file = try store.makeFile()
        let name = file.name
        do {
            var writer = try LayerWriter(
                to: try file.descriptor.duplicate(), compression: compression, threads: threads, latest: latest,
                cancellation: cancellation)
            try write(&writer)
            let layer = try writer.finish()
            try store.adopt(name, as: layer.descriptor.digest)
            return layer
        } catch {
            store.discard(name)
            throw error
        }
    }
}
