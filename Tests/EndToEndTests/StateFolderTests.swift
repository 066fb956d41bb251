import Glibc
import SystemPackage
import TestSupport
import Testing

/// The state folder: what may go wrong with it, what it keeps, and how it is pruned.
@Suite("State folder", .enabled(if: isRoot && RunIsolation.possible.contains(.overlay), "needs root that may mount"))
struct StateFolderTests {
    /// Runs a script with `build` as a function: a build whose state folder is `state`, and which says how it ended.
    private func run(_ site: BuildSite, _ script: String) throws -> [String] {
        let arguments = try site.arguments().map { "'\($0)'" }.joined(separator: " ")
        let outcome = try Program.require(
            [
                "unshare", "--mount", "bash", "-c",
                "mkdir -p state; build() { \(BuildSite.program) \(arguments) --no-push \"$@\" >>out 2>>log; echo $?; }\n\(script)",
            ], environment: site.environment(), in: site.folder.path)
        return outcome.text.split(separator: "\n").map(String.init)
    }

    private func log(_ site: BuildSite) throws -> String { try text(of: site.folder.appending("log")) }

    @Test("a full disk is said to be full, and with room again the same folder serves")
    func fullDisk() throws {
        let site = try BuildSite("FROM busybox\nCOPY big /big\nRUN cp /big /bigger && rm /big\n")
        // Bytes that no compressor makes smaller.
        try Program.require(
            ["sh", "-c", "head -c 9000000 /dev/urandom > \"$0/big\"", site.context.string])
        let ends = try run(
            site,
            """
            mount -t tmpfs -o size=12m none state; build; build
            mount -o remount,size=100m state; build; ls state/work | wc -l
            """)
        #expect(ends == ["1", "1", "0", "0"])
        #expect(try log(site).contains("No space left on device"))
    }

    @Test("a read-only state folder is named, and so is one that is no folder")
    func readOnly() throws {
        let site = try BuildSite("FROM busybox\nRUN true\n")
        #expect(
            try run(
                site,
                "build; mount --bind state state; mount -o remount,ro,bind state; build; umount state; rm -r state; touch state; build; rm state"
            )
                == ["0", "1", "1"])
        let log = try log(site)
        #expect(
            log.contains("Read-only file system") && log.contains("Not a directory") && log.contains(site.state.string))
    }

    @Test("too few descriptors are an error, never a crash, and leave the state sound")
    func descriptors() throws {
        let site = try BuildSite("FROM busybox\nCOPY Dockerfile /a\nRUN echo x > /x\n")
        let ends = try run(
            site,
            "for n in 8 10 12 14 16 18 20 22 24 28 32 40 48; do (ulimit -n $n; build); done; build; ls state/work | wc -l"
        )
        #expect(ends.dropLast(2).allSatisfy { $0 == "0" || $0 == "1" }, "\(ends)")
        #expect(ends.first == "1" && ends.suffix(2) == ["0", "0"])
        #expect(try log(site).contains("Too many open files"))
    }

    @Test("too little memory is an error or a death, never a wait, and leaves the state sound")
    func memory() throws {
        let site = try BuildSite("FROM busybox\nCOPY Dockerfile /a\nRUN echo x > /x\n")
        let ends = try run(
            site,
            """
            ulimit -c 0
            limited() { \(BuildSite.program) \(try site.arguments().map { "'\($0)'" }.joined(separator: " ")) --no-push >>out 2>>log; echo $?; }
            export -f limited
            for n in 200 256 270 280 290 300 320 340 360 400 450 500 600 1500; do
                (ulimit -v $((n * 1024)); timeout 60 bash -c limited || echo $?)
            done
            build; ls state/work | wc -l
            """)
        #expect(!ends.contains("124"), "\(ends)")
        #expect(ends.first == "1" && ends.suffix(3) == ["0", "0", "0"], "\(ends)")
        #expect(try log(site).contains("the limit on address space, 204800 kB, is below 262144 kB"))
    }

    @Test("a layer larger than all memory that there is can be made")
    func largeLayer() throws {
        let site = try BuildSite("FROM busybox\nRUN truncate -s 4000M /big\n")
        // kB: 3 GiB
        let ends = try run(site, "ulimit -v 3145728; build")
        let text = try log(site)
        #expect(ends == ["0"], "\(text)")
    }

    @Test("a tree that was made before the machine was started anew is not believed, and made again")
    func otherBoot() throws {
        let site = try BuildSite("FROM busybox\nRUN cat /etc/passwd > /copy\n")
        let first = try site.require()
        let trees = site.state.appending("trees").string
        // What a loss of power can leave: names without content.
        let torn = "cd \"$0\"; for t in *; do echo other > $t/boot; find $t/root -type f -exec truncate -s 0 {} +; done"
        try Program.require(["sh", "-c", torn, trees])
        #expect(try site.require().digest == first.digest)
        let empty = try Program.require(["find", trees, "-name", "passwd", "-size", "0"]).text
        #expect(empty == "")
        #expect(
            try Program.require(["sh", "-c", "for t in \"$0\"/*; do cat $t/boot; echo; done | sort -u | wc -l", trees])
                .text == "1\n")
        try site.expectClean()
    }

    @Test("more layers than are stacked at a time are merged, deletions and all")
    func manyLayers() throws {
        var lines = ["FROM busybox"]
        for number in 0..<150 {
            lines.append("COPY file /f\(number)")
            if number == 70 { lines.append("RUN rm /f3 && mkdir /d && echo x > /d/x && chown 5 /d") }
            if number == 90 { lines.append("RUN rm -r /d && mkdir /d && ln /f4 /hard") }
        }
        lines.append("RUN ls / | wc -l; ls /d; test ! -e /f3 && cat /f0 /f149 /hard && rm /f149 && echo y > /f0")
        let site = try BuildSite(lines.joined(separator: "\n") + "\n", files: ["file": "text\n"])
        let merged = try site.require()
        #expect(merged.log.contains("text\ntext\ntext\n"), "\(merged.log)")
        let names = try Program.require(["ls", site.state.appending("trees").string]).text
        #expect(names.split(separator: "\n").contains { $0.hasPrefix("merged-") })
        #expect(try site.require().digest == merged.digest)
        if RunIsolation.possible.contains(.chroot) {
            let flat = try site.require(["--no-push", "--isolation=chroot"], state: site.folder.appending("flat"))
            #expect(flat.digest == merged.digest)
        }
        try site.expectClean()
    }

    // MARK: Pruning

    private func prune(_ site: BuildSite, _ arguments: String...) throws -> Build {
        Build(
            try Program.run(
                [BuildSite.program.string, "prune", "--state-dir", site.state.string] + arguments,
                environment: site.environment(), in: site.folder.path))
    }

    private func kinds(_ build: Build) -> [String] {
        build.output.split(separator: "\n").map { String($0.prefix { $0 != "\t" }) }.sorted()
    }

    @Test("prune --all frees blobs, trees and caches; --dry-run tells the same and frees nothing")
    func pruneAll() throws {
        let site = try BuildSite(
            "FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/x && echo y > /y\n")
        let first = try site.require()
        let told = try prune(site, "--all", "--dry-run")
        #expect(kinds(told) == ["blob", "blob", "cache", "step", "step", "tree", "tree"], "\(told.output)")
        #expect(told.log.hasPrefix("would free "))
        #expect(try prune(site, "--all", "--dry-run").output == told.output)
        let freed = try prune(site, "--all")
        #expect(freed.status == 0 && freed.output == told.output, "\(freed.log)")
        let left = try Program.require(["find", site.state.string, "-type", "f"]).text
        #expect(left == "\(site.state)/lock\n")
        #expect(try site.require().digest == first.digest)
        try site.expectClean()
    }

    @Test("by age and by size the least recently used goes first")
    func pruneSome() throws {
        let site = try BuildSite("FROM busybox\nRUN echo y > /y\n")
        try site.require()
        let trees = site.state.appending("trees").string
        #expect(try prune(site, "--older-than", "1h").output == "")
        try Program.require(["sh", "-c", "touch -d '2 hours ago' \"$0\"/*", trees])
        #expect(try kinds(prune(site, "--older-than", "1h", "--dry-run")) == ["tree", "tree"])
        let bySize = try prune(site, "--keep-size", "1500kB")
        #expect(Set(kinds(bySize)).contains("tree") && bySize.log.contains("stay"), "\(bySize.log)")
        #expect(try prune(site, "--keep-size", "1500kB").output == "")
        for wrong in [["--older-than", "7"], ["--keep-size", "1"], []] {
            let refused = try Program.run(
                [BuildSite.program.string, "prune", "--state-dir", site.state.string] + wrong)
            #expect(refused.status == 64, "\(wrong)")
        }
    }

    @Test("what a build is using stays, and what a dead one has left goes")
    func pruneBesideBuilds() throws {
        let site = try BuildSite("FROM busybox\nRUN echo one > /one\n")
        try site.require()
        let seconds = "\(Int.random(in: 1_000_000...99_999_999))"
        try site.folder.write(
            "FROM busybox\nRUN touch /started; i=0; while [ ! -e /etc/go\(seconds) ] && [ $i -lt 30 ]; do i=$((i+1)); sleep 0.1; done; echo \(seconds) > /two\nRUN cat /two /etc/passwd\n",
            to: "context/Dockerfile")
        let program = try site.start(["--no-push"])
        #expect(try eventually { try program.errorText().contains("RUN touch") && isRunning("sleep", "0.1") })
        let beside = try prune(site, "--all")
        #expect(beside.status == 0 && beside.log.contains("in use"), "\(beside.log)")
        // The layer that only the first build had is gone; the base, which is mounted now, is not.
        #expect(kinds(beside).contains("tree"), "\(beside.output)")
        #expect(try Program.require(["ls", site.state.appending("trees").string]).text != "")
        let build = Build(try program.wait())
        #expect(build.status == 0, "\(build.log)")

        let dying = try site.start(["--no-push"])
        #expect(try eventually { try isRunning("sleep", "0.1") || !dying.isRunning() })
        dying.signal(SIGKILL)
        _ = try dying.wait()
        #expect(try kinds(prune(site, "--older-than", "1w", "--dry-run")) == ["scratch"])
        #expect(try kinds(prune(site, "--older-than", "1w")) == ["scratch"])
        try site.expectClean()
    }
}
