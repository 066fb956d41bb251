import ArgumentParser
import Builder
import Glibc
import OCI
import SystemIO
import SystemPackage

/// A command that takes the flags of a build.
///
/// The groups stand in the command itself, not in a group of groups: in debug builds the argument parser checks a group anew for
/// each level that it is in, and that was most of what a small build cost.
protocol BuildFlags: ParsableArguments, UsesStateDirectory {
    var context: ContextOptions { get }
    var options: BuildOptions { get }
    var publishing: PublishOptions { get }
    var cache: CacheOptions { get }
    var registry: RegistryOptions { get }
}

extension BuildFlags {
    /// The build that the flags and the environment ask for.
    ///
    /// - Throws: `ValidationError`, which makes the process exit with 64.
    func request(environment: [String: String]) throws -> BuildRequest {
        var request = BuildRequest(
            source: try context.source(environment),
            stateDirectory: BuildOptions.stateDirectory(options.stateDir, environment),
            platform: try options.wantedPlatform(), registry: try registry.settings(environment))
        request.contextSubPath = context.subPath.map { FilePath($0) }
        request.git = try context.gitSettings(environment)
        request.destinations = try publishing.references()
        request.files = publishing.files
        request.checksPushPermission = !publishing.skipsPermissionCheck
        request.ignoresImmutableTags = publishing.ignoresImmutableTags
        request.cache = try cache.policy(destination: request.destinations.first)
        request.toolEnvironment = BuildOptions.toolEnvironment(environment)
        try options.fill(&request, environment)
        guard !request.destinations.isEmpty || !request.pushes else {
            throw ValidationError("there is nowhere to push to: name a --dest, or say --no-push")
        }
        return request
    }
}
