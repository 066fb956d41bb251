import Glibc
package import SystemPackage

/// A program that could not be started, or not be waited for.
package struct SpawnError: Error, Sendable, Hashable {
    package enum Stage: Sendable, Hashable {
        /// The process itself could not be made, with the namespaces it was to have.
        case clone
        /// A step of the plan failed in the new process.
        case step(SpawnStep)
        /// The program of that name could not be executed, or its supervisor not do its work.
        case execute(String)
        /// A call of the builder around it failed.
        case attend
    }

    package let stage: Stage
    /// The name of the call that failed. For `.execute` also `PATH` (looked up in vain) and `interpreter` (the file is
    /// there, but what its `#!` line or its ELF header names is not).
    package let call: String
    package let errno: Errno

    package init(stage: Stage, call: String, errno: Errno) {
        self.stage = stage
        self.call = call
        self.errno = errno
    }

    /// Whether all was ready, and it was the program that could not be executed.
    package var isOfProgram: Bool {
        guard case .execute = stage else { return false }
        return ["execve", "PATH", "interpreter"].contains(call)
    }

    init(_ error: SystemError) {
        self.init(stage: .attend, call: error.call, errno: error.errno)
    }
}

extension SpawnError: CustomStringConvertible {
    package var description: String {
        let text = String(cString: strerror(errno.rawValue))
        switch stage {
        case .clone, .attend: return "\(call): \(text)"
        case .step(let step): return "\(step): \(call): \(text)"
        case .execute(let program):
            let name = FilePath.printable(program.utf8)
            return switch (errno, call) {
            case (.noSuchFileOrDirectory, "PATH"): "executable '\(name)' not found in $PATH"
            case (.noSuchFileOrDirectory, "interpreter"):
                "cannot execute '\(name)': the interpreter of its #! line, or its dynamic loader, does not exist"
            case (.noSuchFileOrDirectory, "execve"): "executable '\(name)' does not exist"
            case (.execFormatError, "execve"):
                "cannot execute '\(name)': exec format error (made for another architecture, or a script without a #! line)"
            case (_, "execve"), (_, "PATH"): "cannot execute '\(name)': \(text)"
            default: "cannot supervise '\(name)': \(call): \(text)"
            }
        }
    }
}
