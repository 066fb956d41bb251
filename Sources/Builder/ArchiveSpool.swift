import Glibc
import Layers
import SystemIO
import SystemPackage

/// The files of an unpacked archive, one after the other in one scratch file.
///
/// Archives hold their entries in any order and layers in one order: content waits here in between. Owners, modes and links
/// never touch a file system, so unpacking needs no rights.
final class ArchiveSpool: Sendable {
    let file: OwnedDescriptor
    private let name: FilePath
    private let scratch: Scratch

    init(in scratch: Scratch) throws(SystemError) {
        let made = try scratch.makeFile("archive")
        file = try made.descriptor.duplicate()
        name = made.name
        self.scratch = scratch
    }

    deinit {
        try? scratch.folder.remove(name)
    }

    /// Copies the content of the reader's current entry to `offset`; what the archive leaves out becomes zeros.
    func store(_ reader: inout TarReader, size: Int64, at offset: Int64) throws {
        while let block = try reader.nextBlock() {
            var rest = block.bytes
            var position = offset + block.offset
            while !rest.isEmpty {
                let count = pwrite(file.raw, rest.baseAddress, rest.count, off_t(position))
                if count < 0 {
                    guard errno == EINTR else { throw SystemError.last("pwrite") }
                    continue
                }
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                position += Int64(count)
            }
        }
        guard ftruncate(file.raw, off_t(offset + size)) == 0 else { throw SystemError.last("ftruncate") }
    }
}
