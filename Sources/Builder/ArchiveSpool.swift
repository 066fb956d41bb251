import Glibc
import Layers
import Synchronization
import SystemIO
import SystemPackage

/// The files of unpacked archives, one after the other in one scratch file.
///
/// Archives hold their entries in any order and layers in one order: content waits here in between. Owners, modes and links
/// never touch a file system, so unpacking needs no rights.
final class ArchiveSpool: Sendable {
    let file: OwnedDescriptor
    private let name: FilePath
    private let scratch: Scratch
    /// Where the next file goes. Several archives of one ADD share the spool.
    private let end = Mutex<Int64>(0)

    init(in scratch: Scratch) throws(SystemError) {
        let made = try scratch.makeFile("archive")
        file = try made.descriptor.duplicate()
        name = made.name
        self.scratch = scratch
    }

    deinit {
        try? scratch.folder.remove(name)
    }

    /// Copies the content of the reader's current entry; what the archive leaves out becomes zeros.
    ///
    /// - Returns: where it begins.
    func store(_ reader: inout TarReader, size: Int64) throws -> Int64 {
        let offset = end.withLock { end in
            defer { end += size }
            return end
        }
        while let block = try reader.nextBlock() { try file.writeAll(block.bytes, at: offset + block.offset) }
        guard ftruncate(file.raw, off_t(offset + size)) == 0 else { throw SystemError.last("ftruncate") }
        return offset
    }
}
