import CSpawn
import Glibc
package import SystemPackage

/// A running program.
///
/// It starts with exactly the arguments, environment and three descriptors of its plan, in a session of its own (no
/// terminal), with standard signal handling. Whoever holds the value waits for it; dropping the value kills it.
package struct ChildProcess: ~Copyable, Sendable {
    package let pid: Int32
    /// Names in the root that steps had to make to mount on them, as absolute paths, outermost first.
    package let createdMountPoints: [FilePath]
    private let pidfd: OwnedDescriptor
    private let statusPipe: OwnedDescriptor
    private let readers: SpawnStreams.Readers
    private let killSignal: Int32
    private let supervised: Bool
    private var reaped = false

    deinit {
        guard !reaped else { return }
        // Not reaped: the pid is still this process, or its corpse.
        _ = imgbuild_pidfd_send_signal(pidfd.raw, killSignal)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    }

    // MARK: Starting

    /// Starts the program of `plan`. It runs when this returns; when it throws, nothing is left.
    package init(_ plan: ProcessPlan) throws(SpawnError) {
        let memory = SpawnMemory()
        let streams: SpawnStreams
        do throws(SystemError) { streams = try SpawnStreams(plan) } catch { throw SpawnError(error) }

        let steps = plan.setUpSteps + plan.commandSteps
        let rawSteps = steps.map { memory.step($0) }
        let kept = steps.flatMap(\.descriptors)
        var raw = spawn_plan()
        raw.clone_flags = plan.namespaces.rawValue
        raw.stdio = (streams.input.raw, streams.output.raw, streams.error.raw)
        raw.kept = UnsafePointer(memory.list(kept))
        raw.kept_count = kept.count
        raw.steps = UnsafePointer(memory.list(rawSteps))
        raw.step_count = rawSteps.count
        raw.supervised = plan.supervised ? 1 : 0
        raw.command_step = plan.setUpSteps.count
        raw.argv = UnsafePointer(memory.strings(plan.arguments))
        raw.envp = UnsafePointer(memory.strings(plan.environment))
        guard let program = plan.arguments.first, !program.isEmpty else {
            throw SpawnError(stage: .execute(""), call: "execve", errno: .noSuchFileOrDirectory)
        }
        guard !memory.heldNul else {
            throw SpawnError(stage: .execute(program), call: "execve", errno: .invalidArgument)
        }

        var child = spawned()
        var call: UnsafePointer<CChar>?
        let result = withExtendedLifetime(memory) { imgbuild_spawn(&raw, &child, &call) }
        guard result == 0 else {
            let failure = Errno(rawValue: Glibc.errno)
            throw SpawnError(stage: .clone, call: call.map { String(cString: $0) } ?? "clone", errno: failure)
        }
        let pidfd = OwnedDescriptor(taking: child.pidfd)
        let status = OwnedDescriptor(taking: child.status)
        let created: [FilePath]
        do throws(SpawnError) {
            created = try SpawnRecord.readStart(from: status, steps: steps, plan: plan)
        } catch {
            _ = imgbuild_pidfd_send_signal(pidfd.raw, SIGKILL)
            var ignored: Int32 = 0
            while waitpid(child.pid, &ignored, 0) < 0 && errno == EINTR {}
            throw error
        }
        pid = child.pid
        createdMountPoints = created
        self.pidfd = pidfd
        statusPipe = status
        readers = streams.parentEnds()
        supervised = plan.supervised
        // The init of a pid namespace takes the namespace along; a supervisor without one must do the killing itself.
        killSignal = plan.supervised && !plan.namespaces.contains(.processes) ? SIGUSR1 : SIGKILL
    }

    // MARK: Ending

    /// Sends a signal; a process that has ended already is a success.
    package func signal(_ number: Int32) throws(SystemError) {
        guard imgbuild_pidfd_send_signal(pidfd.raw, number) == 0 || errno == ESRCH else {
            throw .last("pidfd_send_signal")
        }
    }

    /// Kills the program, and with supervision everything it started.
    package func kill() throws(SystemError) {
        try signal(killSignal)
    }

    package enum Stream: Sendable { case output, error }

    package enum Interruption: Sendable, Hashable { case cancelled, timedOut }

    package struct Ending: Sendable, Hashable {
        package let status: ProcessStatus
        /// Why the process was asked to end, if it was.
        package let interruption: Interruption?
    }

    /// Waits for the end, handing on what comes through the pipes of the plan.
    ///
    /// After `cancellation`, `deadline` or `silence` the program gets SIGTERM, and `grace` later it is killed.
    /// - Parameters:
    ///   - silence: how long the program may write nothing into its pipes.
    ///   - receive: called on this thread with each piece of output, in order per stream.
    package mutating func wait(
        deadline: ContinuousClock.Instant? = nil, silence: Duration? = nil, cancellation: Cancellation? = nil,
        grace: Duration = .seconds(10), receive: (Stream, UnsafeRawBufferPointer) -> Void = { _, _ in }
    ) throws(SystemError) -> Ending {
        // Bytes: what a pipe holds.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { buffer.deallocate() }
        var outputs = [pollfd(fd: raw(readers.output), events: Int16(POLLIN), revents: 0)]
        outputs.append(pollfd(fd: raw(readers.error), events: Int16(POLLIN), revents: 0))
        var interruption: Interruption?
        var killAt: ContinuousClock.Instant?
        var heard = ContinuousClock.now
        while true {
            if interruption == nil {
                if cancellation?.isCancelled == true { interruption = .cancelled }
                let now = ContinuousClock.now
                if let deadline, now >= deadline { interruption = .timedOut }
                if let silence, now >= heard + silence { interruption = .timedOut }
                if interruption != nil {
                    try signal(SIGTERM)
                    killAt = ContinuousClock.now + grace
                }
            } else if let time = killAt, ContinuousClock.now >= time {
                try kill()
                killAt = nil
            }
            var events = outputs + [pollfd(fd: pidfd.raw, events: Int16(POLLIN), revents: 0)]
            // 50 milliseconds: how late a cancellation may be noticed. An end or output wakes at once.
            let attentive = cancellation != nil || deadline != nil || silence != nil || killAt != nil
            guard poll(&events, nfds_t(events.count), attentive ? 50 : -1) >= 0 || errno == EINTR else {
                throw .last("poll")
            }
            let ended = events[2].revents != 0
            for (index, stream) in [Stream.output, .error].enumerated() where ended || events[index].revents != 0 {
                repeat {
                    let count = Glibc.read(outputs[index].fd, buffer.baseAddress, buffer.count)
                    if count > 0 {
                        if silence != nil { heard = ContinuousClock.now }
                        receive(stream, UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    }
                    // The end, or a failure that would come back for ever: no more from this one.
                    if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { outputs[index].fd = -1 }
                    if count < 0 && errno == EAGAIN { break }
                } while ended && outputs[index].fd >= 0
            }
            if ended { return Ending(status: try reap(), interruption: interruption) }
        }
    }

    private mutating func reap() throws(SystemError) -> ProcessStatus {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { throw .last("waitpid") }
        }
        reaped = true
        let own = ProcessStatus(waitStatus: status)
        guard supervised else { return own }
        // A supervisor that was killed has written nothing: its own end is the answer.
        return try SpawnRecord.readEnd(from: statusPipe) ?? own
    }

    private func raw(_ descriptor: borrowing OwnedDescriptor?) -> Int32 {
        switch descriptor {
        case .some(let descriptor): descriptor.raw
        case .none: -1
        }
    }

    // MARK: All at once

    package struct Captured: Sendable {
        package let ending: Ending
        package let output: [UInt8]
        package let error: [UInt8]
        /// Whether a stream wrote more than was kept.
        package let truncated: Bool
    }

    /// Runs a program to its end and keeps what it wrote.
    ///
    /// - Parameter limit: bytes kept of each stream; what comes after is read and dropped.
    package static func run(
        _ plan: ProcessPlan, capturing limit: Int, timeout: Duration? = nil, cancellation: Cancellation? = nil,
        grace: Duration = .seconds(10)
    ) throws(SpawnError) -> Captured {
        var plan = plan
        plan.output = .pipe
        plan.error = .pipe
        var child = try ChildProcess(plan)
        var output: [UInt8] = []
        var error: [UInt8] = []
        var truncated = false
        func keep(_ bytes: UnsafeRawBufferPointer, in kept: inout [UInt8]) {
            if kept.count + bytes.count > limit { truncated = true }
            kept.append(contentsOf: bytes.prefix(limit - kept.count))
        }
        do throws(SystemError) {
            let ending = try child.wait(
                deadline: timeout.map { ContinuousClock.now + $0 }, cancellation: cancellation, grace: grace
            ) { stream, bytes in
                switch stream {
                case .output: keep(bytes, in: &output)
                case .error: keep(bytes, in: &error)
                }
            }
            return Captured(ending: ending, output: output, error: error, truncated: truncated)
        } catch {
            throw SpawnError(error)
        }
    }
}
