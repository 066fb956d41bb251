import Dockerfile

/// Which results of earlier builds a build may use.
package struct CachePolicy: Sendable, Hashable {
    /// Whether any are used. Results are kept either way.
    package var isUsed = true
    /// Stages whose steps are all done, by name in lower case or by number.
    package var unusedStages: Set<String> = []

    package init() {}

    func serves(_ stage: Stage) -> Bool {
        guard isUsed else { return false }
        return !unusedStages.contains("\(stage.index)")
            && !(stage.name.map { unusedStages.contains($0.lowercased()) } ?? false)
    }
}
