import FoundationEssentials
import Glibc
import OCI
import Synchronization
import SystemIO

/// How lines on standard error look. Names and meanings are Kaniko's.
enum LogFormat: String, CaseIterable {
    case text
    /// As `text`, with warnings and errors in colour.
    case color
    /// One JSON object a line: `level`, `msg` and `time`.
    case json
}

/// Standard error, line by line: messages of the builder, and what commands write.
///
/// Safe to use from any thread; a line is never parted by another.
final class LogLines: Sendable {
    private let format: LogFormat
    private let hasTime: Bool
    private let state = Mutex(State())

    private struct State {
        /// A command's output may end without a newline; a message begins on a line of its own.
        var lineIsOpen = false
        /// The beginning of a line of output that has not ended, where lines are written whole.
        var rest: [UInt8] = []
    }

    /// Where a line of output is ended that has no newline yet, in bytes: a progress bar may be one endless line.
    private static let longestLine = 64 * 1024

    /// - Parameter hasTime: whether lines of text begin with the time. Those of JSON always have it.
    init(format: LogFormat = .text, hasTime: Bool = false) {
        self.format = format
        self.hasTime = hasTime
    }

    /// Writes a message, after the end of the output's last line. Without a text only that end.
    func message(_ text: String?, level: Verbosity) {
        state.withLock { state in
            if state.lineIsOpen { Self.write(Array("\n".utf8)) }
            state.lineIsOpen = false
            if !state.rest.isEmpty { whole(&state.rest) }
            guard let text else { return }
            Self.write(line(text, level))
        }
    }

    /// Writes what a command wrote: as it comes where lines are text, else in whole lines.
    func output(_ bytes: [UInt8]) {
        guard let last = bytes.last else { return }
        state.withLock { state in
            guard format == .json || hasTime else {
                Self.write(bytes)
                state.lineIsOpen = last != UInt8(ascii: "\n")
                return
            }
            var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let tail = lines.removeLast()
            for line in lines {
                state.rest += line
                whole(&state.rest)
            }
            state.rest += tail
            if state.rest.count >= Self.longestLine { whole(&state.rest) }
        }
    }

    private func whole(_ rest: inout [UInt8]) {
        Self.write(line(String(decoding: rest, as: UTF8.self), .info))
        rest.removeAll(keepingCapacity: true)
    }

    private func line(_ text: String, _ level: Verbosity) -> [UInt8] {
        switch format {
        case .json:
            let line = JSONLine(level: level.logName, msg: text, time: Timestamp.now.rfc3339)
            return (try? CanonicalJSON.encode(line)).map { Array($0) + [UInt8(ascii: "\n")] } ?? []
        case .text, .color:
            let time = hasTime ? Timestamp.now.rfc3339 + " " : ""
            return Array("\(time)\(format == .color ? Self.coloured(text, level) : text)\n".utf8)
        }
    }

    /// Field names and level names of Kaniko's JSON.
    private struct JSONLine: Encodable {
        let level: String
        let msg: String
        let time: String
    }

    /// Yellow warnings and red errors, by ECMA-48's SGR codes.
    private static func coloured(_ text: String, _ level: Verbosity) -> String {
        switch level {
        case .error: "\u{1b}[31m\(text)\u{1b}[0m"
        case .warn: "\u{1b}[33m\(text)\u{1b}[0m"
        case .info, .debug: text
        }
    }

    /// Standard error is for people: a closed one is no reason for a build to fail.
    private static func write(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            guard count >= 0 || errno == EINTR else { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}

extension Verbosity {
    /// As log lines name it.
    var logName: String { self == .warn ? "warning" : rawValue }
}
