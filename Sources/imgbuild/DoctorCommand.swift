import ArgumentParser
import Builder
import Glibc
import SystemIO
import SystemPackage

/// Says what a build would find where it is started, and builds nothing.
struct DoctorCommand: AsyncCommand, BuildFlags {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Says whether a build could work here: isolation, credentials, permissions, context.",
        discussion: """
            imgbuild doctor --dest 123456789012.dkr.ecr.eu-west-2.amazonaws.com/app:1
            imgbuild doctor --dest registry.example.com/app:1 --context git://github.com/acme/app.git

            It takes the flags of a build. Each finding is a line on standard output, and no secret is in them.
            Exit codes: 0 if all is well, 1 if something is not, 64 for a wrong command line.
            """)

    @OptionGroup(title: "Context")
    var context: ContextOptions

    @OptionGroup
    var options: BuildOptions

    @OptionGroup(title: "Destinations")
    var publishing: PublishOptions

    @OptionGroup(title: "Cache")
    var cache: CacheOptions

    @OptionGroup(title: "Registries")
    var registry: RegistryOptions

    @OptionGroup(title: "Log")
    var log: LogOptions

    @OptionGroup(visibility: .hidden)
    var kaniko: KanikoOptions

    func run() async throws {
        umask(0o022)
        signal(SIGPIPE, SIG_IGN)
        let environment = Environment.current
        var request = try request(environment: environment)
        request.userNamespace = UserNamespaceEntry.use(environment)
        let interruption = try Interruption()
        let doctor = Doctor(request: request, cancellation: interruption.cancellation)
        let isGiven = context.context != ContextOptions.usual || access(ContextOptions.usual, F_OK) == 0
        let examination = Task {
            await doctor.examine(includingContext: isGiven) { finding in
                print("\(finding.isGood ? "ok    " : "FAILED") \(finding.topic): \(finding.text)")
                if let hint = finding.hint { print("       hint: \(hint)") }
            }
        }
        interruption.whenInterrupted { examination.cancel() }
        let isGood = await examination.value
        if let code = interruption.exitCode { throw ExitCode(code) }
        guard isGood else { throw ExitCode(1) }
    }
}

extension DoctorCommand {
    func stateDirectoryForNamespace(_ environment: [String: String]) throws -> FilePath? {
        BuildOptions.stateDirectory(options.stateDir, environment)
    }
}
