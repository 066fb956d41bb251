import SystemPackage

/// How far a file is written that others read at the same time: a blob that is unpacked while it arrives.
///
/// The writer tells how many bytes are there, and at the end whether they are what they should be. Readers see the end of the file
/// only after that: what they made of it may then be trusted as the file is.
package final class FileGrowth: @unchecked Sendable {
    private enum State {
        case growing, complete, spoilt
    }

    private let monitor = Monitor()
    // Guarded by the monitor.
    private var size: Int64 = 0
    private var state = State.growing

    package init() {}

    /// The first `size` bytes are there. Fewer than before means that the writer starts anew: what was read is void.
    package func advance(to size: Int64) {
        monitor.lock()
        if size < self.size { state = .spoilt }
        self.size = size
        monitor.wakeAll()
        monitor.unlock()
    }

    /// Nothing more is written. Only the first call counts.
    ///
    /// - Parameter isSound: whether the file holds all it should, verified.
    package func end(isSound: Bool) {
        monitor.lock()
        if state == .growing { state = isSound ? .complete : .spoilt }
        monitor.wakeAll()
        monitor.unlock()
    }

    /// Waits until there are bytes at `offset`.
    ///
    /// - Returns: how far the file may be read; `offset` itself at the end of a sound file.
    /// - Throws: ESTALE for a file that will not become sound.
    func wait(past offset: Int64) throws(SystemError) -> Int64 {
        monitor.lock()
        defer { monitor.unlock() }
        while state == .growing, size <= offset { monitor.wait() }
        guard state != .spoilt else { throw SystemError(call: "read", errno: .staleNFSFileHandle) }
        return max(size, offset)
    }
}
