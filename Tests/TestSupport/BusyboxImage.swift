import Glibc
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

    /// One image for all tests that only read it; removed when the process ends.
    package static func shared() throws -> BusyboxImage { try common.get() }

    private static let common: Result<BusyboxImage, any Error> = {
        let image = Result { try BusyboxImage() }
        atexit {
            guard let folder = try? BusyboxImage.common.get().folder.path else { return }
            _ = try? Program.run(["rm", "-rf", folder.string])
        }
        return image
    }()

    /// The argument of `--build-context` that gives this image the name `busybox`.
    package var buildContext: String { "busybox=oci-layout://\(layout):latest" }

    /// Puts the image into `registry` under `name` (such as `library/busybox:latest`).
    package func push(
        to registry: DockerRegistry, as name: String, user: (name: String, password: String)? = nil
    ) throws {
        try Skopeo.copy(from: "oci:\(layout):latest", to: "docker://\(registry.host)/\(name)", destinationUser: user)
    }
}
