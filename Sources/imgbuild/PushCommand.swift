import ArgumentParser
import Builder
import Glibc
import SystemPackage

/// Pushes an image that is on this machine.
struct PushCommand: AsyncCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Pushes an image from a tar or an OCI layout.",
        discussion: """
            imgbuild push app.tar --dest registry.example.com/app:1
            imgbuild push layout --image 1.2 --dest registry.example.com/app:1.2 --dest mirror.example.com/app:1.2

            The source is what --tar-path and --oci-layout-path write, an archive of docker save, or what skopeo wrote as oci:,
            oci-archive: or docker-archive:. Manifests and indexes of a layout arrive byte for byte; docker's archives have none,
            and get one. The digest is the only thing on standard output.
            Exit codes: 1 if the push failed, 64 for a wrong command line, 130 and 143 after SIGINT and SIGTERM.
            """)

    @Argument(help: "A tar, plain or compressed, or the folder of an OCI layout.")
    var source: String

    @Option(help: ArgumentHelp("Which image, if there are several: its tag, name or digest.", valueName: "name"))
    var image: String?

    @OptionGroup(title: "Destinations")
    var publishing: PublishOptions

    @OptionGroup(title: "Registries")
    var registry: RegistryOptions

    @Option(help: ArgumentHelp("Where a tar is unpacked (default: as for a build).", valueName: "folder"))
    var stateDir: String?

    @Option(
        help: ArgumentHelp("Threads that compress layers which are not (default: one per core).", valueName: "number"))
    var threads: Int?

    @OptionGroup(title: "Log")
    var log: LogOptions

    func validate() throws {
        for (flag, value) in [("the source", source), ("--image", image), ("--state-dir", stateDir)]
        where value?.isEmpty == true {
            throw ValidationError("\(flag) is empty")
        }
        guard !publishing.destinations.isEmpty else {
            throw ValidationError("there is nowhere to push to: name a --dest")
        }
    }

    func run() async throws {
        let environment = Environment.current
        var request = PushRequest(
            source: FilePath(source), destinations: try publishing.references(),
            registry: try registry.settings(environment),
            stateDirectory: BuildOptions.stateDirectory(stateDir, environment))
        request.image = image
        request.checksPushPermission = !publishing.skipsPermissionCheck
        request.ignoresImmutableTags = publishing.ignoresImmutableTags
        request.files = publishing.files
        request.threads = try BuildOptions.threadCount(threads)
        let reporter = log.reporter
        for warning in registry.warnings { reporter.report(.warning(warning)) }
        let interruption = try Interruption()
        let pusher = Pusher(
            request: request, cancellation: interruption.cancellation, report: { reporter.report($0) })
        try await interruption.carryOut("push", reporter, dockerfile: "") { "\(try await pusher.push())" }
    }
}
