import ArgumentParser

/// The flags that say what standard error shows.
struct LogOptions: ParsableArguments {
    @Option(name: [.customShort("v"), .long], help: ArgumentHelp("error, warn, info or debug.", valueName: "level"))
    var verbosity: Verbosity = .info

    @Option(help: ArgumentHelp("text, color, or json: an object a line.", valueName: "name"))
    var logFormat: LogFormat = .text

    @Flag(help: "Begin each line of text with the time.")
    var logTimestamp = false

    var reporter: ConsoleReporter {
        ConsoleReporter(verbosity: verbosity, lines: LogLines(format: logFormat, hasTime: logTimestamp))
    }
}

extension LogFormat: ExpressibleByArgument {}

/// How much is said on standard error.
enum Verbosity: String, CaseIterable, Comparable, ExpressibleByArgument {
    case error, warn, info, debug

    /// Also the names that Kaniko takes: `trace`, `warning`, `fatal` and `panic`.
    init?(argument: String) {
        switch argument.lowercased() {
        case "error", "fatal", "panic": self = .error
        case "warn", "warning": self = .warn
        case "info": self = .info
        case "debug", "trace": self = .debug
        default: return nil
        }
    }

    static func < (a: Verbosity, b: Verbosity) -> Bool {
        allCases.firstIndex(of: a) ?? 0 < allCases.firstIndex(of: b) ?? 0
    }
}
