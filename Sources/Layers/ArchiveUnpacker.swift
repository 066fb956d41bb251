import Glibc
package import SystemIO
import SystemPackage

/// Lays the files of an archive that a user named into a folder, treating the archive as hostile: as `LayerUnpacker` does,
/// nothing outside the folder is read, made or changed.
///
/// All files belong to whoever unpacks, so that no rights are needed; modes, times, links and extended attributes are the
/// archive's. Of the archive's own root only the content counts. Names that begin with `.wh.` are ordinary.
package enum ArchiveUnpacker {
    /// Unpacks a tar, plain or compressed with gzip, bzip2, xz or zstd as its content says, into an empty folder.
    ///
    /// After a failure the folder holds a part of the files.
    /// - Parameter name: the archive, for messages.
    /// - Throws: `LayerError.invalid` for what is no such archive, is damaged, or has an entry that is a device: opening one
    ///   by mistake has effects of its own.
    package static func unpack(
        _ archive: consuming OwnedDescriptor, name: String, into root: Directory, cancellation: Cancellation
    ) throws(LayerError) {
        let owner = (uid: geteuid(), gid: getegid())
        var reader = try TarReader(archive: archive, name: name)
        var writer = try TreeWriter(root: root, convention: .flat, lower: nil, layer: name, impliedOwner: owner)
        while let entry = try reader.next() {
            guard !cancellation.isCancelled else { throw .cancelled }
            guard !entry.path.isEmpty else { continue }
            var placed = entry
            (placed.uid, placed.gid) = owner
            // The label belongs to the machine that the archive was made on.
            placed.attributes = entry.attributes.filter { $0.name != "security.selinux" }
            switch entry.kind {
            case .file: try writer.placeFile(placed, from: &reader, cancellation)
            case .characterDevice, .blockDevice:
                throw .invalid(
                    layer: name, entry: FilePath.printable(entry.path),
                    reason: "it is a device, which no build context may hold")
            default: try writer.place(placed)
            }
        }
        _ = try writer.finish()
    }
}
