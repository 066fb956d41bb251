import ArgumentParser
import Builder
import SystemIO
import SystemPackage

/// The program: reads the command line and hands over to a subcommand.
@main
struct Imgbuild: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "imgbuild",
        abstract: "Builds a container image from a Dockerfile, without a daemon, and pushes it or writes it to a file.",
        discussion: """
            imgbuild --context git://github.com/acme/app.git#refs/heads/main#COMMIT --dest registry.example.com/app:COMMIT
            imgbuild --context . --dest app:dev --no-push --tar-path app.tar
            imgbuild check
            imgbuild doctor --dest registry.example.com/app:1
            imgbuild push app.tar --dest registry.example.com/app:1
            imgbuild prune --older-than 7d

            Without a subcommand it builds; 'imgbuild build --help' lists the flags of a build.
            """,
        version: Version.text,
        subcommands: [
            BuildCommand.self, CheckCommand.self, DoctorCommand.self, PushCommand.self, PruneCommand.self,
            OverlayProbeCommand.self, KeepOwnersCommand.self,
        ],
        defaultSubcommand: BuildCommand.self
    )

    /// As the command line asks. A command that needs to be root in a user namespace starts the program again here, where the
    /// process still has one thread.
    static func main() async {
        AddressSpace.check()
        let arguments = BooleanArguments(Array(CommandLine.arguments.dropFirst()))
        // What is wrong with the command line is told below.
        let parsed = Result { try parseAsRoot(arguments.plain) }
        if case .success(let command as any UsesStateDirectory) = parsed {
            UserNamespaceEntry.enterIfUseful(for: command)
        }
        await EventLoop.open()
        // Before a secret is read: a RUN in a chroot has the builder among the processes that it sees.
        OwnProcess.closeToOthers()
        for flag in arguments.spaced {
            ConsoleReporter(verbosity: .warn).report(
                .warning("\(flag) is read as \(flag.replacing(" ", with: "=")): write it so"))
        }
        do {
            var command = try parsed.get()
            if var command = command as? any AsyncCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(withError: error)
        }
    }
}

/// A command that waits for others; it may run on any thread.
protocol AsyncCommand: AsyncParsableCommand, Sendable {}

/// A command that works in a state folder, where files have the owners that images give them.
protocol UsesStateDirectory {
    /// The state folder, if a user namespace may be entered for its sake.
    func stateDirectoryForNamespace(_ environment: [String: String]) throws -> FilePath?
}
