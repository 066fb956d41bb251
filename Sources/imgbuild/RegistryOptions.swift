import ArgumentParser
import Builder
import Registry
import SystemPackage

/// The flags that say how registries are reached, and as whom.
struct RegistryOptions: ParsableArguments {
    @OptionGroup
    var routes: RouteOptions

    @Option(
        help: ArgumentHelp(
            "A docker configuration (config.json) in place of those that would be looked for.", valueName: "file"))
    var authFile: String?

    @Option(
        name: .customLong("credential-helpers"),
        help: ArgumentHelp(
            "What answers for registries that no docker configuration names: env (KANIKO_<HOST>_USER and _PASSWORD), ecr (AWS credentials); empty for nothing (default: both). Repeatable.",
            valueName: "name"))
    var credentialHelpers: [String] = []

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
        settings.automaticCredentials = try automaticCredentials()
        settings.createsRepositories = createRepository
        settings.connections = connectTo
        return settings
    }

    /// Those of Kaniko's names that stand for clouds that are not built in here.
    private static let foreign = ["google", "acr", "gitlab"]

    private func automaticCredentials() throws -> Set<RegistryCredentials.Automatic> {
        guard !credentialHelpers.isEmpty else { return Set(RegistryCredentials.Automatic.allCases) }
        var found: Set<RegistryCredentials.Automatic> = []
        for name in credentialHelpers where !name.isEmpty && !Self.foreign.contains(name) {
            guard let known = RegistryCredentials.Automatic(rawValue: name) else {
                throw ValidationError(
                    "--credential-helpers '\(name)': expected env or ecr; other helpers are named in config.json (credHelpers)"
                )
            }
            found.insert(known)
        }
        return found
    }

    /// One for each helper of Kaniko's that was named and is not built in.
    var warnings: [String] {
        Set(credentialHelpers).intersection(Self.foreign).sorted().map {
            "--credential-helpers \($0) changes nothing: it is not built in; name its program in config.json (credHelpers)"
        }
    }
}
