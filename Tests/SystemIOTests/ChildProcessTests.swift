import Glibc
import SystemIO
import SystemPackage
import Testing

@Suite("A child process")
struct ChildProcessTests {
    static let environment = ["PATH=/usr/bin:/bin"]

    func run(_ script: String, timeout: Duration? = nil, grace: Duration = .seconds(10)) throws -> ChildProcess.Captured
    {
        let plan = ProcessPlan(["sh", "-c", script], environment: Self.environment)
        return try ChildProcess.run(plan, capturing: 1 << 20, timeout: timeout, grace: grace)
    }

    @Test(
        "its status is passed exactly",
        arguments: [
            ("exit 0", ProcessStatus.exited(0)), ("exit 7", .exited(7)), ("exit 127", .exited(127)),
            ("exit 255", .exited(255)), ("kill -9 $$", .signaled(9)), ("kill -TERM $$", .signaled(15)),
        ])
    func status(script: String, expected: ProcessStatus) throws {
        #expect(try run(script).ending.status == expected)
        var plan = ProcessPlan(["sh", "-c", script], environment: Self.environment)
        plan.supervised = false
        #expect(try ChildProcess.run(plan, capturing: 10).ending.status == expected)
    }

    @Test("both streams are read while both are written")
    func noDeadlock() throws {
        let result = try run("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero")
        #expect(result.output.count == 600_000)
        #expect(result.error.count == 300_000)
        #expect(!result.truncated)
    }

    @Test("what is beyond the limit is dropped, and said")
    func limit() throws {
        let plan = ProcessPlan(["sh", "-c", "head -c 100000 /dev/zero"], environment: Self.environment)
        let result = try ChildProcess.run(plan, capturing: 1000)
        #expect(result.output.count == 1000)
        #expect(result.truncated)
        #expect(result.ending.status == .exited(0))
    }

    @Test("it gets the given bytes, environment and folder, and nothing else")
    func surroundings() throws {
        var plan = ProcessPlan(
            ["sh", "-c", "cat; /usr/bin/env; pwd; ls /proc/self/fd"], environment: ["PATH=/bin", "A=b c"],
            workingDirectory: "/usr/lib")
        plan.input = .bytes(Array("input\n".utf8))
        // A descriptor without close-on-exec, as a careless library leaves it.
        let leak = open("/dev/null", O_RDONLY)
        defer { close(leak) }
        let result = try ChildProcess.run(plan, capturing: 1 << 16)
        var lines = String(decoding: result.output, as: UTF8.self).split(separator: "\n").map(String.init)
        #expect(lines.removeFirst() == "input")
        // PWD is the shell's own; 3 is the folder that ls reads.
        #expect(Set(lines) == ["PATH=/bin", "A=b c", "PWD=/usr/lib", "/usr/lib", "0", "1", "2", "3"])
    }

    @Test(
        "a program that cannot be started is told by what is wrong with it",
        arguments: [
            ("no-such-program", "executable 'no-such-program' not found in $PATH"),
            ("/no/such", "executable '/no/such' does not exist"),
            ("/etc/passwd", "cannot execute '/etc/passwd': Permission denied"),
            ("/tmp", "cannot execute '/tmp': Permission denied"),
        ])
    func notStarted(program: String, message: String) throws {
        for supervised in [true, false] {
            var plan = ProcessPlan([program], environment: Self.environment)
            plan.supervised = supervised
            let error = #expect(throws: SpawnError.self) { _ = try ChildProcess.run(plan, capturing: 10) }
            #expect(error?.description == message)
        }
    }

    @Test("a step that fails is named")
    func failingStep() throws {
        let plan = ProcessPlan(["true"], environment: Self.environment, workingDirectory: "/no/such")
        let error = #expect(throws: SpawnError.self) { _ = try ChildProcess.run(plan, capturing: 10) }
        #expect(error?.description == "change to the folder /no/such: chdir: No such file or directory")
    }

    @Test("an argument with a NUL is refused, not cut")
    func nul() throws {
        let plan = ProcessPlan(["echo", "a\0b"], environment: Self.environment)
        let error = #expect(throws: SpawnError.self) { _ = try ChildProcess.run(plan, capturing: 10) }
        #expect(error?.errno == .invalidArgument)
    }

    /// Long enough for a shell to start and set its trap, on a machine that has much else to do.
    static let trapIsSet = Duration.seconds(4)

    @Test("after its time it gets SIGTERM")
    func timeout() throws {
        let result = try run("trap 'echo bye; exit 3' TERM; sleep 60 & wait", timeout: Self.trapIsSet)
        #expect(result.ending.status == .exited(3))
        #expect(result.ending.interruption == .timedOut)
        #expect(result.output == Array("bye\n".utf8))
    }

    @Test("one that says nothing for too long is ended; what it said before is kept")
    func silence() throws {
        var plan = ProcessPlan(["sh", "-c", "echo said; sleep 1000"], environment: Self.environment)
        plan.output = .pipe
        var child = try ChildProcess(plan)
        var said: [UInt8] = []
        let ending = try child.wait(silence: Self.trapIsSet) { _, bytes in said += bytes }
        #expect(ending.interruption == .timedOut)
        #expect(said == Array("said\n".utf8))
    }

    @Test("one that does not listen is killed when its grace is over")
    func grace() throws {
        let result = try run(
            "trap '' TERM; while :; do sleep 1; done", timeout: Self.trapIsSet, grace: .milliseconds(300))
        #expect(result.ending.status == .signaled(9))
        #expect(result.ending.interruption == .timedOut)
    }

    @Test("what it leaves behind in another session is killed, and does not hold its output open")
    func daemon() throws {
        let start = ContinuousClock.now
        let result = try run("setsid sh -c 'sleep 600' & setsid -f sleep 601; echo $!")
        #expect(ContinuousClock.now - start < .seconds(300), "the sleepers' time is 600 seconds")
        let pid = try #require(Int32(String(decoding: result.output, as: UTF8.self).dropLast()))
        #expect(kill(pid, 0) == -1 && errno == ESRCH)
    }

    @Test("dropping it kills it and its children")
    func drop() throws {
        let pid: Int32
        do {
            let child = try ChildProcess(
                ProcessPlan(["sh", "-c", "sleep 60 & sleep 60"], environment: Self.environment))
            pid = child.pid
            #expect(kill(pid, 0) == 0)
        }
        #expect(kill(pid, 0) == -1 && errno == ESRCH)
    }

    @Test("signals that we ignore or block are standard in it")
    func signals() throws {
        let before = signal(SIGUSR2, SIG_IGN)
        defer { signal(SIGUSR2, before) }
        let result = try run("grep -E 'Sig(Blk|Ign)' /proc/self/status")
        let text = String(decoding: result.output, as: UTF8.self)
        #expect(text == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n")
    }
}
