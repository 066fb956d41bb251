import Glibc
import Synchronization
import SystemIO

/// Where the bytes of a blob go.
package struct BlobDestination: Sendable {
    /// Takes the next bytes; `offset` is where in the blob they belong.
    let write: @Sendable (UnsafeRawBufferPointer, _ offset: Int64) throws(RegistryError) -> Void
    /// Forgets what was taken, so that the blob can start again; `nil` where that is not possible.
    let restart: (@Sendable () throws(RegistryError) -> Void)?

    /// Hands each piece to `body`, in order; what it throws ends the operation (see `RegistryError.file`). A blob that arrives damaged is not asked for again.
    package static func stream(
        _ body: @escaping @Sendable (UnsafeRawBufferPointer) throws(RegistryError) -> Void
    ) -> BlobDestination {
        BlobDestination(write: { (bytes, _) throws(RegistryError) in try body(bytes) }, restart: nil)
    }

    /// Writes to an open file from its offset 0.
    ///
    /// The descriptor stays the caller's and has to be open until the operation returns. Its file offset is not used.
    package static func file(_ descriptor: Int32) -> BlobDestination {
        BlobDestination(
            write: { (bytes, offset) throws(RegistryError) in
                var rest = bytes
                var offset = offset
                while !rest.isEmpty {
                    let count = pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset))
                    if count < 0 {
                        guard errno == EINTR else { throw .file(.last("pwrite")) }
                        continue
                    }
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                    offset += Int64(count)
                }
            },
            restart: { () throws(RegistryError) in
                guard ftruncate(descriptor, 0) == 0 else { throw .file(.last("ftruncate")) }
            })
    }

    static func memory(_ memory: MemoryDestination) -> BlobDestination {
        BlobDestination(
            write: { (bytes, _) throws(RegistryError) in memory.append(bytes) },
            restart: { () throws(RegistryError) in memory.clear() })
    }
}

/// Gathers a small blob.
final class MemoryDestination: Sendable {
    private let bytes = Mutex<[UInt8]>([])

    func append(_ more: UnsafeRawBufferPointer) {
        bytes.withLock { $0.append(contentsOf: more) }
    }

    func clear() {
        bytes.withLock { $0 = [] }
    }

    func take() -> [UInt8] {
        bytes.withLock { $0 }
    }
}
