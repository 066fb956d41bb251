import ArgumentParser
import Builder
import Glibc
import SystemIO
import SystemPackage

/// Frees space in the state folder.
struct PruneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract:
            "Removes blobs, what layers list, unpacked layers, results of steps and cache mounts from the state folder.",
        discussion: """
            imgbuild prune --older-than 7d
            imgbuild prune --keep-size 20GB --dry-run

            Builds may be at work: what they use stays. What any of the flags names goes, and always what builds that died have
            left. Each thing is a line on standard output; the sum goes to standard error.
            """)

    @Option(
        help: ArgumentHelp("What was not used for this long: a number with s, m, h, d or w.", valueName: "time"))
    var olderThan: String?

    @Option(
        help: ArgumentHelp(
            "What was used longest ago, until no more than this is left: a number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB.",
            valueName: "size"))
    var keepSize: String?

    @Flag(help: "Everything that no build is using now.")
    var all = false

    @Flag(help: "Only tell what would be removed.")
    var dryRun = false

    @Option(
        help: ArgumentHelp("The state folder (default: as for a build).", valueName: "folder"))
    var stateDir: String?

    func validate() throws {
        guard all || olderThan != nil || keepSize != nil else {
            throw ValidationError("say what may go: --older-than, --keep-size or --all")
        }
        if let olderThan, Self.seconds(olderThan) == nil {
            throw ValidationError("--older-than '\(olderThan)': expected a number with s, m, h, d or w, as 7d")
        }
        if let keepSize, Self.bytes(keepSize) == nil {
            throw ValidationError("--keep-size '\(keepSize)': expected a number with its unit, as 20GB")
        }
        if stateDir?.isEmpty == true { throw ValidationError("--state-dir is empty") }
    }

    func run() throws {
        let now = Timestamp.now
        let policy = StatePruner.Policy(
            unusedSince: olderThan.flatMap(Self.seconds).map { Timestamp(seconds: now.seconds - $0) },
            keptBytes: keepSize.flatMap(Self.bytes), all: all)
        let state = BuildOptions.stateDirectory(stateDir, Environment.current)
        let pruner = StatePruner(state, policy: policy)
        let reporter = ConsoleReporter(verbosity: .info)
        do {
            let report = try dryRun ? pruner.plan() : pruner.prune()
            for item in report.freed {
                print("\(item.kind.rawValue)\t\(item.name)\t\(item.bytes)\t\(item.lastUsed.rfc3339)")
            }
            let used = report.inUse > 0 ? ", \(report.inUse) of them in use" : ""
            reporter.report(
                .note(
                    "\(dryRun ? "would free" : "freed") \(report.freedBytes) bytes in \(report.freed.count) things; \(report.keptBytes) bytes in \(report.kept.count) stay\(used)"
                ))
            reporter.finish()
        } catch {
            reporter.fail(BuildError("'\(state.printable)' could not be pruned: \(error)"), name: "")
            throw ExitCode(1)
        }
    }

    /// Seconds of `90s`, `15m`, `12h`, `7d`, `2w`.
    static func seconds(_ text: String) -> Int64? {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
        guard let unit = text.last.flatMap({ units[$0] }), let number = Int64(text.dropLast()), number >= 0 else {
            return nil
        }
        let (product, overflows) = number.multipliedReportingOverflow(by: unit)
        return overflows ? nil : product
    }

    /// Bytes of `500MB`, `20GB`, `1GiB`.
    static func bytes(_ text: String) -> Int64? {
        let units: [(String, Int64)] = [
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("kB", 1000), ("MB", 1_000_000),
            ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("B", 1),
        ]
        guard let (name, unit) = units.first(where: { text.hasSuffix($0.0) }),
            let number = Int64(text.dropLast(name.count)), number >= 0
        else { return nil }
        let (product, overflows) = number.multipliedReportingOverflow(by: unit)
        return overflows ? nil : product
    }
}

extension PruneCommand: UsesStateDirectory {
    func stateDirectoryForNamespace(_ environment: [String: String]) -> FilePath? {
        let state = BuildOptions.stateDirectory(stateDir, environment)
        // A trial would make it.
        return state.withCString { access($0, F_OK) } == 0 ? state : nil
    }
}
