import Glibc
import SystemIO
import SystemPackage
import Testing

/// What the tests of the sandbox cannot see: how a supervisor begins and ends. Here commands have the builder's own root.
@Suite("A supervisor of /proc", .enabled(if: CommandRights.refusal == nil, "needs a seccomp listener"))
struct ProcSupervisorTests {
    private func supervisor() throws -> ProcSupervisor {
        let root = try Directory(opening: "/")
        return try ProcSupervisor(
            root: root, skeleton: root, servesDevices: false, capabilities: CommandRights.supervisor)
    }

    private func plan(_ script: String, _ supervisor: ProcSupervisor) -> ProcessPlan {
        var plan = ProcessPlan(["/bin/sh", "-c", script], environment: ["PATH=/usr/bin:/bin"])
        plan.commandSteps =
            [.dropCapabilities(keeping: CommandRights.command)] + supervisor.steps
        return plan
    }

    @Test("answers for the list of mounts, and tells what it did")
    func answers() throws {
        let supervisor = try supervisor()
        let result = try ChildProcess.run(plan("cat /proc/self/mounts | wc -l", supervisor), capturing: 1000)
        #expect(String(decoding: result.output, as: UTF8.self) == "2\n")
        let report = try supervisor.finish()
        #expect(report.answered >= 1 && report.calls > report.answered)
    }

    @Test("ends without a command, and after one that could not be started")
    func unused() throws {
        #expect(try supervisor().finish().calls == 0)
        let supervisor = try supervisor()
        var plan = plan("true", supervisor)
        plan.commandSteps.insert(.changeDirectory("/no/such/folder"), at: 0)
        #expect(throws: SpawnError.self) { _ = try ChildProcess(plan) }
        #expect(try supervisor.finish().calls == 0)
    }

    @Test("when it ends before the command, the command fails and does not wait")
    func death() throws {
        let supervisor = try supervisor()
        var plan = plan("read line; cat /etc/passwd", supervisor)
        plan.error = .pipe
        // Held until the supervisor is gone.
        var ends: [Int32] = [-1, -1]
        try #require(pipe2(&ends, O_CLOEXEC) == 0)
        let reader = OwnedDescriptor(taking: ends[0])
        let writer = OwnedDescriptor(taking: ends[1])
        plan.input = .descriptor(reader.raw)
        var child = try ChildProcess(plan)
        _ = try supervisor.finish()
        try writer.writeAll(Array("\n".utf8))
        var error: [UInt8] = []
        let ending = try child.wait { _, bytes in error.append(contentsOf: bytes) }
        #expect(!ending.status.isSuccess)
        #expect(String(decoding: error, as: UTF8.self) != "")
    }
}

/// What a command and its supervisor may do in these tests: fewer than all, and the command one less.
enum CommandRights {
    static let supervisor = CapabilitySet(numbers: [0, 1, 3, 4, 5, 6, 7])
    static let command = supervisor.subtracting(CapabilitySet(numbers: [5]))
    static let refusal = ProcSupervisor.refusal(command: command, supervisor: supervisor)
}
