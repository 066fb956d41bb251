import Glibc
package import SystemPackage

/// A file that gets its name when it is complete, replacing what had the name; until then it has a temporary one beside it.
///
/// Dropped without `publish`, it is removed. A process that is killed leaves the temporary file, whose name begins with
/// `.imgbuild-`.
package struct AtomicFile: ~Copyable {
    private let directory: Directory
    private let temporary: FilePath
    private let name: FilePath
    private var file: OwnedDescriptor?

    /// - Parameter name: one component.
    package init(_ name: FilePath, in directory: Directory, mode: UInt32 = 0o644) throws(SystemError) {
        let random = String(UInt64.random(in: .min ... .max), radix: 16)
        let temporary = FilePath(".imgbuild-\(random)")
        file = try directory.open(temporary, O_RDWR | O_CREAT | O_EXCL, mode: mode, .noSymlinks)
        self.directory = directory
        self.temporary = temporary
        self.name = name
    }

    deinit {
        // Still open: not published.
        if file != nil { try? directory.remove(temporary) }
    }

    /// The file under another descriptor, for a writer that closes its own.
    package func duplicate() throws(SystemError) -> OwnedDescriptor {
        guard let copy = try file?.duplicate() else { throw SystemError(call: "write", errno: .badFileDescriptor) }
        return copy
    }

    package func writeAll(_ bytes: [UInt8]) throws(SystemError) {
        try file?.writeAll(bytes)
    }

    package func writeAll(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        try file?.writeAll(bytes)
    }

    /// Closes the file, which reports what could not be written, and gives it its name.
    package consuming func publish() throws(SystemError) {
        do throws(SystemError) {
            try file.take()?.close()
            try directory.rename(temporary, to: name)
        } catch {
            try? directory.remove(temporary)
            throw error
        }
    }
}
