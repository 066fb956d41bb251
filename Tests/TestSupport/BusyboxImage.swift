package import SystemPackage

/// The image `busybox`, tag `latest`, as an OCI layout: one layer, made from Debian's busybox-static.
///
/// What is in it stands in `Tests/Fixtures/busybox-image.py`. The layout is removed with this object.
package final class BusyboxImage: Sendable {
    package let layout: FilePath
    private let folder: TemporaryDirectory

    package init() throws {
        folder = try TemporaryDirectory()
        layout = folder.appending("busybox")
        let program = Fixtures.programs.appending("busybox-image.py")
        try Program.require(["python3", program.string, layout.string])
    }

    /// The argument of `--build-context` that gives this image the name `busybox`.
    package var buildContext: String { "busybox=oci-layout://\(layout):latest" }

    /// Puts the image into `registry` under `name` (such as `library/busybox:latest`).
    package func push(
        to registry: DockerRegistry, as name: String, user: (name: String, password: String)? = nil
    ) throws {
        try Skopeo.copy(from: "oci:\(layout):latest", to: "docker://\(registry.host)/\(name)", destinationUser: user)
    }
}
