import Dockerfile
import OCI
import Sandbox

/// Refuses what this version does not do, by name and with the line, before any work starts.
enum SupportCheck {
    /// What a build of the graph's target would refuse, in the order of the text.
    static func refusals(of graph: StageGraph) -> [DockerfileError] {
        var refusals: [DockerfileError] = []
        for node in graph.order.compactMap({ graph.nodes[$0] }) {
            do { try check(node) } catch { refusals.append(error) }
            for instructions in [node.triggers, node.stage.instructions] {
                for instruction in instructions {
                    do { try check(instruction) } catch { refusals.append(error) }
                }
            }
        }
        return refusals
    }

    /// - Throws: for a platform that is none, whatever the stage is built on.
    static func check(_ node: StageGraph.Node) throws(DockerfileError) {
        guard let platform = node.platform else { return }
        do { _ = try Platform(parsing: platform) } catch {
            throw DockerfileError("FROM --platform: \(error)", at: node.stage.platform?.range ?? node.stage.range)
        }
    }

    /// Checks an instruction by itself: as it is written, or with its variables replaced.
    static func check(_ instruction: Instruction) throws(DockerfileError) {
        switch instruction.kind {
        case .run(let run):
            if let security = run.security, security.value == .insecure {
                throw DockerfileError(
                    "RUN --security=insecure is refused: a build has no more rights than its sandbox",
                    at: security.range)
            }
            if let device = run.devices.first {
                throw DockerfileError("RUN --device is refused: a build has no devices", at: device.range)
            }
        case .copy(let copy):
            for case .path(let word) in copy.sources where AddSource.isRemote(word.text) {
                let isGit = GitSource.isGit(word.text)
                throw DockerfileError(
                    "COPY takes files, not \(isGit ? "Git repositories" : "URLs"): '\(word.text)'", at: word.range,
                    hint: "ADD fetches \(isGit ? "repositories" : "URLs")")
            }
        case .add(let add): try AddSource.checkWritten(add)
        default: break
        }
    }

    /// Finds the secrets and agents that an instruction requires and nobody gave.
    static func checkGiven(_ instruction: Instruction, for request: BuildRequest) throws {
        guard case .run(let run) = instruction.kind else { return }
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
        guard isolation != .overlay, case .run(let run) = instruction.kind else { return }
        guard isolation == .chroot else {
            throw DockerfileError(
                "RUN is not possible with the isolation 'none', which has no way into a root file system",
                at: instruction.range,
                hint:
                    "run the build as root with a container's default capabilities, or where user namespaces are allowed (docs/isolation.md has a pod for each); COPY, ADD and all other instructions work here"
            )
        }
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
