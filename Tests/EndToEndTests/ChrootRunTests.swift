import Glibc
import SystemPackage
import TestSupport
import Testing

/// A RUN whose `/proc` is served by imgbuild.
@Suite("RUN in a chroot", .enabled(if: RunIsolation.possible.contains(.chroot), "needs root with CAP_SYS_CHROOT"))
struct ChrootRunTests {
    @Test("one that failed and ran a set-uid program is told why that got no rights")
    func setID() throws {
        let site = try BuildSite(
            "FROM busybox\nRUN cp /bin/busybox /tmp/ && chmod 4755 /tmp/busybox\nUSER 1000\nRUN /tmp/busybox id -u && exit 9\n"
        )
        let build = try site.build(["--no-push", RunIsolation.chroot.flag])
        #expect(build.status == 9)
        #expect(
            build.log.contains(
                "hint: it ran '/tmp/busybox', and with chroot isolation set-uid and set-gid programs get no other ids: use USER instead"
            ), "\(build.log)")
    }

    @Test("when the builder is killed its command ends, though nobody answers its calls any more")
    func killed() throws {
        let marker = "89\(UInt32.random(in: 100_000...999_999))"
        let site = try BuildSite(
            "FROM busybox\nRUN touch /\(marker); sleep \(marker) & while :; do cat /proc/self/comm; done\n")
        let build = try site.start(["--no-push", RunIsolation.chroot.flag])
        #expect(try eventually { try isRunning("sleep", marker) })
        build.signal(SIGKILL)
        #expect(try build.wait().status == 137)
        #expect(try eventually { try !isRunning("sleep", marker) })
        // What it lent to the tree goes with the scratch folder, at the next start.
        try site.folder.write("FROM busybox\nRUN ! test -e /\(marker)\n", to: "context/Dockerfile")
        try site.require(["--no-push", RunIsolation.chroot.flag])
        try site.expectClean()
    }

    @Test("how many calls were answered is told to who asks for details")
    func counts() throws {
        let site = try BuildSite("FROM busybox\nRUN cat /proc/self/comm\n")
        let build = try site.require(["--no-push", RunIsolation.chroot.flag, "--verbosity=debug"])
        #expect(
            build.log.contains(try Regex("/proc: [0-9]+ calls looked at, [1-9][0-9]* answered, [0-9]+ unreadable\n")))
    }
}
