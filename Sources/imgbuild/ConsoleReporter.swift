import Builder
import Dockerfile
import OCI
import Synchronization

/// Writes a build's events to standard error as lines, in the order in which they come.
final class ConsoleReporter: Sendable {
    private let verbosity: Verbosity
    private let lines: LogLines
    private let steps = Mutex(Steps())

    /// The steps that are at work, one of a stage.
    private struct Steps {
        var names: [Int: (stage: String, name: String)] = [:]
        var current: [String: String] = [:]
        /// The beginning of a line that a stage's command has not ended, where several stages are at work.
        var open: [String: [UInt8]] = [:]
    }

    init(verbosity: Verbosity, lines: LogLines = LogLines()) {
        self.verbosity = verbosity
        self.lines = lines
    }

    func report(_ event: BuildEvent) {
        switch event {
        case .note(let text): line(SourceExcerpt.printable(text), at: .info)
        case .warning(let text): line(SourceExcerpt.printable("warning: \(text)"), at: .warn)
        case .detail(let text): line(text, at: .debug)
        case .stageStarted(let stage, let base):
            line(SourceExcerpt.printable("stage \(stage) from \(base)"), at: .debug)
        case .stepStarted(let number, let count, let stage, let text):
            let name = "[\(stage) \(number)/\(count)]"
            steps.withLock {
                $0.names[number] = (stage, name)
                $0.current[stage] = name
            }
            line(SourceExcerpt.printable("\(name) \(text)"), at: .info)
        case .stepFinished(let number, let seconds, let layer, let place):
            guard let (stage, name) = steps.withLock({ $0.names.removeValue(forKey: number) }) else { return }
            endLine(of: stage)
            if let place { return line("\(name) was done before, as \(place) says", at: .info) }
            guard let layer else { return line("\(name) done in \(Self.time(seconds))", at: .debug) }
            line("\(name) done in \(Self.time(seconds)), layer of \(Self.size(layer.size))", at: .info)
        case .output(let bytes, let stage): output(bytes, of: stage)
        case .transferring(let descriptor, let bytes, let way):
            let text =
                switch way {
                case .from(let place): "fetched from \(place)"
                case .to(let place): "sent to \(place)"
                }
            line("\(Self.size(bytes)) of \(Self.size(descriptor.size)) of \(descriptor.digest) \(text)", at: .info)
        case .baseFetched(let descriptor, let from, let seconds):
            line(
                "fetched \(descriptor.digest) (\(Self.size(descriptor.size))) from \(from) in \(Self.time(seconds))",
                at: .info)
        case .pushed(let descriptor, let to, let how):
            line("\(how.rawValue) \(descriptor.digest) (\(Self.size(descriptor.size))) in \(to)", at: .debug)
        case .published(let reference, let digest): line("pushed \(reference)@\(digest)", at: .info)
        case .wrote(let path, let bytes): line("wrote \(path) (\(Self.size(bytes)))", at: .info)
        }
    }

    /// Ends the last line of a RUN's output.
    func finish() {
        for stage in steps.withLock({ $0.open.keys.sorted() }) { endLine(of: stage) }
        line(nil, at: .error)
    }

    /// Says why the build failed.
    ///
    /// - Parameter name: the Dockerfile's, for errors that point into it.
    func fail(_ error: any Error, name: String) {
        finish()
        say((error as? FailedBuild)?.text(dockerfile: name) ?? "error: \(error)")
    }

    /// Writes a report of an error, at every verbosity.
    func say(_ report: String) {
        line(report, at: .error)
    }

    private func line(_ text: String?, at level: Verbosity) {
        guard level <= verbosity else { return }
        lines.message(text, level: level)
    }

    /// Writes what a command wrote: as it comes where one stage is at work, else whole lines that begin with the step's name.
    private func output(_ bytes: [UInt8], of stage: String?) {
        guard verbosity >= .info else { return }
        guard let stage else { return lines.output(bytes) }
        let (name, whole) = steps.withLock { steps -> (String, [[UInt8]]) in
            var parts = ((steps.open[stage] ?? []) + bytes).split(
                separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false
            ).map(Array.init)
            var rest = parts.removeLast()
            if rest.count >= Self.longestLine {
                parts.append(rest)
                rest = []
            }
            steps.open[stage] = rest
            return (steps.current[stage] ?? "[\(stage)]", parts)
        }
        for part in whole { lines.message("\(name) \(String(decoding: part, as: UTF8.self))", level: .info) }
    }

    /// Where a line is ended that has no newline yet, in bytes: a progress bar may be one endless line.
    private static let longestLine = 64 * 1024

    private func endLine(of stage: String) {
        let rest = steps.withLock { $0.open.removeValue(forKey: stage) ?? [] }
        guard !rest.isEmpty else { return }
        let name = steps.withLock { $0.current[stage] ?? "[\(stage)]" }
        line("\(name) \(String(decoding: rest, as: UTF8.self))", at: .info)
    }

    /// `8.3 MB`, in powers of ten, as registries show sizes.
    static func size(_ bytes: Int64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB"]
        var value = bytes * 10
        var unit = 0
        while value >= 10_000, unit < units.count - 1 {
            value = (value + 500) / 1000
            unit += 1
        }
        guard unit > 0 else { return "\(bytes) B" }
        return "\(value / 10).\(value % 10) \(units[unit])"
    }

    /// `0.42 s`, `1 m 5 s`.
    static func time(_ seconds: Double) -> String {
        guard seconds < 60 else { return "\(Int(seconds) / 60) m \(Int(seconds) % 60) s" }
        let hundredths = Int(seconds * 100 + 0.5)
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) s"
    }
}
