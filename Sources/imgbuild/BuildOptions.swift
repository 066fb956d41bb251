import ArgumentParser
import Builder
import Glibc
import OCI
import SystemIO
import SystemPackage

/// The flags that say what is built, and how.
struct BuildOptions: ParsableArguments {
    @Option(
        name: [.customShort("f"), .long],
        help: ArgumentHelp("The Dockerfile, relative to the context.", valueName: "path"))
    var dockerfile = "Dockerfile"

    @Flag(inversion: .prefixedNo, help: "Push the image to its destinations.")
    var push = true

    @Option(
        name: [.long, .customLong("tarPath")],
        help: ArgumentHelp("Write the image as a tar that docker load and skopeo read.", valueName: "file"))
    var tarPath: String?

    @Option(help: ArgumentHelp("Write the image into an OCI layout.", valueName: "folder"))
    var ociLayoutPath: String?

    @Option(
        name: .customLong("build-arg"),
        help: ArgumentHelp(
            "A value for ARG; without =VALUE it is taken from the environment. Repeatable.", valueName: "name=value"))
    var buildArguments: [String] = []

    @Option(help: ArgumentHelp("The stage to build instead of the last.", valueName: "stage"))
    var target: String?

    @Flag(help: "Fail before any work if a build check finds something (see: imgbuild check).")
    var check = false

    @Option(
        name: .customLong("label"),
        help: ArgumentHelp("A label for the image; wins over LABEL. Repeatable.", valueName: "name=value"))
    var labels: [String] = []

    @Option(
        name: [.long, .customLong("custom-platform"), .customLong("customPlatform")],
        help: ArgumentHelp("The platform to build for (default: this machine's).", valueName: "os/architecture"))
    var platform: String?

    @Option(
        name: .customLong("annotation"),
        help: ArgumentHelp("An annotation on the image's manifest. Repeatable.", valueName: "name=value"))
    var annotations: [String] = []

    @Option(
        help: ArgumentHelp(
            "oci or docker: whose types manifest, config and layers have (default: oci).", valueName: "name"))
    var imageFormat: BuildRequest.ImageFormat = .oci

    @Flag(help: "Make one layer of all that the build adds to its base.")
    var singleSnapshot = false

    @Option(
        name: .customLong("build-context"),
        help: ArgumentHelp(
            "What NAME stands for in FROM, COPY --from and mounts, also in place of a stage: oci-layout://PATH[:TAG], docker-image://IMAGE, or a folder (not for FROM). Repeatable.",
            valueName: "name=source"))
    var buildContexts: [String] = []

    @Option(
        name: .customLong("secret"),
        help: ArgumentHelp(
            "A secret for RUN --mount=type=secret, or for ADD (HTTP_AUTH_TOKEN_host, GIT_AUTH_TOKEN): id=ID[,src=FILE|,env=NAME]. It gets into no layer, history or log. Repeatable.",
            valueName: "secret"))
    var secrets: [String] = []

    @Option(
        name: .customLong("ssh"),
        help: ArgumentHelp(
            "An SSH agent for RUN --mount=type=ssh: default ($SSH_AUTH_SOCK) or ID=SOCKET. Repeatable.",
            valueName: "agent"))
    var agents: [String] = []

    @Option(
        help: ArgumentHelp(
            "Where blobs, unpacked layers and scratch are kept (default: $IMGBUILD_STATE_DIR, /var/lib/imgbuild for root, else the user's cache folder).",
            valueName: "folder"))
    var stateDir: String?

    @Option(
        help: ArgumentHelp(
            "How RUN is isolated: overlay, chroot or none (default: the first that works).", valueName: "name"))
    var isolation: BuildRequest.IsolationChoice?

    @Option(
        help: ArgumentHelp(
            "'now' keeps real times; a number of seconds since 1970 is the latest time in the image (default: $SOURCE_DATE_EPOCH, else the commit's time, else the newest file of the context).",
            valueName: "time"))
    var timestamp: String?

    @Flag(help: "No time in the image is later than 1970, as with --timestamp 0.")
    var reproducible = false

    @Option(help: ArgumentHelp("How the layers that are made are compressed: gzip or zstd.", valueName: "name"))
    var compression: LayerCompression = .gzip

    @Option(
        help: ArgumentHelp(
            "1 (fast) to 9 (small) for gzip, 1 to 19 for zstd (default: for gzip a compressor that is faster than any of these, for zstd 3).",
            valueName: "number"))
    var compressionLevel: Int?

    @Option(
        help: ArgumentHelp(
            "Threads that compress (default: one per core). The image does not depend on it.", valueName: "number"))
    var threads: Int?
}

extension BuildRequest.IsolationChoice: ExpressibleByArgument {}
extension BuildRequest.ImageFormat: ExpressibleByArgument {}
