package import Glibc
package import SystemPackage

/// A program at work, for tests that watch it or send it signals. Killed with its process group when this object goes.
package final class RunningProgram: @unchecked Sendable {
    package let pid: pid_t
    private let arguments: [String]
    private let output: MemoryFile
    private let errorOutput: MemoryFile
    /// Set once, by the one thread that waits.
    private var outcome: Program.Outcome?

    package init(_ arguments: [String], environment: [String: String]? = nil, in folder: FilePath? = nil) throws {
        let input = try MemoryFile()
        output = try MemoryFile()
        errorOutput = try MemoryFile()
        self.arguments = arguments
        pid = try Program.spawn(
            arguments, environment: environment, in: folder, standard: [input.fd, output.fd, errorOutput.fd])
    }

    deinit {
        guard outcome == nil else { return }
        kill(-pid, SIGKILL)
        var status: CInt = 0
        waitpid(pid, &status, 0)
    }

    /// Sends a signal to the program alone, not to its descendants.
    package func signal(_ number: CInt) {
        kill(pid, number)
    }

    /// What the program has said on its standard error output so far.
    package func errorText() throws -> String {
        String(decoding: try errorOutput.contents(), as: UTF8.self)
    }

    /// Whether the program is still at work.
    package func isRunning() -> Bool {
        var information = siginfo_t()
        return waitid(P_PID, id_t(pid), &information, WEXITED | WNOHANG | WNOWAIT) == 0 && information.si_signo == 0
    }

    /// Waits for the program's end; `ProgramError` if that takes longer than `timeout`.
    package func wait(timeout: Duration = .seconds(300)) throws -> Program.Outcome {
        if let outcome { return outcome }
        let status = try Program.wait(for: pid, of: arguments, timeout: timeout)
        let outcome = Program.Outcome(
            status: status, output: try output.contents(), errorOutput: try errorOutput.contents())
        self.outcome = outcome
        try Secrecy.check(outcome, of: arguments)
        return outcome
    }
}

/// Waits until `condition` holds, looking often; false if it did not within `timeout`.
///
/// The default tells what hangs from what is slow: hundreds of tests run beside this one.
package func eventually(within timeout: Duration = .seconds(300), _ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = ContinuousClock.now + timeout
    while true {
        if try condition() { return true }
        guard ContinuousClock.now < deadline else { return false }
        usleep(5_000)
    }
}

/// The command lines of a process and all its descendants as they are now, arguments separated by blanks.
package func commandLines(below pid: pid_t) throws -> [String] {
    // pid (name) state parent ...; a name may hold blanks and parentheses. Processes that end meanwhile are left out.
    let stats = try Program.run(["sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null"]).text.split(separator: "\n")
    var children: [pid_t: [pid_t]] = [:]
    for stat in stats {
        guard let child = pid_t(stat.prefix { $0.isNumber }), let close = stat.lastIndex(of: ")") else { continue }
        let words = stat[close...].split(separator: " ")
        guard words.count > 2, let parent = pid_t(words[2]) else { continue }
        children[parent, default: []].append(child)
    }
    var lines: [String] = []
    var pending = [pid]
    while let next = pending.popLast() {
        pending += children[next] ?? []
        guard let line = try? contents(of: FilePath("/proc/\(next)/cmdline")) else { continue }
        lines.append(String(decoding: line.map { $0 == 0 ? UInt8(ascii: " ") : $0 }, as: UTF8.self))
    }
    return lines
}

/// Whether any process of this machine has the arguments `words` one after the other in its command line.
package func isRunning(_ words: String...) throws -> Bool {
    let names = try Program.require(["sh", "-c", "cd /proc && echo [0-9]*"]).text.split(separator: "\n").first ?? ""
    let wanted = words.joined(separator: "\0")
    return names.split(separator: " ").contains { pid in
        guard let line = try? contents(of: FilePath("/proc/\(pid)/cmdline")) else { return false }
        return String(decoding: line, as: UTF8.self).contains(wanted)
    }
}
