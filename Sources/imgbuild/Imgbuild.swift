import ArgumentParser

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

            Without a subcommand it builds; 'imgbuild build --help' lists the flags of a build.
            """,
        version: Version.text, subcommands: [BuildCommand.self, CheckCommand.self], defaultSubcommand: BuildCommand.self
    )
}
