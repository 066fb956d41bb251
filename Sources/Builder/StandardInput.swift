import Glibc
import SystemIO

/// The process's standard input, as the place of a context.
enum StandardInput {
    /// Copies all of it into a scratch file without a name, and returns that.
    ///
    /// Waiting for the one who writes ends soon after `cancellation`, which reading through a decompressor would not.
    /// - Throws: `BuildError` for a terminal, and if the build is cancelled.
    static func spool(in scratch: Scratch, cancellation: Cancellation) throws -> OwnedDescriptor {
        guard isatty(STDIN_FILENO) == 0 else {
            throw BuildError(
                "the context should come from standard input, which is a terminal",
                hint: "pipe an archive in: tar -c . | imgbuild --context tar://stdin ...")
        }
        let raw = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
        guard raw >= 0 else { throw BuildError("the context should come from standard input, which is closed") }
        let input = OwnedDescriptor(taking: raw)
        let made = try scratch.makeFile("context-archive")
        try scratch.folder.remove(made.name)
        let file = try made.descriptor.duplicate()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            guard !cancellation.isCancelled else {
                throw BuildError("the context was not read: the build was interrupted")
            }
            var event = pollfd(fd: input.raw, events: Int16(POLLIN), revents: 0)
            // 50 milliseconds: how late a cancellation may be noticed.
            let ready = poll(&event, 1, 50)
            if ready == 0 || (ready < 0 && errno == EINTR) { continue }
            guard ready > 0 else { throw SystemError.last("poll") }
            let count = try input.read(into: buffer)
            guard count > 0 else { return file }
            try file.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}
