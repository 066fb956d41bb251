package import SystemPackage

/// A container such as Kubernetes makes for a pod, by runc: what a program may do in it is what it may do in a cluster.
///
/// Its root is an overlay of this machine's own, so programs are where they are here; its network is the host's. What it writes is
/// gone afterwards, but for what is written below `shared`. `Tests/Fixtures/pod/pod.py` makes it.
package struct Pod: Sendable {
    package enum Capabilities: Sendable {
        /// What Docker and containerd give to root; nothing for other users.
        case runtimeDefault
        case all, none
        /// Names without `CAP_`.
        case named([String])
    }

    package enum Seccomp: String, Sendable {
        /// What Docker's default profile allows.
        case runtimeDefault = "default"
        case unconfined
    }

    package var uid: UInt32 = 0
    package var capabilities = Capabilities.runtimeDefault
    package var seccomp = Seccomp.runtimeDefault
    /// System calls that a stricter profile refuses, too.
    package var refused: [String] = []
    /// `allowPrivilegeEscalation: false`.
    package var noNewPrivileges = false
    /// Whether `/proc` is without the masks that container runtimes put on it, as in a privileged container.
    package var unmasked = false
    /// Folders of this machine that are seen at the same name, and can be written to.
    package var shared: [FilePath] = []

    package init() {}

    /// The arguments that run `arguments` in the pod, for `Program` and `RunningProgram`.
    package func command(_ arguments: [String], in folder: FilePath? = nil) -> [String] {
        let script = Fixtures.programs.appending("pod").appending("pod.py")
        var command = ["python3", script.string, "--user", "\(uid)", "--seccomp", seccomp.rawValue]
        switch capabilities {
        case .runtimeDefault: break
        case .all: command += ["--capabilities", "all"]
        case .none: command += ["--capabilities", "none"]
        case .named(let names): command += ["--capabilities", names.joined(separator: ",")]
        }
        if !refused.isEmpty { command += ["--refuse", refused.joined(separator: ",")] }
        if noNewPrivileges { command.append("--no-new-privileges") }
        if unmasked { command.append("--unmasked") }
        for path in shared { command += ["--share", path.string] }
        if let folder { command += ["--directory", folder.string] }
        return command + arguments
    }

    /// Runs a program in the pod and waits for its end. It has to be visible there: in the machine's root file system, or below a
    /// shared folder.
    package func run(
        _ arguments: [String], environment: [String: String]? = nil, in folder: FilePath? = nil,
        timeout: Duration = .seconds(300)
    ) throws -> Program.Outcome {
        try Program.run(command(arguments, in: folder), environment: environment, timeout: timeout)
    }

    /// Whether this machine can make pods: it needs root that may mount, and runc.
    package static let isPossible: Bool = isRoot && (try? Pod().run(["true"]).status) == 0
}
