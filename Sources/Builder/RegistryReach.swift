import Registry
package import SystemPackage

/// How registries are reached where the ordinary way, https with the system's authorities, is not theirs.
package struct RegistryReach: Sendable {
    /// What a registry is spoken to for. A mirror is given up sooner than the registry that it stands for.
    enum Purpose: Sendable, Hashable {
        case pull, mirror, push
    }

    /// Registries that something holds for: some by name, or all that are pulled from or pushed to.
    package struct Selection: Sendable {
        /// `host[:port]` as in references.
        package var hosts: Set<String>
        package var pulls: Bool
        package var pushes: Bool

        package init(hosts: Set<String> = [], pulls: Bool = false, pushes: Bool = false) {
            self.hosts = hosts
            self.pulls = pulls
            self.pushes = pushes
        }

        func contains(_ registry: String, _ purpose: Purpose) -> Bool {
            hosts.contains(registry) || (purpose == .push ? pushes : pulls)
        }
    }

    /// Spoken to in plain HTTP.
    package var plainHTTP = Selection()
    /// Their certificates are not checked.
    package var unverified = Selection()
    /// PEM files with authorities that are believed for one host, besides the system's.
    package var authorities: [String: FilePath] = [:]
    /// PEM files by which we make ourselves known to one host.
    package var identities: [String: (certificate: FilePath, key: FilePath)] = [:]
    package var mirrors = RegistryMirrors()
    /// Tries of one operation, the first included; `nil`: as many as is usual.
    package var pullTries: Int?
    package var pushTries: Int?

    package init() {}

    func policy(_ purpose: Purpose) -> RetryPolicy {
        var policy = RetryPolicy.standard
        switch purpose {
        case .pull: policy.attempts = pullTries ?? policy.attempts
        case .push: policy.attempts = pushTries ?? policy.attempts
        // One more, for a connection that broke by chance: the next place is better than patience.
        case .mirror: policy.attempts = 2
        }
        return policy
    }
}
