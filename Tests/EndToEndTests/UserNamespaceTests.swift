import Glibc
import SystemPackage
import TestSupport
import Testing

/// Builds by an ordinary user with subordinate ids, and by root without the right to mount.
///
/// The user is nobody (65534), who gets ids for the time of the test: in a mount namespace of its own, where /etc/subuid is another file.
@Suite(
    "User namespaces", .enabled(if: UserNamespaces.arePossible, "needs root, newuidmap and user namespaces"))
struct UserNamespaceTests {
    /// Owners, modes, deletions, opaque folders, hard links: what the ids and marks of a namespace could change.
    static let dockerfile = """
        FROM busybox AS base
        RUN mkdir -p /srv/a/b && echo one > /srv/a/one && chown -R 33:44 /srv && chmod 2750 /srv/a && ln /srv/a/one /srv/two
        FROM base
        RUN rm -r /srv/a && mkdir /srv/a && echo new > /srv/a/new && chown 65533:1 /srv/a/new && chmod 4755 /srv/a/new
        RUN rm /srv/two; mkfifo /srv/pipe; test "$(id -u)" = 0 && test "$(stat -c %u:%g /srv/a/new)" = 65533:1
        COPY --from=base --chown=7:8 /srv/two /copied
        USER 1000:1000
        RUN echo mine > /tmp/mine && test "$(stat -c %u:%g /tmp/mine)" = 1000:1000
        USER 0
        RUN --mount=type=cache,target=/cache,uid=5 test "$(stat -c %u /cache)" = 5 && touch /cache/x && ls /proc/1 /sys >/dev/null
        """

    /// A site that nobody may use; its builds have the arguments of all others.
    private func site(_ dockerfile: String) throws -> BuildSite {
        let site = try BuildSite(dockerfile)
        try site.folder.write("65534:300000:65536\n", to: "ids")
        try site.folder.makeDirectory("image")
        let image = try BusyboxImage.shared().layout
        try Program.require(["cp", "-rT", image.string, site.folder.appending("image/busybox").string])
        try Program.require(["chmod", "-R", "a+rX", site.folder.path.string])
        try Program.require(["chown", "-R", "65534:65534", site.folder.path.string])
        return site
    }

    private func build(
        _ site: BuildSite, as user: [String], ids: Bool = true, _ arguments: [String] = []
    ) throws -> Build {
        Build(
            try Program.run(
                command(site, as: user, ids: ids) + arguments, environment: site.environment(), in: site.folder.path))
    }

    private func command(_ site: BuildSite, as user: [String], ids: Bool = true) -> [String] {
        let mount = ids ? "mount --bind \"$0/ids\" /etc/subuid && mount --bind \"$0/ids\" /etc/subgid && " : ""
        let busybox = "busybox=oci-layout://\(site.folder.path)/image/busybox:latest"
        return ["unshare", "--mount", "sh", "-c", mount + "exec \"$@\"", site.folder.path.string] + user
            + [
                BuildSite.program.string, "--context", site.context.string, "--state-dir", site.state.string,
                "--build-context", busybox, "--no-push", Self.time,
            ]
    }

    /// Sites are made at different moments, and their newest files would be the time of the image.
    static let time = "--timestamp=1000000000"
    /// What root builds where it may do all.
    private static let digestOfRoot = Result { () throws -> String in
        try #require(try BuildSite(dockerfile).require(["--no-push", time]).digest)
    }
    static let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

    @Test("an ordinary user gets the image that root gets, and leaves nothing but the state folder")
    func sameImage() throws {
        let site = try site(Self.dockerfile)
        let build = try build(site, as: Self.nobody, ["--isolation=overlay"])
        try #require(build.status == 0, "\(build.log)")
        #expect(build.log.contains("isolation: overlay in a user namespace, as asked for\n"))
        try site.expectClean()
        #expect(try build.digest == Self.digestOfRoot.get())

        // Root's trees and a namespace's have other owners: in one state folder each has its own.
        let again = try self.build(site, as: [])
        #expect(again.digest == build.digest, "\(again.log)")
        let folders = try Program.require(["ls", site.state.string]).text.split(separator: "\n")
        #expect(folders.filter { $0.hasPrefix("trees") }.count == 2)

        let pruned = try self.prune(site, as: Self.nobody)
        #expect(pruned.status == 0, "\(pruned.errorText)")
    }

    private func prune(_ site: BuildSite, as user: [String]) throws -> Program.Outcome {
        // Root's trees are not nobody's to remove: only what is used as nobody.
        try Program.require([
            "sh", "-c", "rm -rf \"$0\"/trees \"$0\"/mounts; chown -R 65534:65534 \"$0\"/blobs", site.state.string,
        ])
        let script =
            "mount --bind \"$0/ids\" /etc/subuid && mount --bind \"$0/ids\" /etc/subgid && exec \"$@\""
        let outcome = try Program.run(
            ["unshare", "--mount", "sh", "-c", script, site.folder.path.string] + user
                + [BuildSite.program.string, "prune", "--all", "--state-dir", site.state.string],
            environment: site.environment(), in: site.folder.path)
        let left = try Program.require(["find", site.state.string, "-type", "f"]).text.split(separator: "\n")
        #expect(left.map(String.init) == [site.state.appending("lock").string])
        return outcome
    }

    @Test("root without CAP_SYS_ADMIN maps its own ids, and gets the same image")
    func rootOfPod() throws {
        let site = try site(Self.dockerfile)
        let capabilities = "-sys_admin"
        let build = try build(
            site, as: ["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities], ids: false)
        try #require(build.status == 0, "\(build.log)")
        #expect(build.log.contains("isolation: overlay in a user namespace\n"), "\(build.log)")
        #expect(try build.digest == Self.digestOfRoot.get())
        try site.expectClean()
    }

    @Test("a user without subordinate ids is told so, and gets the same image with one id")
    func withoutIDs() throws {
        let site = try site(Self.dockerfile)
        try site.folder.write("other:300000:65536\n", to: "ids")
        let build = try build(site, as: Self.nobody)
        #expect(build.status == 0, "\(build.log)")
        #expect(
            build.log.contains(
                "isolation: overlay in a user namespace with one id, other owners kept by imgbuild (/etc/subuid and /etc/subgid give no ids to nobody (65534))"
            ),
            "\(build.log)")
        #expect(try build.digest == Self.digestOfRoot.get())
        // Trees of an earlier build are what they were.
        let again = try self.build(site, as: Self.nobody)
        #expect(again.digest == build.digest, "\(again.log)")
        try site.expectClean()
    }

    @Test("a build whose owners nobody keeps any more fails, and ends")
    func keeperKilled() throws {
        let site = try site("FROM busybox\nRUN echo begun; while stat / >/dev/null; do :; done; exit 7\n")
        try site.folder.write("", to: "ids")
        let build = try RunningProgram(
            command(site, as: Self.nobody), environment: site.environment(), in: site.folder.path)
        #expect(try eventually { try build.errorText().contains("\nbegun\n") || !build.isRunning() })
        try Program.require(["pkill", "-KILL", "-P", "\(build.pid)", "-f", "keep-owners"])
        #expect(try build.wait().status == 1)
    }

    @Test("where the trial fails the reason is told, and the user's namespace is not entered")
    func trial() throws {
        let site = try site("FROM busybox\nRUN true\n")
        // More than the kernel lets be mapped: newuidmap refuses what /etc/subuid does not give.
        try site.folder.write("65534:300000:65536\n65534:0:0\n65534:x:y\nnobody:4294967295:5\n", to: "ids")
        let build = try build(site, as: Self.nobody)
        #expect(build.status == 0, "lines that are no ranges are passed over: \(build.log)")
        let none = try self.build(site, as: Self.nobody, ["--isolation=none"])
        #expect(none.status == 1 && !none.log.contains("in a user namespace"), "\(none.log)")
    }
}

/// What this machine lets an ordinary user do.
enum UserNamespaces {
    static let arePossible: Bool = {
        guard isRoot, exists("/etc/subuid"), exists("/etc/subgid") else { return false }
        let trial =
            "command -v newuidmap newgidmap && exec setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user true"
        return (try? Program.run(["unshare", "--mount", "sh", "-c", trial]).status) == 0
    }()
}
