import FoundationEssentials
import Glibc
package import SystemPackage

/// Runs other people's programs: the tests' fixtures and judges.
package enum Program {
    /// How a program ended, and all that it said.
    package struct Outcome: Sendable {
        /// The exit code; 128 and the signal's number for a program that was killed.
        package let status: Int32
        package let output: [UInt8]
        package let errorOutput: [UInt8]

        /// The standard output as text.
        package var text: String { String(decoding: output, as: UTF8.self) }
        /// The standard error output as text.
        package var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
    }

    /// This process's environment with `changes` made to it, and without proxies: test servers are on this machine.
    package static func environment(adding changes: [String: String] = [:]) -> [String: String] {
        ProcessInfo.processInfo.environment.filter { !$0.key.lowercased().hasSuffix("_proxy") }
            .merging(changes) { _, new in new }
    }

    /// Runs `arguments` (the first names the program, sought in `PATH`) and waits for its end.
    ///
    /// A status other than 0 is a result. When `timeout` has passed, the program and its process group are killed, and
    /// `ProgramError` is thrown, as it is when imgbuild tells a secret. The calling thread blocks.
    package static func run(
        _ arguments: [String], environment: [String: String]? = nil, in folder: FilePath? = nil,
        input: [UInt8] = [], timeout: Duration = .seconds(300)
    ) throws -> Outcome {
        let standardInput = try MemoryFile(holding: input)
        let output = try MemoryFile()
        let errorOutput = try MemoryFile()
        let child = try spawn(
            arguments, environment: environment, in: folder, standard: [standardInput.fd, output.fd, errorOutput.fd])
        let status = try wait(for: child, of: arguments, timeout: timeout)
        let outcome = Outcome(status: status, output: try output.contents(), errorOutput: try errorOutput.contents())
        try Secrecy.check(outcome, of: arguments)
        return outcome
    }

    /// Runs a program that has to succeed.
    ///
    /// Throws `ProgramError` with the program's own words when its status is not 0.
    @discardableResult
    package static func require(
        _ arguments: [String], environment: [String: String]? = nil, in folder: FilePath? = nil,
        input: [UInt8] = [], timeout: Duration = .seconds(300)
    ) throws -> Outcome {
        let outcome = try run(arguments, environment: environment, in: folder, input: input, timeout: timeout)
        guard outcome.status == 0 else {
            throw ProgramError(
                arguments: arguments, problem: "ended with \(outcome.status): \(outcome.errorText)\(outcome.text)")
        }
        return outcome
    }

    /// Starts a program in a process group of its own, with `standard` as its descriptors 0, 1 and 2.
    static func spawn(
        _ arguments: [String], environment: [String: String]?, in folder: FilePath?, standard: [CInt]
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in standard.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, CInt(number))
        }
        if let folder {
            _ = folder.withPlatformString { posix_spawn_file_actions_addchdir_np(&actions, $0) }
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The pool's threads have signals blocked; a shell that inherits that never learns of its children's ends.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)

        let environment = environment ?? Self.environment()
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        var child: pid_t = 0
        let failure = posix_spawnp(&child, argv[0] ?? strdup(""), &actions, &attributes, &argv, &envp)
        guard failure == 0 else {
            throw ProgramError(arguments: arguments, problem: "cannot be started: \(Errno(rawValue: failure))")
        }
        return child
    }

    static func wait(for child: pid_t, of arguments: [String], timeout: Duration) throws -> CInt {
        let deadline = ContinuousClock.now + timeout
        var pause: UInt32 = 500  // microseconds
        var status: CInt = 0
        while true {
            switch waitpid(child, &status, WNOHANG) {
            case child:
                let signal = status & 0x7f
                return signal == 0 ? (status >> 8) & 0xff : 128 + signal
            case 0:
                if ContinuousClock.now > deadline {
                    kill(-child, SIGKILL)
                    waitpid(child, &status, 0)
                    throw ProgramError(arguments: arguments, problem: "was killed: it took longer than \(timeout)")
                }
                usleep(pause)
                pause = min(pause * 2, 20_000)
            default:
                guard errno == EINTR else {
                    throw ProgramError(arguments: arguments, problem: "waitpid: \(Errno(rawValue: errno))")
                }
            }
        }
    }
}

/// A program that could not be started, took too long, or ended with a failure where it must not.
package struct ProgramError: Error, CustomStringConvertible {
    package let arguments: [String]
    package let problem: String

    package init(arguments: [String], problem: String) {
        self.arguments = arguments
        self.problem = problem
    }

    package var description: String { "\(arguments.joined(separator: " ")): \(problem)" }
}

/// A file without a name, gone with this value.
///
/// Programs write their output into one: a pipe would need a reader at work, and would stay open for as long as any
/// descendant of the program lives.
struct MemoryFile: ~Copyable {
    let fd: CInt

    /// A file that holds `bytes`, to be read from its start.
    init(holding bytes: [UInt8] = []) throws {
        fd = memfd_create("program", UInt32(MFD_CLOEXEC))
        guard fd >= 0 else { throw Errno(rawValue: errno) }
        if !bytes.isEmpty {
            _ = try FileDescriptor(rawValue: fd).writeAll(toAbsoluteOffset: 0, bytes)
        }
    }

    deinit { close(fd) }

    func contents() throws -> [UInt8] {
        let file = FileDescriptor(rawValue: fd)
        let size = Int(try file.seek(offset: 0, from: .end))
        return try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let read = try file.read(
                    fromAbsoluteOffset: Int64(count),
                    into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...]))
                guard read > 0 else { return }
                count += read
            }
        }
    }
}
