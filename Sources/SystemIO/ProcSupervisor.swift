import CSpawn
import CSupervisor
import Glibc
package import SystemPackage

/// Gives one command in a chroot a `/proc`, where none can be mounted: calls that name its files are answered by a thread of the
/// builder (`CSupervisor.h`). Works from `init` until `finish()`, which must be called.
///
/// The thread reads memory and files of the command, and for that needs its ids and at least its capabilities. The command must have fewer
/// than the builder: then the kernel keeps it out of the builder and of everything else in the pod that has all of them.
package final class ProcSupervisor: Sendable {
    /// What a supervisor saw and did.
    package struct Report: Sendable, Hashable {
        /// Calls that were stopped, and how many of them the kernel did not go on with.
        package var calls: UInt64 = 0
        package var answered: UInt64 = 0
        /// Calls that were left to the kernel, as the caller's memory could not be read.
        package var unreadable: UInt64 = 0
        /// The first program that was executed for its set-uid or set-gid bit, and got nothing by it.
        package var setIDProgram: FilePath?
    }

    /// What a command does last before its program starts.
    package var steps: [SpawnStep] { [.setNoNewPrivileges, .filterCalls(Self.filter, socket: ends.theirs.raw)] }

    private let ends: Ends
    private let work: Work

    /// - Parameters:
    ///   - root: the command's root.
    ///   - skeleton: the folder that is its `/proc`; see `ProcSkeleton`.
    ///   - servesDevices: whether the builder's null, zero, full, random and urandom answer for those of the root.
    ///   - capabilities: what the thread keeps of its own: those of the command, and one more.
    package init(
        root: Directory, skeleton: Directory, servesDevices: Bool, capabilities: CapabilitySet
    ) throws(SystemError) {
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &pair) == 0 else { throw .last("socketpair") }
        let ours = OwnedDescriptor(taking: pair[0])
        ends = Ends(theirs: OwnedDescriptor(taking: pair[1]))
        work = try Work(
            socket: ours, root: root, skeleton: skeleton, servesDevices: servesDevices, capabilities: capabilities)
        BlockingPool.detach { [work] in work.run() }
    }

    /// Ends the work; to be called when the command has ended, or was never started. Waits for the thread.
    ///
    /// - Throws: where the supervisor had to give up earlier. The command's `/proc` was gone from then on.
    package func finish() throws(SystemError) -> Report {
        try work.finish()
    }

    private struct Ends: ~Copyable, Sendable {
        let theirs: OwnedDescriptor
    }

    private static let filter = CallFilter(keepsOwners: false)

    /// What the thread works with; it lives until both the thread and the owner are done.
    private final class Work: @unchecked Sendable {
        // Closed by the thread when it ends: a listener that is still on its way is closed with it.
        private var socket: OwnedDescriptor?
        // A pipe: when its writer is closed the thread ends.
        private let stop: OwnedDescriptor
        private var stopper: OwnedDescriptor?
        private let root: Directory
        private let skeleton: Directory
        private var plan = supervisor_plan()
        private let ended = Semaphore()
        // Given to the thread, and read again after `ended`.
        private var report = supervisor_report()
        private var failure: SystemError?

        init(
            socket: consuming OwnedDescriptor, root: Directory, skeleton: Directory, servesDevices: Bool,
            capabilities: CapabilitySet
        ) throws(SystemError) {
            var pair: [Int32] = [-1, -1]
            guard pipe2(&pair, O_CLOEXEC) == 0 else { throw .last("pipe2") }
            stop = OwnedDescriptor(taking: pair[0])
            stopper = OwnedDescriptor(taking: pair[1])
            plan.socket = socket.raw
            plan.stop = pair[0]
            plan.root = root.descriptor.raw
            plan.skeleton = skeleton.descriptor.raw
            plan.serves_devices = servesDevices ? 1 : 0
            plan.capabilities = capabilities.rawValue
            self.socket = consume socket
            self.root = root
            self.skeleton = skeleton
        }

        func run() {
            var call: UnsafePointer<CChar>?
            if imgbuild_supervise(&plan, &report, &call) != 0 {
                let errno = Errno(rawValue: Glibc.errno)
                failure = SystemError(call: call.map { String(cString: $0) } ?? "", errno: errno)
            }
            socket = nil
            ended.signal()
        }

        func finish() throws(SystemError) -> Report {
            stopper = nil
            ended.wait()
            // For whoever finishes a second time.
            ended.signal()
            if let failure { throw failure }
            let program = withUnsafeBytes(of: report.set_id_program) { Array($0.prefix { $0 != 0 }) }
            return Report(
                calls: report.calls, answered: report.answered, unreadable: report.unreadable,
                setIDProgram: program.isEmpty ? nil : FilePath(bytes: program))
        }
    }
}

extension ProcSupervisor {
    /// Tries it on a process of the builder's own that has the rights of a command, and opens a file of its `/proc`.
    ///
    /// Looked at from the builder's root, nothing is made or changed.
    /// - Returns: why it cannot be done here; `nil` if it can.
    package static func refusal(command: CapabilitySet, supervisor: CapabilitySet) -> String? {
        var failure: String?
        do throws(SystemError) {
            let root = try Directory(opening: "/")
            let trial = try ProcSupervisor(
                root: root, skeleton: root, servesDevices: false, capabilities: supervisor)
            // No secret of a build is read by anybody while this process shows its memory: no command runs yet.
            var plan = ProcessPlan(["/dev/null"], environment: [])
            plan.commandSteps =
                [.dropCapabilities(keeping: command), .openToOthers] + trial.steps + [.tryOpen("/proc/self/mounts")]
            do throws(SpawnError) {
                _ = try ChildProcess(plan)
            } catch {
                if !error.isOfProgram { failure = error.description }
            }
            let report = try trial.finish()
            if failure == nil && report.answered == 0 {
                failure = "the memory of another process cannot be read"
            }
        } catch {
            failure = error.description
        }
        return failure
    }
}
