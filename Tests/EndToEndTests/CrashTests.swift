import Glibc
import SystemPackage
import TestSupport
import Testing

/// Builders that die at any moment, several on one state folder.
@Suite("Crashes", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct CrashTests {
    static let dockerfile = """
        FROM busybox AS one
        RUN echo first > /first && mkdir -p /d/e && rm -rf /tmp/x
        COPY file /copied
        FROM one
        COPY --from=one /first /again
        RUN rm -r /d && ln /first /second; cat /copied > /made
        RUN test "$(cat /second)" = first && test ! -e /d
        """

    @Test("after many kills, spread over the builds, the next build makes the same image and leaves nothing behind")
    func killed() throws {
        let site = try BuildSite(Self.dockerfile, files: ["file": String(repeating: "text\n", count: 20_000)])
        let fresh = try site.require(state: site.folder.appending("fresh"))
        let start = ContinuousClock.now
        try site.require(state: site.folder.appending("fresh"))
        // Four at a time take longer than one alone: a kill may come at any moment of them.
        let length = UInt64((ContinuousClock.now - start) / .microseconds(1)) * 2
        var random = SplitMix(state: 0x5eed)
        var killed = 0
        var round = 0
        while killed < 200, round < 150 {
            round += 1
            let builds = try (0..<4).map { _ in try site.start(["--no-push"]) }
            var passed: UInt64 = 0
            for (build, moment) in zip(builds, builds.map({ _ in random.next() % length }).sorted()) {
                usleep(UInt32(moment - passed))
                passed = moment
                build.signal(SIGKILL)
            }
            // What is done by then is not counted.
            for build in builds { killed += try build.wait().status == 137 ? 1 : 0 }
        }
        #expect(killed >= 200)
        let after = try site.require()
        #expect(after.digest == fresh.digest && after.digest != nil)
        try site.expectClean()
        #expect(try eventually { try !isRunning("--state-dir", site.state.string) })
        // Whatever is in the store is what its name says, and no tree is a part of one.
        let wrong = try Program.require([
            "sh", "-c", "cd \"$0\" && for f in *; do echo \"$f  $f\"; done | sha256sum --check --quiet",
            site.state.appending("blobs/sha256").string,
        ])
        #expect(wrong.text == "")
        let trees = site.state.appending("trees").string
        let names = try Program.require(["ls", trees]).text.split(separator: "\n")
        for name in names { #expect(exists(FilePath("\(trees)/\(name)/implied")), "\(name)") }
    }
}

/// https://prng.di.unimi.it/splitmix64.c: the same numbers everywhere.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
