import Glibc
import SystemPackage
import TestSupport
import Testing

/// Builders that die at any moment, several on one state folder.
@Suite("Crashes", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct CrashTests {
    /// Few steps, of every kind that leaves something on disk: a build that takes less long can be killed more often.
    static let dockerfile = """
        FROM busybox AS one
        RUN echo first > /first && mkdir -p /d/e
        FROM one
        COPY --from=one /first /copied/
        COPY file /copied/
        RUN rm -r /d && ln /first /second; test "$(cat /second)" = first
        """

    @Test(
        "after many kills, spread over the builds, the next build makes the same image and leaves nothing behind",
        arguments: [(kills: 200, asRoot: true), (40, false)])
    func killed(kills: Int, asRoot: Bool) throws {
        guard asRoot || OrdinaryUser.isPossible else { return }
        let files = ["file": String(repeating: "text\n", count: 20_000)]
        let site =
            try asRoot ? BuildSite(Self.dockerfile, files: files) : OrdinaryUser.site(Self.dockerfile, files: files)
        let command =
            try asRoot
            ? [BuildSite.program.string] + site.arguments() + ["--no-push"] : OrdinaryUser.command(site, ["--no-cache"])
        func build() throws -> (digest: String?, duration: Duration) {
            let start = ContinuousClock.now
            let build = Build(try Program.run(command, environment: site.environment(), in: site.folder.path))
            try #require(build.status == 0, "\(build.log)")
            return (build.digest, ContinuousClock.now - start)
        }
        let fresh = try build()
        // Four at a time take longer than one alone: a kill may come at any moment of them.
        let length = UInt64(try build().duration / .microseconds(1)) * 2
        try Program.require(["rm", "-rf", site.state.string])
        var random = SplitMix(seed: 0x5eed)
        var killed = 0
        var round = 0
        while killed < kills, round < kills {
            round += 1
            let builds = try (0..<4).map { _ in
                try RunningProgram(command, environment: site.environment(), in: site.folder.path)
            }
            var passed: UInt64 = 0
            for (build, moment) in zip(builds, builds.map({ _ in random.next() % length }).sorted()) {
                usleep(UInt32(moment - passed))
                passed = moment
                build.signal(SIGKILL)
            }
            // What is done by then is not counted.
            for build in builds { killed += try build.wait().status == 137 ? 1 : 0 }
        }
        #expect(killed >= kills)
        #expect(try build().digest == fresh.digest && fresh.digest != nil)
        try site.expectClean()
        #expect(try eventually { try !isRunning("--state-dir", site.state.string) })
        // Whatever is in the store is what its name says, and no tree is a part of one.
        let wrong = try Program.require([
            "sh", "-c", "cd \"$0\" && for f in *; do echo \"$f  $f\"; done | sha256sum --check --quiet",
            site.state.appending("blobs/sha256").string,
        ])
        #expect(wrong.text == "")
        let folders = try Program.require(["sh", "-c", "ls -d \"$0\"/trees*/*", site.state.string]).text
        for folder in folders.split(separator: "\n") { #expect(exists(FilePath("\(folder)/implied")), "\(folder)") }
    }
}
