import ArgumentParser
import Builder
import Glibc
import Synchronization
import SystemIO

/// SIGINT and SIGTERM: the build is told to stop, cleans up, and the process ends with 130 or 143.
///
/// A second signal ends the process at once; the next build removes what is left.
final class Interruption: Sendable {
    let cancellation = Cancellation()
    private let signal = Mutex<Int32?>(nil)
    private let action = Mutex<(@Sendable () -> Void)?>(nil)

    /// Where the handler writes the signal's number. Set once, before the handler is installed.
    nonisolated(unsafe) private static var pipe: Int32 = -1

    /// Signals are handled and not waited for: libdispatch keeps them open in the first thread, whatever is blocked there.
    init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { throw .last("pipe2") }
        Self.pipe = ends[1]
        let read = OwnedDescriptor(taking: ends[0])
        BlockingPool.detach { [self] in
            var number: UInt8 = 0
            while true {
                guard Glibc.read(read.raw, &number, 1) == 1 else { continue }
                let isFirst = signal.withLock { signal in
                    defer { signal = signal ?? Int32(number) }
                    return signal == nil
                }
                guard isFirst else { _exit(128 + Int32(number)) }
                cancellation.cancel()
                action.withLock { $0 }?()
            }
        }
        // Programs that are started get the usual handling back with their exec.
        for number in [SIGINT, SIGTERM] {
            Glibc.signal(number) { number in
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(Interruption.pipe, &byte, 1)
                errno = saved
            }
        }
    }

    /// Also calls `body` when a signal comes, or at once if one came already.
    func whenInterrupted(_ body: @escaping @Sendable () -> Void) {
        action.withLock { $0 = body }
        if cancellation.isCancelled { body() }
    }

    /// 128 and the number of the signal that came, if one did.
    var exitCode: Int32? {
        signal.withLock { $0.map { 128 + $0 } }
    }
}

extension Interruption {
    /// Does the work of a command, and prints what comes of it on standard output.
    ///
    /// - Parameters:
    ///   - what: the work, as "build".
    ///   - dockerfile: its name, for errors that point into it.
    ///   - work: cancelled by a signal.
    /// - Throws: `ExitCode` once the failure is told.
    func carryOut(
        _ what: String, _ reporter: ConsoleReporter, dockerfile: String,
        _ work: @escaping @Sendable () async throws -> String
    ) async throws {
        // A peer that hangs up is an error of one call, not the end of the process.
        Glibc.signal(SIGPIPE, SIG_IGN)
        let task = Task { try await work() }
        whenInterrupted { task.cancel() }
        do {
            let result = try await task.value
            reporter.finish()
            print(result)
        } catch {
            if let exitCode {
                // What failed because of that, as a killed command, is not the reason.
                reporter.fail(BuildError("the \(what) was interrupted"), name: "")
                throw ExitCode(exitCode)
            }
            reporter.fail(error, name: dockerfile)
            throw ExitCode((error as? FailedBuild)?.error.exitCode ?? 1)
        }
    }
}
