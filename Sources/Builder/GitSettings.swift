package import SystemPackage

/// How Git repositories are fetched, beyond what their addresses and credentials say.
package struct GitSettings: Sendable {
    /// Commits of history that a context's `.git` gets where it is kept; 0 for all of it. The files do not depend on it.
    package var depth = 1
    /// Whether a context comes with its submodules.
    package var fetchesSubmodules = false
    /// Whether the certificate of the context's server goes unchecked; those of other servers are checked.
    package var skipsTLSVerification = false
    /// A private key for SSH, offered in place of those that the agent and `~/.ssh` have.
    package var sshKey: FilePath?
    /// The keys of hosts, in place of `~/.ssh/known_hosts`.
    package var sshKnownHosts: FilePath?

    package init() {}
}

/// How long git may take, and how often it tries.
struct GitPatience: Sendable {
    /// The clone of a large repository over a slow line ends within it.
    var total = Duration.seconds(2 * 3600)
    /// With `--progress` git speaks at least every second while anything moves; a server may count objects for a while.
    var silence = Duration.seconds(300)
    /// A line over which not even the keep-alive of a server comes (one packet in 5 seconds) is dead.
    var stall = Duration.seconds(60)
    /// For SSH; curl has its own limit.
    var connect = Duration.seconds(30)
    /// Before the second try, the third, and so on: what networks and gateways need to come back.
    var pauses: [Duration] = [.seconds(2), .seconds(8)]

    static let standard = GitPatience()
}
