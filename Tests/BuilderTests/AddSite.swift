import OCI
import Synchronization
import SystemIO
import SystemPackage
import TestSupport

@testable import Builder

/// A place to build images from nothing in, within this process. Removed with this object.
final class AddSite: Sendable {
    let folder: TemporaryDirectory
    private let said = Mutex<[String]>([])

    var layout: FilePath { folder.appending("layout") }
    /// What the builds had to tell.
    var events: [String] { said.withLock { $0 } }

    init(files: [String: String] = [:]) throws {
        folder = try TemporaryDirectory()
        try folder.makeDirectory("context")
        for (name, text) in files { try folder.write(text, to: "context/\(name)") }
    }

    /// A build of `FROM scratch` and these lines, whose files are as new as their sources say.
    func request(_ lines: String, source: BuildRequest.Source? = nil) throws -> BuildRequest {
        let dockerfile = try folder.write("FROM scratch\n\(lines)\n", to: "Dockerfile")
        var request = BuildRequest(
            source: source ?? .folder(folder.appending("context")), stateDirectory: folder.appending("state"),
            platform: .host,
            registry: .init(reach: RegistryReach(), userAgent: "imgbuild/test", environment: [:]))
        request.dockerfile = dockerfile
        request.times = .now
        request.destinations = [try ImageReference(parsing: "added:1")]
        request.pushes = false
        request.layoutPath = layout
        request.toolEnvironment =
            Program.environment().filter { ["PATH", "LD_LIBRARY_PATH"].contains($0.key) }
            .map { "\($0.key)=\($0.value)" } + ["HOME=\(folder.path)"]
        return request
    }

    func build(_ request: BuildRequest) async throws {
        _ = try await Builder(request: request, cancellation: Cancellation()) { [self] event in
            said.withLock { $0.append("\(event)") }
        }.build()
    }

    /// Builds, and lets umoci unpack the image.
    func tree(_ lines: String, source: BuildRequest.Source? = nil) async throws -> FileTree {
        try await build(try request(lines, source: source))
        return try Umoci.unpack(layout, tag: "1", into: folder.appending("bundle"))
    }

    /// Builds, and returns the report of the failure that there has to be.
    func failure(_ lines: String, source: BuildRequest.Source? = nil) async throws -> String {
        do {
            try await build(try request(lines, source: source))
        } catch let error as FailedBuild {
            return error.text(dockerfile: "Dockerfile")
        }
        throw ProgramError(arguments: [lines], problem: "built, and should have failed")
    }

    /// What the last build left in its scratch folder.
    func scratch() throws -> [String] {
        try Program.require(["ls", "-A", folder.appending("state/work").string]).text.split(separator: "\n").map(
            String.init)
    }
}
