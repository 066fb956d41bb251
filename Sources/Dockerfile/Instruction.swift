/// One instruction of a stage.
///
/// As parsed, its words are as written; `StageScope.expanded(_:)` gives the same instruction with the variables
/// replaced in every word that the language expands.
package struct Instruction: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case add(AddInstruction)
        case arg(ArgInstruction)
        case cmd(CommandLine)
        case copy(CopyInstruction)
        case entrypoint(CommandLine)
        case env([KeyValue])
        case expose(ExposeInstruction)
        case healthcheck(HealthcheckInstruction)
        case label([KeyValue])
        case maintainer(Word)
        case onbuild(OnbuildInstruction)
        case run(RunInstruction)
        case shell([String])
        case stopsignal(Word)
        case user(Word)
        case volume([Word])
        case workdir(Word)
    }

    package var kind: Kind
    /// All of it, heredoc bodies not included.
    package var range: SourceRange
    /// The instruction as written, continuations joined into one line, heredoc bodies not included.
    package var original: String

    /// The instruction's keyword in capitals, for messages: `COPY`.
    package var name: String {
        switch kind {
        case .add: "ADD"
        case .arg: "ARG"
        case .cmd: "CMD"
        case .copy: "COPY"
        case .entrypoint: "ENTRYPOINT"
        case .env: "ENV"
        case .expose: "EXPOSE"
        case .healthcheck: "HEALTHCHECK"
        case .label: "LABEL"
        case .maintainer: "MAINTAINER"
        case .onbuild: "ONBUILD"
        case .run: "RUN"
        case .shell: "SHELL"
        case .stopsignal: "STOPSIGNAL"
        case .user: "USER"
        case .volume: "VOLUME"
        case .workdir: "WORKDIR"
        }
    }

    /// Every keyword that may begin an instruction.
    static let keywords = [
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
        "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
    ]
}

/// The command of RUN, CMD, ENTRYPOINT or HEALTHCHECK CMD. It is never expanded by the builder.
package enum CommandLine: Hashable, Sendable {
    /// One string for the shell of the stage.
    case shell(String)
    /// The JSON form: arguments without a shell. Empty only for `CMD []`, `ENTRYPOINT []` and a bare `ENTRYPOINT`.
    case exec([String])
}

/// One `key=value` of ENV or LABEL.
package struct KeyValue: Hashable, Sendable {
    package var key: Word
    package var value: Word
    /// Written as `KEY value` instead of `KEY=value`.
    package var isLegacy = false
}

package struct ArgInstruction: Hashable, Sendable {
    package struct Argument: Hashable, Sendable {
        package var name: Word
        /// `nil` for `ARG name`; empty for `ARG name=`.
        package var defaultValue: Word?
    }

    package var arguments: [Argument]
}

package struct OnbuildInstruction: Hashable, Sendable {
    /// What is stored in the image: the instruction after `ONBUILD`, heredoc bodies appended. It is known to parse.
    package var trigger: String
    package var range: SourceRange
}

package enum HealthcheckInstruction: Hashable, Sendable {
    /// `HEALTHCHECK NONE`: the check of the base image is switched off.
    case none
    case check(Healthcheck)
}

package struct Healthcheck: Hashable, Sendable {
    package var command: CommandLine
    /// Nanoseconds; `nil` or 0 stand for the runtime's default.
    package var interval: Int64?
    package var timeout: Int64?
    package var startPeriod: Int64?
    package var startInterval: Int64?
    package var retries: Int?
}
