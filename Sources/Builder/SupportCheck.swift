import Dockerfile

/// Refuses what this version does not do, by name and with the line, before any work starts.
enum SupportCheck {
    static func check(_ instruction: Instruction) throws(DockerfileError) {
        switch instruction.kind {
        case .run(let run): try check(run, instruction)
        case .copy(let copy):
            for case .path(let word) in copy.sources where isRemote(word.text) {
                throw DockerfileError("COPY takes files, not URLs", at: word.range, hint: "ADD fetches URLs")
            }
        case .add(let add): try check(add, instruction)
        default: break
        }
    }

    private static func check(_ run: RunInstruction, _ instruction: Instruction) throws(DockerfileError) {
        if let mount = run.mounts.first { throw unsupported("RUN --mount", at: mount.range) }
        if let network = run.network, network.value == .none { throw unsupported("RUN --network=none", at: network.range) }
        if let security = run.security, security.value == .insecure {
            throw DockerfileError("RUN --security=insecure is refused: a build has no more rights than its sandbox", at: security.range)
        }
        if let device = run.devices.first { throw unsupported("RUN --device", at: device.range) }
        if case .script = run.command {
            throw unsupported("a heredoc that starts with '#!'", at: run.heredocs.first?.range ?? instruction.range)
        }
    }

    private static func check(_ add: AddInstruction, _ instruction: Instruction) throws(DockerfileError) {
        for case .path(let word) in add.sources where isRemote(word.text) {
            throw unsupported("ADD of a URL or a Git repository", at: word.range, hint: "fetch it in a RUN")
        }
        if let checksum = add.checksum { throw unsupported("ADD --checksum", at: checksum.range) }
        if add.keepGitDirectory != nil { throw unsupported("ADD --keep-git-dir", at: instruction.range) }
    }

    private static func unsupported(_ what: String, at range: SourceRange, hint: String? = nil) -> DockerfileError {
        DockerfileError("\(what) is not supported yet", at: range, hint: hint)
    }

    private static func isRemote(_ source: String) -> Bool {
        ["http://", "https://", "git://", "ssh://", "git@"].contains { source.hasPrefix($0) }
    }
}
