import Dockerfile
import OCI

extension StageState {
    /// Does what an expanded instruction does to the config.
    mutating func configure(_ instruction: Instruction) throws {
        switch instruction.kind {
        case .env(let pairs):
            // The scope takes the values over after this; the config gets its environment from there.
            draft.appendHistory("ENV " + StageState.join(pairs))
        case .label(let pairs):
            draft.update { config in
                for pair in pairs {
                    config.labels = (config.labels ?? [:]).merging([pair.key.text: pair.value.text]) { $1 }
                }
            }
            draft.appendHistory("LABEL " + StageState.join(pairs))
        case .maintainer(let name):
            draft.setAuthor(name.text)
            draft.appendHistory("MAINTAINER \(name.text)")
        case .cmd(let command):
            let words = withShell(command)
            draft.update { $0.cmd = words }
            commandIsOwn = true
            draft.appendHistory("CMD " + StageState.list(words))
        case .entrypoint(let command):
            let words = withShell(command)
            // A CMD of this stage was written for this ENTRYPOINT; an inherited one was written for another.
            let keepsCommand = commandIsOwn
            draft.update { config in
                config.entrypoint = words.isEmpty ? nil : words
                if !keepsCommand { config.cmd = nil }
            }
            draft.appendHistory("ENTRYPOINT " + StageState.list(words))
        case .expose(let expose):
            let ports = try expose.ports()
            draft.update { config in
                for port in ports { config.exposedPorts = (config.exposedPorts ?? [:]).merging([port: .init()]) { $1 } }
            }
            draft.appendHistory("EXPOSE " + StageState.list(ports, quoted: false))
        case .volume(let paths):
            draft.update { config in
                for path in paths { config.volumes = (config.volumes ?? [:]).merging([path.text: .init()]) { $1 } }
            }
            draft.appendHistory("VOLUME " + StageState.list(paths.map(\.text), quoted: false))
        case .user(let user):
            draft.update { $0.user = user.text }
            draft.appendHistory("USER \(user.text)")
        case .shell(let words):
            draft.update { $0.shell = words }
            draft.appendHistory("SHELL " + StageState.list(words))
        case .stopsignal(let signal):
            draft.update { $0.stopSignal = signal.text }
            draft.appendHistory("STOPSIGNAL \(signal.text)")
        case .healthcheck(let healthcheck):
            setHealthcheck(healthcheck)
            draft.appendHistory(instruction.original)
        case .onbuild(let onbuild):
            draft.update { $0.onBuild = ($0.onBuild ?? []) + [onbuild.trigger] }
        case .arg: break
        case .workdir(let path):
            let directory = directory(path.text).absolute
            draft.update { $0.workingDir = directory }
        case .add, .copy, .run: break  // They change files only.
        }
    }

    private mutating func setHealthcheck(_ healthcheck: HealthcheckInstruction) {
        switch healthcheck {
        case .none:
            draft.update { $0.healthcheck = .init(test: ["NONE"]) }
        case .check(let check):
            // SHELL plays no part here: the runtime has a shell of its own choice.
            let test =
                switch check.command {
                case .shell(let text): ["CMD-SHELL", text]
                case .exec(let words): ["CMD"] + words
                }
            // 0 means the runtime's default, and Docker leaves it out.
            draft.update {
                $0.healthcheck = .init(
                    test: test, interval: check.interval.nonZero, timeout: check.timeout.nonZero,
                    startPeriod: check.startPeriod.nonZero, startInterval: check.startInterval.nonZero,
                    retries: check.retries.nonZero)
            }
        }
    }

    /// The words of a command as the config holds them: the shell form with its shell.
    func withShell(_ command: CommandLine) -> [String] {
        switch command {
        case .shell(let text): draft.shell + [text]
        case .exec(let words): words
        }
    }

    private static func join(_ pairs: [KeyValue]) -> String {
        pairs.map { "\($0.key.text)=\($0.value.text)" }.joined(separator: " ")
    }

    /// `["a" "b"]`, the way in which Docker's history shows a list.
    private static func list(_ words: [String], quoted: Bool = true) -> String {
        "[" + words.map { quoted ? "\"\($0)\"" : $0 }.joined(separator: " ") + "]"
    }
}

extension Optional where Wrapped: BinaryInteger {
    fileprivate var nonZero: Wrapped? { self == 0 ? nil : self }
}
