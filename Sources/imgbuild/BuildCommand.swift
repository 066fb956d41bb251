import ArgumentParser
import Builder
import Glibc
import SystemIO
import SystemPackage

/// Builds, and prints the digest.
struct BuildCommand: AsyncParsableCommand {
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

    @OptionGroup var options: BuildOptions

    func run() async throws {
        // Files that git checks out get the usual modes, whatever this process was started with.
        umask(0o022)
        let reporter = options.log.reporter
        let environment = Environment.current
        var request = try options.request(environment: environment)
        request.userNamespace = UserNamespaceEntry.use(environment)
        for warning in options.kaniko.warnings + options.registry.warnings { reporter.report(.warning(warning)) }
        let interruption = try Interruption()
        let builder = Builder(
            request: request, cancellation: interruption.cancellation, report: { reporter.report($0) })
        let onlyPlans = options.cache.onlyPlans
        try await interruption.carryOut("build", reporter, dockerfile: request.dockerfile.printable) {
            if onlyPlans { return try await builder.outline().lines.joined(separator: "\n") }
            return try await builder.build().digest
        }
    }
}

extension BuildCommand: UsesStateDirectory {
    func stateDirectoryForNamespace(_ environment: [String: String]) throws -> FilePath? {
        let request = try options.request(environment: environment)
        return request.isolation == nil || request.isolation == .overlay ? request.stateDirectory : nil
    }
}
