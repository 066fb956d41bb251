import ArgumentParser
import Builder

/// The flags that say which results of earlier builds may be used.
struct CacheOptions: ParsableArguments {
    @Flag(name: .customLong("no-cache"), help: "Do every step, whatever earlier builds have done.")
    var isNotUsed = false

    @Option(
        name: .customLong("no-cache-filter"),
        help: ArgumentHelp("Do every step of this stage, by its name or number. Repeatable.", valueName: "stage"))
    var unusedStages: [String] = []

    func policy() throws -> CachePolicy {
        var policy = CachePolicy()
        policy.isUsed = !isNotUsed
        policy.unusedStages = Set(unusedStages.flatMap { $0.split(separator: ",") }.map { $0.lowercased() })
        return policy
    }
}
