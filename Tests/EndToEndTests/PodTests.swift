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

    private func build(_ dockerfile: String, in pod: Pod, environment: [String: String] = [:]) throws -> Build {
        let site = try BuildSite(dockerfile)
        for folder in [site.folder.path, try BusyboxImage.shared().layout.removingLastComponent()] {
            try Program.require(["chmod", "-R", "a+rwX", folder.string])
        }
        var pod = pod
        pod.shared = [site.folder.path, BuildSite.program.removingLastComponent(), try BusyboxImage.shared().layout]
        return Build(
            try pod.run(
                [BuildSite.program.string] + site.arguments() + ["--no-push"],
                environment: site.environment(adding: environment),
                in: site.folder.path))
    }

    /// Fails where /proc is not the command's own, or tells of the pod.
    static let dockerfile = """
        FROM busybox
        RUN test -c /dev/null && readlink /proc/self/exe | grep ^/bin/ && grep -q ^Name: /proc/self/status
        RUN echo written > /dev/stdout && ! cat /proc/1/comm
        USER 1000
        RUN readlink /proc/self/exe | grep ^/bin/ && ! cat /proc/1/comm
        """

    @Test("an image is built in it with chroot isolation, where a RUN has a /proc of its own")
    func build() throws {
        let build = try build(Self.dockerfile, in: Pod())
        #expect(build.status == 0, "\(build.log)")
        #expect(build.log.contains("isolation: chroot"), "\(build.log)")
        #expect(build.log.contains("written\n") && !build.log.contains("warning"), "\(build.log)")
    }

    @Test(
        "where only the pod's own /proc can be shown, a RUN learns nothing from it that others keep to themselves",
        arguments: [0, 1000])
    func sharedProcesses(uid: UInt32) throws {
        var pod = Pod()
        (pod.uid, pod.seccomp) = (uid, .unconfined)
        // The builder is process 1 of the pod. `mem` is no test: opening it says less than `environ`.
        let build = try build(
            """
            FROM busybox
            RUN test -d /proc/1 && readlink /proc/self/exe && ! cat /proc/1/environ && ! readlink /proc/1/fd/0 && ! ls /proc/1/root/
            RUN ! grep -l IMGBUILD_POD_TEST /proc/[0-9]*/environ && for p in /proc/[0-9]*; do \
                test "$(readlink $p/root)" = / || test "$(readlink $p/root)" = ""; done
            RUN sleep 1000 & echo left
            """, in: pod, environment: ["IMGBUILD_POD_TEST": "secret"])
        #expect(build.status == 0, "\(build.log)")
        #expect(build.log.contains("isolation: overlay in a user namespace"), "\(build.log)")
    }

    @Test("a RUN has it also where memory of other processes can be read through files only")
    func withoutProcessCalls() throws {
        var pod = Pod()
        pod.refused = ["process_vm_readv", "process_vm_writev"]
        let build = try build(Self.dockerfile, in: pod)
        #expect(build.status == 0, "\(build.log)")
    }

    @Test("a profile that refuses a filter of our own costs /proc, which is told, and nothing else")
    func withoutSeccomp() throws {
        var pod = Pod()
        pod.refused = ["seccomp"]
        let build = try build("FROM busybox\nRUN test -c /dev/null && ! test -e /proc/self\n", in: pod)
        #expect(build.status == 0, "\(build.log)")
        #expect(
            build.log.contains(
                "warning: /proc is empty for RUN: install a filter of system calls: seccomp: Operation not permitted."),
            "\(build.log)")
    }

    @Test("devices answer also where no node can be made")
    func withoutDevices() throws {
        var pod = Pod()
        pod.capabilities = .named([
            "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SYS_CHROOT",
        ])
        let build = try build(
            "FROM busybox\nRUN echo gone > /dev/null && head -c 3 /dev/zero | wc -c && test ! -s /dev/null && ls /dev\n",
            in: pod)
        #expect(build.status == 0, "\(build.log)")
        #expect(build.log.contains("\n3\n"), "\(build.log)")
    }
}
