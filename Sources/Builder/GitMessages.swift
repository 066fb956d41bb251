/// What git writes on its standard error output: progress, which is told now and then, and messages, of which the last are kept.
struct GitMessages {
    private let report: EventSink
    private let secrets: [String]
    private var line: [UInt8] = []
    private var lines: [String] = []
    private let pause: Duration
    private var toldAt = ContinuousClock.now

    /// A line that goes on for longer is cut (bytes); of messages the last 100 say why something failed.
    private static let limits = (line: 4096, lines: 100)
    /// How git's own progress begins; a server's comes after `remote: `.
    private static let progress = [
        "Enumerating objects", "Counting objects", "Compressing objects", "Receiving objects", "Unpacking objects",
        "Resolving deltas", "Updating files", "Filtering content", "Checking connectivity", "Indexing objects",
    ]

    /// - Parameter pause: how often progress is told.
    init(hiding secrets: [String], pause: Duration = .seconds(5), report: @escaping EventSink) {
        self.pause = pause
        self.secrets = secrets.filter { !$0.isEmpty }
        self.report = report
    }

    mutating func receive(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                endLine()
            } else if line.count < GitMessages.limits.line {
                line.append(byte)
            }
        }
    }

    private mutating func endLine() {
        defer { line.removeAll(keepingCapacity: true) }
        let text = String(decoding: line, as: UTF8.self)
        let own = text.trimmingPrefix("remote: ")
        guard GitMessages.progress.contains(where: { own.hasPrefix($0) }) else {
            if !text.isEmpty { lines.append(text) }
            if lines.count > GitMessages.limits.lines { lines.removeFirst() }
            return
        }
        let now = ContinuousClock.now
        guard now >= toldAt + pause else { return }
        toldAt = now
        var told = String(text.reversed().drop { $0 == " " }.reversed())
        for secret in secrets { told = told.replacing(secret, with: "***") }
        report(.note("git: \(told)"))
    }

    /// The messages, one on a line.
    mutating func finish() -> String {
        if !line.isEmpty { endLine() }
        return lines.joined(separator: "\n")
    }
}
