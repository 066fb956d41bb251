import Glibc
package import SystemIO
package import SystemPackage

/// A temporary folder of one test, removed with the value, and the place where a test asks other programs for their opinion.
package final class ScratchFolder: Sendable {
    package let path: FilePath
    package let directory: Directory

    package init() throws {
        var template = Array("/tmp/imgbuild-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
        path = FilePath(platformString: template)
        directory = try Directory(opening: path)
    }

    deinit {
        guard let last = path.lastComponent else { return }
        try? Directory(opening: path.removingLastComponent()).removeTree(FilePath(last.string))
    }

    /// Runs a shell script in the folder and returns what it prints on both streams.
    ///
    /// Throws `ScriptFailure` when it exits with anything but 0.
    @discardableResult
    package func run(_ script: String) throws -> String {
        guard let stream = popen("cd \(path.string) && { \(script)\n} 2>&1", "re") else {
            throw SystemError.last("popen")
        }
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = fread(&buffer, 1, buffer.count, stream)
            guard count > 0 else { break }
            output += buffer[..<count]
        }
        let status = pclose(stream)
        let text = String(decoding: output, as: UTF8.self)
        guard status == 0 else { throw ScriptFailure(script: script, status: status, output: text) }
        return text
    }

    package func create(_ name: FilePath) throws -> OwnedDescriptor {
        try directory.open(name, O_RDWR | O_CREAT | O_TRUNC, mode: 0o644, .noSymlinks)
    }

    package func open(_ name: FilePath) throws -> OwnedDescriptor {
        try directory.open(name, O_RDONLY, .inRoot)
    }

    package func write(_ name: FilePath, _ bytes: [UInt8]) throws {
        let file = try create(name)
        try file.writeAll(bytes)
        try file.close()
    }

    package func read(_ name: FilePath) throws -> [UInt8] {
        try open(name).readAll(limit: .max)
    }
}

/// A script that exited with another status than 0.
package struct ScriptFailure: Error, CustomStringConvertible {
    package let script: String
    /// As `waitpid` gives it.
    package let status: Int32
    package let output: String

    package var description: String { "\(script)\nended with wait status \(status):\n\(output)" }
}
