import CSpawn
import Glibc
package import SystemPackage

/// A file descriptor with one owner.
///
/// Close what you wrote with `close()`, which reports what the file system could not keep (ENOSPC, EIO); `deinit` closes
/// as the backstop and cannot report.
package struct OwnedDescriptor: ~Copyable, Sendable {
    package let raw: Int32

    /// Takes over an open descriptor.
    package init(taking raw: Int32) {
        self.raw = raw
    }

    deinit {
        _ = Glibc.close(raw)
    }

    /// Closes, and reports what could not be written.
    package consuming func close() throws(SystemError) {
        let descriptor = raw
        discard self
        // After EINTR the descriptor is closed on Linux all the same.
        guard Glibc.close(descriptor) == 0 || errno == EINTR else { throw .last("close") }
    }

    /// Gives the descriptor away: the caller closes it.
    package consuming func release() -> Int32 {
        let descriptor = raw
        discard self
        return descriptor
    }

    /// Opens a path of the builder's own (never one inside an image: see `Directory`).
    package static func open(
        _ path: FilePath, _ flags: Int32, mode: UInt32 = 0o644
    ) throws(SystemError) -> OwnedDescriptor {
        while true {
            let descriptor = path.withCString { Glibc.open($0, flags | O_CLOEXEC, mode) }
            if descriptor >= 0 { return OwnedDescriptor(taking: descriptor) }
            guard errno == EINTR else { throw .last("open", path) }
        }
    }

    package func duplicate() throws(SystemError) -> OwnedDescriptor {
        let copy = fcntl(raw, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .last("fcntl") }
        return OwnedDescriptor(taking: copy)
    }

    /// Reads up to `buffer.count` bytes; 0 at the end.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        while true {
            let count = Glibc.read(raw, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR else { throw .last("read") }
        }
    }

    /// Reads up to `buffer.count` bytes at `offset`; 0 at the end.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError) -> Int {
        while true {
            let count = pread(raw, buffer.baseAddress, buffer.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw .last("pread") }
        }
    }

    /// Writes all of `buffer`, or throws after an unknown part of it.
    package func writeAll(_ buffer: UnsafeRawBufferPointer) throws(SystemError) {
        var rest = buffer
        while !rest.isEmpty {
            let count = Glibc.write(raw, rest.baseAddress, rest.count)
            if count < 0 {
                guard errno == EINTR else { throw .last("write") }
                continue
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    package func writeAll(_ bytes: [UInt8]) throws(SystemError) {
        let result: Result<Void, SystemError> = bytes.withUnsafeBytes { buffer in
            do throws(SystemError) { return .success(try writeAll(buffer)) } catch { return .failure(error) }
        }
        try result.get()
    }

    /// Reads to the end.
    ///
    /// - Parameter limit: bytes; a longer file fails with EFBIG, so that no input sizes our memory.
    package func readAll(limit: Int) throws(SystemError) -> [UInt8] {
        let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { chunk.deallocate() }
        var bytes: [UInt8] = []
        while true {
            let count = try read(into: chunk)
            if count == 0 { return bytes }
            bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: chunk[..<count]))
            guard bytes.count <= limit else { throw SystemError(call: "read", errno: .fileTooLarge) }
        }
    }

    package func status() throws(SystemError) -> FileStatus {
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw .last("fstat") }
        return FileStatus(status)
    }

    /// Gives the open file or folder the owner, mode and time of modification that `status` says.
    package func setOwnerModeAndTime(_ status: FileStatus, naming name: FilePath) throws(SystemError) {
        guard fchown(raw, status.uid, status.gid) == 0 else { throw .last("fchown", name) }
        // After the owner: a change of owner takes setuid and setgid away.
        guard fchmod(raw, mode_t(status.permissions)) == 0 else { throw .last("fchmod", name) }
        guard futimens(raw, status.modified.asModificationTime) == 0 else { throw .last("futimens", name) }
    }
}
