import ArgumentParser
import Builder
import Glibc
import SystemIO
import SystemPackage

/// Builds, and prints the digest.
struct BuildCommand: AsyncCommand, BuildFlags {
    static let configuration = CommandConfiguration(
        commandName: "build",
        abstract: "Builds an image; what imgbuild does if no subcommand is named.",
        discussion: """
            imgbuild --context git://github.com/acme/app.git#refs/heads/main#COMMIT --dest registry.example.com/app:COMMIT
            imgbuild --context . --dest app:dev --no-push --tar-path app.tar

            The digest of the image is the only thing on standard output; everything else goes to standard error.
            Exit codes: the code of the RUN that failed, 1 for any other failure, 64 for a wrong command line, 130 and 143
            after SIGINT and SIGTERM.
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
        // Files that git checks out get the usual modes, whatever this process was started with.
        umask(0o022)
        let reporter = log.reporter
        let environment = Environment.current
        var request = try request(environment: environment)
        request.userNamespace = UserNamespaceEntry.use(environment)
        for warning in kaniko.warnings + registry.warnings { reporter.report(.warning(warning)) }
        let interruption = try Interruption()
        let builder = Builder(
            request: request, cancellation: interruption.cancellation, report: { reporter.report($0) })
        let onlyPlans = cache.onlyPlans
        try await interruption.carryOut("build", reporter, dockerfile: request.dockerfile.printable) {
            if onlyPlans { return try await builder.outline().lines.joined(separator: "\n") }
            return try await builder.build().digest
        }
    }
}

extension BuildCommand {
    func stateDirectoryForNamespace(_ environment: [String: String]) throws -> FilePath? {
        let request = try request(environment: environment)
        return request.isolation == nil || request.isolation == .overlay ? request.stateDirectory : nil
    }
}
