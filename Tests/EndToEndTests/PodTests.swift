import SystemPackage
import TestSupport
import Testing

/// What the simulated pod is itself: the tests that build in it rely on this.
@Suite("A simulated pod", .enabled(if: Pod.isPossible, "needs runc, and root that may mount"))
struct PodTests {
    /// Prints what decides what a build may do.
    static let status = ["sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'"]

    @Test("root has a container runtime's capabilities and profile, and may mount or unshare nothing")
    func root() throws {
        let pod = Pod()
        #expect(
            try pod.run(Self.status).text == "0\nCapEff:00000000a80425fb\nNoNewPrivs:0\nSeccomp:2\n")
        for refused in [
            ["mount", "-t", "tmpfs", "none", "/mnt"], ["unshare", "--user", "true"], ["unshare", "-m", "true"],
        ] {
            #expect(try pod.run(refused).status != 0, "\(refused)")
        }
    }

    @Test("an ordinary user has no capability, and a user namespace where the profile lets it")
    func user() throws {
        var pod = Pod()
        pod.uid = 1000
        pod.noNewPrivileges = true
        #expect(
            try pod.run(Self.status).text == "1000\nCapEff:0000000000000000\nNoNewPrivs:1\nSeccomp:2\n")
        #expect(try pod.run(["unshare", "--user", "true"]).status != 0)
        pod.seccomp = .unconfined
        #expect(try pod.run(["unshare", "--user", "true"]).status == 0)
    }

    @Test("its exit status is the command's, and it leaves only what was shared")
    func traces() throws {
        let folder = try TemporaryDirectory()
        var pod = Pod()
        pod.shared = [folder.path]
        let outcome = try pod.run(
            ["sh", "-c", "echo x > kept; echo x > /root/imgbuild-pod-test; exit 5"], in: folder.path)
        #expect(outcome.status == 5)
        #expect(exists(folder.appending("kept")))
        #expect(!exists("/root/imgbuild-pod-test"))
    }

    @Test("an image is built in it with chroot isolation")
    func build() throws {
        let site = try BuildSite("FROM busybox\nRUN id -u > /made && test -c /dev/null\n")
        var pod = Pod()
        pod.shared = [site.folder.path, BuildSite.program.removingLastComponent(), try BusyboxImage.shared().layout]
        let outcome = Build(
            try pod.run(
                [BuildSite.program.string] + site.arguments() + ["--no-push"], environment: site.environment(),
                in: site.folder.path))
        #expect(outcome.status == 0, "\(outcome.log)")
        #expect(outcome.log.contains("isolation: chroot"), "\(outcome.log)")
    }
}
