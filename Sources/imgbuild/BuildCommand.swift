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
        // A peer that hangs up is an error of one call, not the end of the process.
        signal(SIGPIPE, SIG_IGN)
        let reporter = options.log.reporter
        let environment = Environment.current
        var request = try options.request(environment: environment)
        request.userNamespace = UserNamespaceEntry.use(environment)
        for warning in options.kaniko.warnings { reporter.report(.warning(warning)) }
        let interruption = try Interruption()
        let builder = Builder(
            request: request, cancellation: interruption.cancellation, report: { reporter.report($0) })
        let build = Task { try await builder.build() }
        interruption.whenInterrupted { build.cancel() }
        do {
            let image = try await build.value
            reporter.finish()
            print(image.digest)
        } catch {
            if let code = interruption.exitCode {
                // What failed because of that, as a killed command, is not the reason.
                reporter.fail(BuildError("the build was interrupted"), name: "")
                throw ExitCode(code)
            }
            reporter.fail(error, name: request.dockerfile.printable)
            throw ExitCode((error as? FailedBuild)?.error.exitCode ?? 1)
        }
    }
}

extension BuildCommand: UsesStateDirectory {
    func stateDirectoryForNamespace(_ environment: [String: String]) throws -> FilePath? {
        let request = try options.request(environment: environment)
        return request.isolation == nil || request.isolation == .overlay ? request.stateDirectory : nil
    }
}
