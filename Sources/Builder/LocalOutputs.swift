import Glibc
import Layers
import OCI
import SystemIO
import SystemPackage

/// Writes an image to the files that the command line names: a tar, an OCI layout.
struct LocalOutputs: Sendable {
    let request: BuildRequest
    let blobs: BlobFetcher
    let pool: BlockingPool
    let cancellation: Cancellation
    let report: EventSink

    /// A tar that is complete and not yet in its place.
    struct Pending {
        fileprivate let aside: FilePath
        fileprivate let path: FilePath
        fileprivate let report: EventSink

        /// Puts the tar in its place.
        func commit() throws {
            try OutputFile.rename(aside, to: path)
            let size = try OwnedDescriptor.open(path, O_RDONLY).status().size
            report(.wrote(path: path.printable, bytes: size))
        }

        /// Removes the tar.
        func discard() {
            unlink(aside.string)
        }
    }

    /// Writes the layout, and the tar under a temporary name: it takes its place when the image was pushed as well.
    func write(_ image: BuiltImage) async throws -> Pending? {
        guard request.tarPath != nil || request.layoutPath != nil else { return nil }
        try await image.layers.forEachConcurrently(width: BuildTools.unpackWidth) { [blobs] in try await blobs.fetch($0)
        }
        let store = blobs.store
        let local = LocalImage(
            descriptor: image.descriptor, manifestBytes: image.manifestBytes, manifest: image.manifest,
            configBytes: image.configBytes,
            openBlob: { descriptor throws(LayerError) in
                do throws(SystemError) { return try store.open(descriptor) } catch { throw .system(error) }
            })
        return try await pool.run { () throws(any Error) in
            if let path = request.layoutPath { try writeLayout(local, to: path) }
            return try request.tarPath.map { try writeTar(local, to: $0) }
        }
    }

    private func writeLayout(_ image: LocalImage, to path: FilePath) throws {
        do {
            try ImageLayout(creating: path).write(
                image, tag: request.destinations.first?.tag, cancellation: cancellation)
        } catch {
            throw BuildError(error, doing: "the OCI layout '\(path.printable)' cannot be written")
        }
        report(.note("wrote the OCI layout \(path.printable)"))
    }

    private func writeTar(_ image: LocalImage, to path: FilePath) throws -> Pending {
        do {
            let aside = try OutputFile.temporaryPath(for: path)
            try ImageArchive.write(image, references: request.destinations, to: aside, cancellation: cancellation)
            return Pending(aside: aside, path: path, report: report)
        } catch {
            throw BuildError(error, doing: "the tar '\(path.printable)' cannot be written")
        }
    }
}
