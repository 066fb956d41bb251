import Dockerfile

/// Which results of earlier builds a build may use, and where it keeps its own besides the state folder.
package struct CachePolicy: Sendable, Hashable {
    /// A place for results in a registry.
    package struct Place: Sendable, Hashable {
        package var registry: String
        package var repository: String
        /// `nil`: one that is made of what is built.
        package var tag: String?

        package init(registry: String, repository: String, tag: String?) {
            self.registry = registry
            self.repository = repository
            self.tag = tag
        }
    }

    /// Whether any are used. Results are kept either way.
    package var isUsed = true
    /// Stages whose steps are all done, by name in lower case or by number.
    package var unusedStages: Set<String> = []
    /// Registries that results are taken from; of two that have the same, the first counts.
    package var sources: [Place] = []
    /// Registries that get the results of this build.
    package var targets: [Place] = []
    /// Seconds after which a result in a registry is too old; Kaniko's default is two weeks.
    package var timeToLive: Int64 = 14 * 24 * 3600
    /// Whether results of COPY and ADD are kept in registries.
    package var keepsCopies = true
    /// Whether results of RUN and WORKDIR are.
    package var keepsRuns = true
    /// Bytes that the files of all cache mounts together may have in a registry; `nil` where they stay in the state folder.
    package var mountLimit: Int64?

    package init() {}

    func serves(_ stage: Stage) -> Bool {
        guard isUsed else { return false }
        return !unusedStages.contains("\(stage.index)")
            && !(stage.name.map { unusedStages.contains($0.lowercased()) } ?? false)
    }

    /// Whether a registry gets this record.
    func keeps(_ record: CacheRecord) -> Bool {
        ["COPY", "ADD"].contains(record.instruction) ? keepsCopies : keepsRuns
    }
}

extension CachePolicy.Place: CustomStringConvertible {
    package var description: String { "\(registry)/\(repository)" + (tag.map { ":\($0)" } ?? "") }
}
