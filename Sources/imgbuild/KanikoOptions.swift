import ArgumentParser
import Builder

/// Flags of Kaniko that templates have and that have no work to do here (docs/kaniko.md).
///
/// Those whose absence nobody would notice are taken silently. Those that stand for something which is different here are taken
/// with one warning each. Those whose result would be missing are refused.
struct KanikoOptions: ParsableArguments {
    // MARK: Taken silently: what they ask for is always so

    @Flag(help: .hidden) var force = false
    @Flag(help: .hidden) var skipUnusedStages = false
    @Flag(help: .hidden) var forceBuildMetadata = false

    // MARK: Taken with a warning

    @Option(help: .hidden) var snapshotMode: SnapshotMode?
    @Flag(help: .hidden) var useNewRun = false
    @Flag(help: .hidden) var cleanup = false
    @Flag(help: .hidden) var preCleanup = false
    @Flag(help: .hidden) var preserveContext = false
    @Flag(inversion: .prefixedNo, help: .hidden) var compressedCaching: Bool?
    @Flag(inversion: .prefixedNo, help: .hidden) var ignoreVarRun: Bool?
    @Flag(inversion: .prefixedNo, help: .hidden) var whitelistVarRun: Bool?
    @Option(help: .hidden) var kanikoDir: String?
    @Option(help: .hidden) var cacheDir: String?
    @Option(help: .hidden) var imageFsExtractRetry: Int?

    // MARK: Refused

    @Flag(help: .hidden) var materialize = false
    @Option(help: .hidden) var ignorePath: [String] = []
    @Option(name: [.customShort("b"), .long], help: .hidden) var bucket: String?

    enum SnapshotMode: String, CaseIterable, ExpressibleByArgument { case full, redo, time }

    func validate() throws {
        if materialize {
            throw ValidationError(
                "--materialize is not supported: an image's files never lie in the builder's own '/'\nhint: write the image with --oci-layout-path and unpack it with umoci, or with --tar-path"
            )
        }
        if let path = ignorePath.first {
            throw ValidationError(
                "--ignore-path \(path) is not supported: what a RUN writes is in its layer\nhint: use RUN --mount=type=tmpfs,target=\(path) for what shall not be"
            )
        }
        if let bucket {
            throw ValidationError(
                "--bucket \(bucket) is not supported: Google Cloud Storage is not reached\nhint: name the context as s3://, https://, tar:// or git://"
            )
        }
    }

    /// One for each flag that was given and changes nothing.
    var warnings: [String] {
        let given: [(flag: String, isGiven: Bool, reason: String)] = [
            ("--snapshot-mode", snapshotMode != nil, "what a RUN changed is always found exactly"),
            ("--use-new-run", useNewRun, "what a RUN changed is always found exactly"),
            ("--cleanup", cleanup, "the builder's own file system is never changed"),
            ("--pre-cleanup", preCleanup, "the builder's own file system is never changed"),
            ("--preserve-context", preserveContext, "the builder's own file system is never changed"),
            ("--compressed-caching", compressedCaching != nil, "layers are never kept in memory"),
            (
                "--ignore-var-run", ignoreVarRun ?? whitelistVarRun != nil,
                "/var/run is part of the image, as with docker"
            ),
            ("--kaniko-dir", kanikoDir != nil, "use --state-dir for what is kept between builds"),
            ("--cache-dir", cacheDir != nil, "base images are kept in --state-dir"),
            ("--image-fs-extract-retry", imageFsExtractRetry != nil, "--image-download-retry counts for layers, too"),
        ]
        return given.filter(\.isGiven).map { "\($0.flag) changes nothing: \($0.reason)" }
    }
}
