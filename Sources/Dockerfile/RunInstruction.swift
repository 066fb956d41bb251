package struct RunInstruction: Hashable, Sendable {
    package enum Command: Hashable, Sendable {
        /// One string for the shell of the stage. A heredoc is part of it already: the body alone if the instruction
        /// is nothing but one heredoc, else the command line with the bodies after it.
        case shell(String)
        /// The JSON form: arguments without a shell.
        case exec([String])
        /// A heredoc whose body starts with `#!`: the body is a program at `/dev/pipes/<name>`, run through the shell
        /// of the stage. `name` is one path component.
        case script(name: String, contents: String)
    }

    package enum Network: String, Hashable, Sendable, CaseIterable {
        case `default`, none, host
    }

    package enum Security: String, Hashable, Sendable, CaseIterable {
        case sandbox, insecure
    }

    package var command: Command
    /// The heredocs of the command in order, for messages; `command` holds all of their text.
    package var heredocs: [Heredoc] = []
    package var mounts: [RunMount] = []
    /// With the range of the flag, so that a refusal can point at it.
    package var network: Flagged<Network>?
    package var security: Flagged<Security>?
    package var devices: [Word] = []
}

/// The value of a flag with the place of the flag.
package struct Flagged<Value: Hashable & Sendable>: Hashable, Sendable {
    package var value: Value
    package var range: SourceRange
}
