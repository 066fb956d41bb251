import SystemPackage
import TestSupport
import Testing

/// Random Dockerfiles are built without a cache, with a full one, from a registry, and with damaged ones: the image is always the same.
@Suite("Cache property", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct CachePropertyTests {
    /// Each round is another Dockerfile, made of the seed and the round's number.
    private static let rounds = 30

    @Test("caches never change an image, whole, empty or damaged")
    func sameImage() throws {
        let registry = try DockerRegistry()
        // IMGBUILD_TEST_SEED tries other Dockerfiles; a failure names the one to try again.
        let seed = Program.environment()["IMGBUILD_TEST_SEED"].flatMap { UInt64($0) } ?? 17
        for round in 0..<Self.rounds {
            var random = Dice(seed: UInt64(round) &* 7919 &+ seed)
            let dockerfile = Self.dockerfile(&random)
            let site = try BuildSite(dockerfile, files: ["a": "a\n", "b": "bb\n", "dir/c": "c\n", "dir/d": "d\n"])
            func build(_ state: String, _ more: [String]) throws -> String {
                let build = try site.build(
                    ["--timestamp", "1700000000", "--no-push", RunIsolation.possible[0].flag] + more,
                    state: site.folder.appending(state), cached: true)
                try #require(build.status == 0, "seed \(seed), round \(round):\n\(dockerfile)\n\(build.log)")
                return try #require(build.digest)
            }
            let cache = "\(registry.host)/round\(round)"
            let cold = try build("a", ["--cache-to", cache])
            let warm = try build("a", [])
            let damage = Self.damage[random.below(Self.damage.count)]
            try Program.require(["sh", "-c", damage], in: site.folder.appending("a"))
            let damaged = try build("a", [])
            // Every second round finds the registry's layers as they should be.
            if random.below(2) == 0 {
                let layers = "find \(registry.storage)/docker/registry/v2/blobs -name data"
                try Program.require([
                    "sh", "-c", "\(layers) | awk 'NR % 3 == \(random.below(3))' | xargs -r truncate -s 40",
                ])
            }
            let remote = try build("b", ["--cache-from", cache, "--oci-layout-path", "out"])
            #expect(
                [warm, damaged, remote] == [cold, cold, cold],
                "seed \(seed), round \(round), damage '\(damage)':\n\(dockerfile)")
        }
    }

    private static let damage = [
        "ls steps/* | awk 'NR % 2' | xargs -r rm", "ls steps/* | awk 'NR % 2' | xargs -r truncate -s 30",
        "rm -rf steps/*", "ls blobs/sha256/* | awk 'NR % 2' | xargs -r rm",
        "ls blobs/sha256/* | awk 'NR % 2 == 0' | xargs -r truncate -s 100",
        "for f in blobs/sha256/*; do printf x | dd of=$f bs=1 seek=30 conv=notrunc 2>/dev/null; done",
        "rm -rf blobs/sha256/* trees/*", ":",
    ]

    // MARK: Dockerfiles

    private static func dockerfile(_ random: inout Dice) -> String {
        var text = ""
        let stages = 1 + random.below(3)
        for stage in 0..<stages {
            let base = stage > 0 && random.below(3) == 0 ? "s\(random.below(stage))" : "busybox"
            text += "FROM \(base) AS s\(stage)\n"
            for step in 0..<(1 + random.below(5)) { text += Self.step(stage, step, &random) + "\n" }
        }
        return text
    }

    /// Every step gives the same files each time that it is done on the same ones.
    private static func step(_ stage: Int, _ step: Int, _ random: inout Dice) -> String {
        let name = "\(stage)\(step)"
        switch random.below(stage > 0 ? 11 : 9) {
        case 0: return "COPY a b /copied\(name)/"
        case 1: return "COPY dir /dir\(random.below(2))"
        case 2: return "RUN echo \(name) >/made\(name) && mkdir -p /w && cat /made* >/w/all"
        case 3: return "RUN rm -rf /made* /dir0"
        case 4: return "WORKDIR /work/\(random.below(2))"
        case 5: return "ENV KEY\(random.below(2))=\(name)"
        case 6: return "ARG ARG\(name)=1\nRUN echo $ARG\(name) $KEY0 >/env\(name)"
        case 7: return "RUN --mount=type=bind,source=dir,target=/m cat /m/c >/bound\(name)"
        case 8: return "ADD --chmod=600 b /added\(name)"
        case 9: return "COPY --from=s\(random.below(stage)) /etc /etc\(name)"
        default: return "RUN --mount=type=bind,from=s\(random.below(stage)),target=/m ls /m >/listed\(name)"
        }
    }

    /// The same throws for the same seed, everywhere.
    private struct Dice {
        var state: UInt64

        init(seed: UInt64) { state = seed }

        /// Knuth's MMIX constants.
        mutating func below(_ limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % limit
        }
    }
}
