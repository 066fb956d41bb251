import Dockerfile
import Sandbox

/// Refuses what this version does not do, by name and with the line, before any work starts.
enum SupportCheck {
    static func check(_ instruction: Instruction, for request: BuildRequest) throws {
        switch instruction.kind {
        case .run(let run): try check(run, for: request)
        case .copy(let copy):
            for case .path(let word) in copy.sources where AddSource.isRemote(word.text) {
                throw DockerfileError("COPY takes files, not URLs", at: word.range, hint: "ADD fetches URLs")
            }
        case .add(let add): try AddSource.checkWritten(add)
        default: break
        }
    }

    private static func check(_ run: RunInstruction, for request: BuildRequest) throws {
        if let security = run.security, security.value == .insecure {
            throw DockerfileError(
                "RUN --security=insecure is refused: a build has no more rights than its sandbox", at: security.range)
        }
        if let device = run.devices.first {
            throw DockerfileError("RUN --device is refused: a build has no devices", at: device.range)
        }
        // An option that holds a variable has its value when the RUN's turn comes.
        for mount in run.mounts where !mount.options.contains(where: { $0.value?.contains("$") == true }) {
            switch try mount.resolved().kind {
            case .secret(let secret) where secret.required && request.secrets[secret.id] == nil:
                throw StageBuilder.missingSecret(secret.id, at: mount.range)
            case .ssh(let ssh) where ssh.required && request.agents[ssh.id] == nil:
                throw StageBuilder.missingAgent(ssh.id, at: mount.range)
            default: break
            }
        }
    }

    /// Refuses what an isolation cannot do, before any step is taken.
    static func check(_ instruction: Instruction, under isolation: Isolation) throws(DockerfileError) {
        guard isolation == .chroot, case .run(let run) = instruction.kind else { return }
        let hint = "it needs the overlay isolation: the right to make namespaces and mounts"
        if let network = run.network, network.value == .none {
            throw DockerfileError(
                "RUN --network=none is not possible with chroot isolation: a network is shared there",
                at: network.range,
                hint: hint)
        }
        for mount in run.mounts where mount.options.contains(where: { $0.key == .size }) {
            throw DockerfileError(
                "the size of a tmpfs cannot be limited with chroot isolation, where it is a folder on disk",
                at: mount.range,
                hint: hint + "; or leave size out")
        }
    }
}
