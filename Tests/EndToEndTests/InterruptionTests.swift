import Glibc
import SystemPackage
import TestSupport
import Testing

/// A build that is stopped in the middle of a RUN, in whatever way, and the builds after it.
@Suite("Interruption", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct InterruptionTests {
    /// A number of seconds that no other test sleeps for, so that the sleeper is found among all processes.
    private static func seconds() -> String { "\(Int.random(in: 1_000_000...99_999_999))" }

    /// Starts a build and returns when its RUN sleeps, in a child of a child.
    private func startSleeping(_ site: BuildSite, _ seconds: String, _ isolation: RunIsolation) throws -> RunningProgram
    {
        try site.folder.write(
            "FROM busybox\nRUN echo first > /first\nRUN (setsid sleep \(seconds) &) ; sleep \(seconds) ; true\n",
            to: "context/Dockerfile")
        let program = try site.start(
            [
                "--no-push", "--dest", "app:1", "--tar-path", site.folder.appending("image.tar").string,
                "--digest-file", site.digestFile.string,
            ]
                + [isolation.flag])
        let sleeps = try eventually { try isRunning("sleep", seconds) || !program.isRunning() }
        let log = try program.errorText()
        try #require(sleeps && program.isRunning(), "\(log)")
        return program
    }

    private func expectNothingMade(_ site: BuildSite, _ seconds: String) throws {
        #expect(try eventually { try !isRunning("sleep", seconds) }, "the command lives on")
        let left = try Program.require(["ls", "-A", site.folder.path.string]).text.split(separator: "\n")
        #expect(left == ["context", "home", "state", "temporary"])
    }

    @Test(
        "SIGTERM and SIGINT end the build and its command with 143 and 130, and nothing is left",
        arguments: RunIsolation.possible, [SIGTERM, SIGINT])
    func signals(_ isolation: RunIsolation, _ signal: CInt) throws {
        let site = try BuildSite()
        let seconds = Self.seconds()
        let program = try startSleeping(site, seconds, isolation)
        program.signal(signal)
        let build = Build(try program.wait(timeout: .seconds(300)))
        #expect(build.status == 128 + signal, "\(build.log)")
        #expect(build.output == "")
        #expect(build.log.hasSuffix("error: the build was interrupted\n"), "\(build.log)")
        try expectNothingMade(site, seconds)
        try site.expectClean()
    }

    @Test(
        "after a builder was killed its command is gone, and the next build succeeds and removes the scratch",
        arguments: RunIsolation.possible)
    func killed(_ isolation: RunIsolation) throws {
        let site = try BuildSite()
        let seconds = Self.seconds()
        let program = try startSleeping(site, seconds, isolation)
        program.signal(SIGKILL)
        #expect(try program.wait().status == 137)
        try expectNothingMade(site, seconds)
        #expect(try site.scratch().count == 1)
        try site.folder.write("FROM busybox\nRUN echo first > /first\nRUN test -f /first\n", to: "context/Dockerfile")
        let after = try site.require(["--no-push", isolation.flag])
        #expect(try after.digest == site.require(state: site.folder.appending("fresh")).digest)
        try site.expectClean()
    }

    @Test(
        "two builds share a state folder at the same time, and the scratch of one survives the start of the other",
        arguments: RunIsolation.possible)
    func sharedState(_ isolation: RunIsolation) throws {
        let site = try BuildSite("FROM busybox\nCOPY file /file\nRUN cp /file /made\n", files: ["file": "text\n"])
        let builds = try (0..<4).map { _ in try site.start(["--no-push", isolation.flag]) }
        let ends = try builds.map { Build(try $0.wait()) }
        for end in ends { #expect(end.status == 0, "\(end.log)") }
        #expect(Set(ends.map(\.digest)).count == 1 && ends[0].digest != nil)
        try site.expectClean()
    }

    @Test("a command that leaves a daemon behind ends with its RUN", arguments: RunIsolation.possible)
    func daemon(_ isolation: RunIsolation) throws {
        let seconds = Self.seconds()
        let site = try BuildSite(
            "FROM busybox\nRUN (setsid sleep \(seconds) >/dev/null 2>&1 &) ; echo left\nRUN echo after\n")
        try site.require(["--no-push", isolation.flag])
        #expect(try !isRunning("sleep", seconds))
        try site.expectClean()
    }
}
