import Glibc
import Synchronization
import SystemPackage

/// A server program on this machine that lives no longer than this object, nor than this process.
///
/// A shell starts the program and waits on a pipe whose other end is here; when that closes, because of `stop()` or because
/// this process ended in whatever way, the shell ends the program.
final class Server: Sendable {
    /// What the server wrote: standard output and standard error output.
    let log: FilePath
    private let running: Mutex<(shell: pid_t, lifeline: CInt)?>

    private static let keeper = """
        exec 3<&0
        "$@" </dev/null 3<&- &
        server=$!
        read -r line <&3
        kill $server
        wait $server
        """

    init(_ arguments: [String], environment: [String: String]? = nil, log: FilePath) throws {
        self.log = log
        var pipe: [CInt] = [-1, -1]
        guard pipe2(&pipe, O_CLOEXEC) == 0 else { throw Errno(rawValue: errno) }
        defer { close(pipe[0]) }
        let output = try FileDescriptor.open(
            log, .writeOnly, options: [.create, .truncate, .append, .closeOnExec], permissions: .ownerReadWrite)
        defer { try? output.close() }
        do {
            let shell = try Program.spawn(
                ["/bin/sh", "-c", Self.keeper, "server"] + arguments, environment: environment, in: nil,
                standard: [pipe[0], output.rawValue, output.rawValue])
            running = Mutex((shell, pipe[1]))
        } catch {
            close(pipe[1])
            throw error
        }
    }

    deinit { stop() }

    /// Ends the server and waits until it is gone. A second call does nothing.
    func stop() {
        running.withLock { running in
            guard let (shell, lifeline) = running else { return }
            close(lifeline)
            var status: CInt = 0
            while waitpid(shell, &status, 0) < 0, errno == EINTR {}
            running = nil
        }
    }

    /// Waits until `find` finds something in the log, at most `timeout`.
    func wait<Found>(for what: String, timeout: Duration = .seconds(120), find: (String) -> Found?) throws -> Found {
        let deadline = ContinuousClock.now + timeout
        while true {
            let said = try text(of: log)
            if let found = find(said) { return found }
            guard ContinuousClock.now < deadline else { throw ServerError(expected: what, log: said) }
            usleep(5_000)
        }
    }
}

extension Server {
    /// Starts a program that takes no free port by itself on one that nobody has.
    ///
    /// - Parameters:
    ///   - isUp: what the program's log has when it listens, and when the port was taken.
    ///   - arguments: given a port, what to run; called again when another program was faster.
    static func onSomePort(
        isUp: String, isTaken: String, log: FilePath, arguments: (UInt16) throws -> [String]
    ) throws -> (Server, port: UInt16) {
        while true {
            let port = UInt16.random(in: 20_000...32_000)
            let server = try Server(arguments(port), log: log)
            let isListening = try server.wait(for: isUp) { log -> Bool? in
                if log.contains(isUp) { return true }
                return log.contains(isTaken) ? false : nil
            }
            if isListening { return (server, port) }
        }
    }
}

/// A server that did not come up.
package struct ServerError: Error, CustomStringConvertible {
    package let expected: String
    package let log: String

    package var description: String { "a server did not show \(expected); its log:\n\(log)" }
}
