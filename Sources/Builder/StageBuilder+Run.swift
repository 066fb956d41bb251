import Dockerfile
import Sandbox
import SystemIO
import SystemPackage

extension StageBuilder {
    /// RUN: the command runs on top of the layers so far, and what it changed becomes the next one.
    mutating func perform(_ run: RunInstruction, _ instruction: Instruction) async throws {
        let arguments = state.arguments(of: run)
        var mounts = try await prepareMounts(of: run)
        let taken = mounts
        defer { taken.release() }
        if let script = script(of: run, instruction) { mounts.mounts.append(script) }
        var command = try await command(arguments, mounts.environment)
        // The sandbox's own network is the builder's: "default" and "host" are the same.
        if run.network?.value == RunInstruction.Network.none { command.network = .none }
        let result = try await files.run(command, mounts: mounts.mounts, on: draft.layers)
        guard result.status.isSuccess else { throw failure(of: instruction, result) }
        let text = historyText(running: arguments)
        guard let layer = result.layer else { return draft.appendHistory(text) }
        draft.append(layer, createdBy: text)
    }

    /// A heredoc that is a program of its own, for every user to execute and nobody to change.
    private func script(of run: RunInstruction, _ instruction: Instruction) -> PreparedMount? {
        guard case .script(let name, let contents) = run.command else { return nil }
        let file = MemoryFile(contents: Array(contents.utf8), permissions: 0o755, uid: 0, gid: 0)
        return PreparedMount(
            content: .file(file), target: FilePath("/dev/pipes").appending(name),
            range: run.heredocs.first?.range ?? instruction.range)
    }

    private func command(_ arguments: [String], _ additions: [(name: String, value: String)]) async throws -> Command {
        let user: UserIdentity
        if draft.user.isEmpty {
            user = .root
        } else {
            do { user = try await userDatabase().identity(of: draft.user) } catch let error as UserError {
                throw BuildError("USER \(draft.user): \(error)")
            }
        }
        var environment = scope.runEnvironment
        if environment["HOME"] == nil { environment["HOME"] = user.home.string }
        for addition in additions { environment[addition.name] = addition.value }
        return Command(
            arguments, environment: environment.assignments, workingDirectory: FilePath(draft.workingDirectory),
            user: user)
    }

    /// `|2 A=1 B=2 /bin/sh -c make`: the build arguments that the command saw, as Docker writes them.
    func historyText(running arguments: [String]) -> String {
        let declared = scope.declaredArguments
        let prefix =
            declared.isEmpty
            ? "" : "|\(declared.count) " + declared.map { "\($0.name)=\($0.value)" }.joined(separator: " ") + " "
        return "RUN " + prefix + arguments.joined(separator: " ")
    }

    private func failure(of instruction: Instruction, _ result: RunResult) -> BuildError {
        let withoutRights = result.setIDProgram.map {
            "it ran '\($0.printable)', and with chroot isolation set-uid and set-gid programs get no other ids: use USER instead"
        }
        switch result.status {
        case .exited(let code):
            let hint =
                switch code {
                case 126: "126: the shell found the command and could not execute it"
                case 127: "127: the shell did not find a command"
                case 137: "137: a process was killed, often because memory ran out"
                default: nil as String?
                }
            return BuildError(
                "the command failed with exit code \(code)", at: instruction.range, hint: withoutRights ?? hint,
                exitCode: code)
        case .signaled(let signal):
            return BuildError(
                "the command was killed by signal \(signal)", at: instruction.range,
                hint: withoutRights ?? (signal == 9 ? "often because memory ran out" : nil),
                exitCode: result.status.exitCode)
        }
    }
}

extension BuildTools {
    /// Runs a command in the sandbox, its output going out as events.
    func run(_ command: Command, in root: RootFileSystem) throws -> RunOutcome {
        let folder = try scratch.makeFolder("sandbox").path
        do throws(SandboxError) {
            let outcome = try sandbox.run(command, in: root, scratch: folder, cancellation: cancellation) { _, bytes in
                report(.output(Array(bytes), stage: stage))
            }
            if let seen = outcome.supervision {
                report(
                    .detail(
                        "/proc: \(seen.calls) calls looked at, \(seen.answered) answered, \(seen.unreadable) unreadable"
                    ))
            }
            return outcome
        } catch {
            throw BuildError("the command could not be run: \(error)", hint: error.hint)
        }
    }
}
