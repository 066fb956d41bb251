import Glibc
import SystemPackage
import TestSupport
import Testing

/// Builds by an ordinary user with subordinate ids, which are root's in a user namespace.
///
/// The user is nobody (65534), who gets ids for the time of a build: in a mount namespace of its own, where /etc/subuid is another file.
enum OrdinaryUser {
    static let needs: Comment = "needs root, newuidmap and user namespaces"

    /// What this machine lets an ordinary user do.
    static let isPossible: Bool = {
        guard isRoot, exists("/etc/subuid"), exists("/etc/subgid") else { return false }
        let trial =
            "command -v newuidmap newgidmap && exec setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user true"
        return (try? Program.run(["unshare", "--mount", "sh", "-c", trial]).status) == 0
    }()

    static let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

    /// Sites are made at different moments, and their newest files would be the time of the image.
    static let time = "--timestamp=1000000000"

    /// A site that nobody may use.
    static func site(_ dockerfile: String, files: [String: String] = [:]) throws -> BuildSite {
        let site = try BuildSite(dockerfile, files: files)
        try site.folder.write("65534:300000:65536\n", to: "ids")
        try site.folder.makeDirectory("image")
        let image = try BusyboxImage.shared().layout
        try Program.require(["cp", "-rT", image.string, site.folder.appending("image/busybox").string])
        try Program.require(["chmod", "-R", "a+rX", site.folder.path.string])
        try Program.require(["chown", "-R", "65534:65534", site.folder.path.string])
        return site
    }

    /// The command line of a build there, which has the arguments of all others.
    ///
    /// - Parameter user: a program that becomes the user and starts the one that follows.
    static func command(
        _ site: BuildSite, as user: [String] = nobody, ids: Bool = true, _ arguments: [String] = []
    ) -> [String] {
        let mount = ids ? "mount --bind \"$0/ids\" /etc/subuid && mount --bind \"$0/ids\" /etc/subgid && " : ""
        let busybox = "busybox=oci-layout://\(site.folder.path)/image/busybox:latest"
        return ["unshare", "--mount", "sh", "-c", mount + "exec \"$@\"", site.folder.path.string] + user + [
            BuildSite.program.string, "--context", site.context.string, "--state-dir", site.state.string,
            "--build-context", busybox, "--no-push", time,
        ] + arguments
    }
}
