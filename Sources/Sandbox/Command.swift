package import SystemIO
package import SystemPackage

/// One command to run in a root file system.
package struct Command: Sendable {
    /// The program and its arguments; a program without a slash is looked up along PATH of `environment` inside the root.
    package var arguments: [String]
    /// `NAME=value`: all that the command gets, and nothing of the builder's.
    package var environment: [String]
    /// An absolute path inside the root. It must exist.
    package var workingDirectory: FilePath
    package var user: UserIdentity
    package var network: Network = .host
    package var mounts: [ExtraMount] = []
    /// With `.pipe`, output comes to the `receive` closure of `Sandbox.run`.
    package var output: ProcessPlan.Output = .pipe
    package var error: ProcessPlan.Output = .pipe

    package enum Network: Sendable, Hashable {
        /// The builder's network.
        case host
        /// A network of its own with nothing but a loopback device. Needs the overlay isolation.
        case none
    }

    package init(
        _ arguments: [String], environment: [String], workingDirectory: FilePath = "/", user: UserIdentity = .root
    ) {
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
    }
}

/// Who a command runs as.
package struct UserIdentity: Sendable, Hashable {
    package var uid: UInt32
    package var gid: UInt32
    /// All supplementary groups, the primary one among them.
    package var groups: [UInt32]
    package var home: FilePath

    package init(uid: UInt32, gid: UInt32, groups: [UInt32], home: FilePath) {
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home
    }

    package static let root = UserIdentity(uid: 0, gid: 0, groups: [0], home: "/root")
}
