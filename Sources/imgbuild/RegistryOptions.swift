import ArgumentParser
import Builder
import SystemPackage

/// The flags that say how registries are reached, and as whom.
struct RegistryOptions: ParsableArguments {
    @OptionGroup
    var routes: RouteOptions

    @Option(
        help: ArgumentHelp(
            "A docker configuration (config.json) in place of those that would be looked for.", valueName: "file"))
    var authFile: String?

    @Flag(help: "Make a repository that is missing in Amazon ECR when the image is pushed to it.")
    var createRepository = false

    @Option(
        help: ArgumentHelp(
            "Connect to another place than a host's, as HOST:PORT:CONNECT-HOST:CONNECT-PORT. Repeatable.",
            valueName: "connection", visibility: .private))
    var connectTo: [String] = []

    func settings(_ environment: [String: String]) throws -> BuildRequest.RegistrySettings {
        guard authFile?.isEmpty != true else { throw ValidationError("--auth-file is empty") }
        var settings = BuildRequest.RegistrySettings(
            reach: try routes.reach(environment), userAgent: "imgbuild/\(Version.number)", environment: environment)
        settings.authFile = authFile.map { FilePath($0) }
        settings.createsRepositories = createRepository
        settings.connections = connectTo
        return settings
    }
}
