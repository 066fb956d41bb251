package import Dockerfile
import Layers
import OCI
import Registry
import Sandbox
import SystemIO
import SystemPackage

/// A build that failed, as people are told of it: what, where, why, and what to do.
package struct BuildError: Error, Sendable {
    package var message: String
    /// The place in the Dockerfile, when one instruction is at fault.
    package var range: SourceRange?
    package var hint: String?
    /// What the process should exit with: a failing RUN passes its own code on, anything else is 1.
    package var exitCode: Int32

    package init(_ message: String, at range: SourceRange? = nil, hint: String? = nil, exitCode: Int32 = 1) {
        self.message = message
        self.range = range
        self.hint = hint
        self.exitCode = exitCode
    }

    /// The same failure with a place, unless it has one already.
    func at(_ range: SourceRange) -> BuildError {
        var placed = self
        placed.range = self.range ?? range
        return placed
    }

    /// Any error of the floors below, told as a failed build.
    ///
    /// - Parameter doing: what was being done, as "the context could not be read"; put before the cause.
    init(_ cause: any Error, doing: String) {
        switch cause {
        case let error as BuildError: self = error
        case let error as DockerfileError: self.init(error.message, at: error.range, hint: error.hint)
        default:
            self.init("\(doing): \(cause)", hint: BuildError.hint(for: cause))
        }
    }

    private static func hint(for cause: any Error) -> String? {
        if let hint = (cause as? RegistryError)?.hint { return hint }
        let system: SystemError? =
            switch cause {
            case let error as SystemError: error
            case LayerError.system(let error): error
            case let error as RegistryError: if case .file(let error) = error.kind { error } else { nil }
            default: nil
            }
        return switch system?.errno {
        case .noSpace: "free space in the state folder's file system, or name another with --state-dir"
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem: "raise the limit of open files (ulimit -n)"
        case .notPermitted where system?.call.contains("chown") == true:
            "layers are unpacked with the owners that their files have, which needs root"
        case .readOnlyFileSystem: "name a writable folder with --state-dir"
        default: nil
        }
    }
}

extension BuildError: CustomStringConvertible {
    package var description: String {
        (range.map { "line \($0.start.line): " } ?? "") + message + (hint.map { " (\($0))" } ?? "")
    }
}
