/// How a process ended.
package enum ProcessStatus: Sendable, Hashable {
    case exited(Int32)
    case signaled(Int32)

    /// From the status that wait(2) gives for an ended process.
    init(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        self = signal == 0 ? .exited((waitStatus >> 8) & 0xff) : .signaled(signal)
    }

    package var isSuccess: Bool { self == .exited(0) }

    /// As a shell tells it: 128 + n for a death by signal n.
    package var exitCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }
}
