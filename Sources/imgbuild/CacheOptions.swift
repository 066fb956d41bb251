import ArgumentParser
import Builder
import OCI

/// The flags that say which results of earlier builds may be used, and where those of this build are kept.
struct CacheOptions: ParsableArguments {
    @Flag(name: .customLong("no-cache"), help: "Do every step, whatever earlier builds have done.")
    var isNotUsed = false

    @Option(
        name: .customLong("no-cache-filter"),
        help: ArgumentHelp("Do every step of this stage, by its name or number. Repeatable.", valueName: "stage"))
    var unusedStages: [String] = []

    @Flag(name: .customLong("cache"), help: "Use and keep results of steps in a registry (see --cache-repo).")
    var isInRegistry = false

    @Option(
        name: .customLong("cache-repo"),
        help: ArgumentHelp(
            "The repository of --cache (default: that of the first destination, with /cache added).",
            valueName: "repository"))
    var repository: String?

    @Option(
        name: .customLong("cache-from"),
        help: ArgumentHelp(
            "A repository to take results from, or one cache in it. Repeatable.", valueName: "repository[:tag]"))
    var sources: [String] = []

    @Option(
        name: .customLong("cache-to"),
        help: ArgumentHelp(
            "A repository to keep results in, or one cache in it. Repeatable.", valueName: "repository[:tag]"))
    var targets: [String] = []

    @Option(
        name: .customLong("cache-ttl"),
        help: ArgumentHelp("How old a result in a registry may be, as 336h or 14d.", valueName: "time"))
    var timeToLive = "336h"

    @Flag(
        name: .customLong("cache-copy-layers"), inversion: .prefixedNo,
        help: "Keep results of COPY and ADD in registries.")
    var keepsCopies = true

    @Flag(
        name: .customLong("cache-run-layers"), inversion: .prefixedNo,
        help: "Keep results of RUN and WORKDIR in registries.")
    var keepsRuns = true

    @Flag(
        name: .customLong("cache-mounts"),
        help: "Carry what is in RUN --mount=type=cache in the registry's cache, too.")
    var carriesMounts = false

    @Option(
        name: .customLong("cache-mounts-limit"),
        help: ArgumentHelp(
            "What the files of all of these may have together, as 500MB (default: 2GB).", valueName: "size"))
    var mountLimit: String?

    @Flag(name: .customLong("no-push-cache"), help: "Only read the cache of --cache.")
    var isReadOnly = false

    @Flag(
        name: .customLong("plan"),
        help: "Say what would be done at each step and why, on standard output, and do nothing.")
    var onlyPlans = false

    /// - Parameter destination: the first.
    func policy(destination: ImageReference?) throws -> CachePolicy {
        var policy = CachePolicy()
        policy.isUsed = !isNotUsed
        policy.unusedStages = Set(unusedStages.flatMap { $0.split(separator: ",") }.map { $0.lowercased() })
        policy.keepsCopies = keepsCopies
        policy.keepsRuns = keepsRuns
        guard let seconds = Self.seconds(timeToLive), seconds > 0 else {
            throw ValidationError("--cache-ttl '\(timeToLive)': expected a time as 336h, 90m or 14d")
        }
        policy.timeToLive = seconds
        if isInRegistry {
            let place = try self.place(destination)
            policy.sources.append(place)
            if !isReadOnly { policy.targets.append(place) }
        } else if repository != nil {
            throw ValidationError("--cache-repo is for --cache: add it, or use --cache-from and --cache-to")
        }
        policy.sources += try sources.map { try Self.place($0, "--cache-from") }
        policy.targets += try targets.map { try Self.place($0, "--cache-to") }
        policy.mountLimit = try mountBytes()
        guard policy.mountLimit == nil || !policy.sources.isEmpty || !policy.targets.isEmpty else {
            throw ValidationError(
                "--cache-mounts is for a cache in a registry: add --cache, --cache-from or --cache-to")
        }
        return policy
    }

    /// - Returns: `nil` for a build that carries no mounts.
    private func mountBytes() throws -> Int64? {
        guard carriesMounts else {
            guard mountLimit == nil else { throw ValidationError("--cache-mounts-limit is for --cache-mounts: add it") }
            return nil
        }
        let text = mountLimit ?? "2GB"
        guard let bytes = PruneCommand.bytes(text) else {
            throw ValidationError("--cache-mounts-limit '\(text)': expected a number with its unit, as 2GB")
        }
        return bytes
    }

    private func place(_ destination: ImageReference?) throws -> CachePolicy.Place {
        if let repository {
            guard !repository.hasPrefix("oci:") else {
                throw ValidationError(
                    "--cache-repo \(repository): a cache is in a registry; between builds on one machine the state folder is one"
                )
            }
            let place = try Self.place(repository, "--cache-repo")
            guard place.tag == nil else {
                throw ValidationError("--cache-repo \(repository): it is a repository, and has no tag")
            }
            return place
        }
        guard let destination else {
            throw ValidationError("--cache needs a --cache-repo where there is no --dest")
        }
        return CachePolicy.Place(
            registry: destination.registry, repository: destination.repository + "/cache", tag: nil)
    }

    private static func place(_ text: String, _ flag: String) throws -> CachePolicy.Place {
        let reference: ImageReference
        do { reference = try ImageReference(parsing: text) } catch { throw ValidationError("\(flag): \(error)") }
        guard reference.digest == nil else { throw ValidationError("\(flag) \(text): a cache has a tag, not a digest") }
        let hasTag = text.split(separator: "/").last?.contains(":") ?? false
        return CachePolicy.Place(
            registry: reference.registry, repository: reference.repository,
            tag: hasTag && text.contains("/") ? reference.tag : nil)
    }

    /// Seconds of Go's durations in whole parts (`336h`, `1h30m`), and of days and weeks.
    static func seconds(_ text: String) -> Int64? {
        var total: Int64 = 0
        var rest = text[...]
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(digits.count)
            guard let unit = rest.popFirst(), let part = PruneCommand.seconds("\(digits)\(unit)") else { return nil }
            let (sum, overflows) = total.addingReportingOverflow(part)
            guard !overflows else { return nil }
            total = sum
        }
        return total
    }
}
