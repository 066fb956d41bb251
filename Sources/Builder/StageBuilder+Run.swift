import Dockerfile
import Sandbox
import SystemIO
import SystemPackage

extension StageBuilder {
    /// RUN: the command runs on top of the layers so far, and what it changed becomes the next one.
    mutating func perform(_ run: RunInstruction, _ instruction: Instruction) async throws {
        let arguments = self.arguments(of: run)
        let command = try await command(arguments)
        let result = try await files.run(command, on: draft.layers)
        guard result.status.isSuccess else { throw failure(of: instruction, result.status) }
        let text = historyText(arguments)
        guard let layer = result.layer else { return draft.appendHistory(text) }
        draft.append(layer, createdBy: text)
    }

    /// The words that are executed: the shell form with the stage's shell, the JSON form as it is.
    private func arguments(of run: RunInstruction) -> [String] {
        switch run.command {
        case .shell(let text): draft.shell + [text]
        case .exec(let words): words
        case .script(_, let contents): draft.shell + [contents]
        }
    }

    private func command(_ arguments: [String]) async throws -> Command {
        let user: UserIdentity
        if draft.user.isEmpty {
            user = .root
        } else {
            do { user = try await userDatabase().identity(of: draft.user) } catch let error as UserError {
                throw BuildError("USER \(draft.user): \(error)")
            }
        }
        var environment = scope.runEnvironment.assignments
        if scope.runEnvironment["HOME"] == nil { environment.append("HOME=\(user.home.string)") }
        return Command(
            arguments, environment: environment, workingDirectory: FilePath(draft.workingDirectory), user: user)
    }

    /// `|2 A=1 B=2 /bin/sh -c make`: the build arguments that the command saw, as Docker writes them.
    private func historyText(_ arguments: [String]) -> String {
        let declared = scope.declaredArguments
        let prefix =
            declared.isEmpty
            ? "" : "|\(declared.count) " + declared.map { "\($0.name)=\($0.value)" }.joined(separator: " ") + " "
        return "RUN " + prefix + arguments.joined(separator: " ")
    }

    private func failure(of instruction: Instruction, _ status: ProcessStatus) -> BuildError {
        switch status {
        case .exited(let code):
            let hint =
                switch code {
                case 126: "126: the shell found the command and could not execute it"
                case 127: "127: the shell did not find a command"
                case 137: "137: a process was killed, often because memory ran out"
                default: nil as String?
                }
            return BuildError("the command failed with exit code \(code)", at: instruction.range, hint: hint, exitCode: code)
        case .signaled(let signal):
            return BuildError(
                "the command was killed by signal \(signal)", at: instruction.range,
                hint: signal == 9 ? "often because memory ran out" : nil, exitCode: status.exitCode)
        }
    }
}

extension BuildTools {
    /// Runs a command in the sandbox, its output going out as events.
    func run(_ command: Command, in root: RootFileSystem) throws -> RunOutcome {
        let folder = try scratch.makeFolder("sandbox").path
        do throws(SandboxError) {
            return try sandbox.run(command, in: root, scratch: folder, cancellation: cancellation) { _, bytes in
                report(.output(Array(bytes)))
            }
        } catch {
            throw BuildError("the command could not be run: \(error)", hint: error.hint)
        }
    }
}
