import CSpawn
import CSupervisor
import Glibc
import SystemPackage

/// Keeps the owners of files in a user namespace that has one id: a process that answers, for all that has its filter, the calls that
/// the kernel would refuse there, and those that ask for what it keeps (`CSupervisor`).
///
/// The process ends with the value, or with the last process that has the filter.
final class OwnerKeeper {
    private let process: ChildProcess
    private let socket: OwnedDescriptor
    private static let filter = CallFilter(keepsOwners: true)

    /// - Parameters:
    ///   - program: calls `serve`.
    ///   - namespace: an open `/proc/PID/ns/user`.
    init(_ program: ProcessPlan, in namespace: borrowing OwnedDescriptor) throws(SpawnError) {
        var pair: [Int32] = [-1, -1]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &pair) == 0 else {
            throw SpawnError(SystemError.last("socketpair"))
        }
        socket = OwnedDescriptor(taking: pair[0])
        let theirs = OwnedDescriptor(taking: pair[1])
        var plan = program
        plan.supervised = false
        plan.input = .descriptor(theirs.raw)
        plan.commandSteps.insert(.joinUserNamespace(descriptor: namespace.raw), at: 0)
        process = try ChildProcess(plan)
    }

    /// What a process does to be served, as root of the namespace.
    var step: SpawnStep { .filterCalls(OwnerKeeper.filter, socket: socket.raw) }

    /// Serves this process, which has one thread, and all that it starts.
    func serveThisProcess() throws(SystemError) {
        let instructions = OwnerKeeper.filter.instructions
        guard let call = imgbuild_filter_calls(instructions, instructions.count, socket.raw) else { return }
        throw .last(String(cString: call))
    }
}

/// What a program does that keeps owners, and what tells whether it does.
package enum KeptOwners {
    /// Serves until the last process with the filter has ended. Blocks, and leaves this process with another root: it has nothing else
    /// to do.
    ///
    /// - Parameter socket: where the listener comes from.
    package static func serve(socket: Int32) throws(SystemError) {
        var plan = supervisor_plan()
        plan.socket = socket
        plan.stop = -1
        plan.keeps_owners = 1
        plan.capabilities = .max
        var report = supervisor_report()
        var call: UnsafePointer<CChar>?
        guard imgbuild_supervise(&plan, &report, &call) == 0 else {
            throw .last(call.map { String(cString: $0) } ?? "")
        }
    }

    /// Why they are not kept in this process; `nil` if they are. Found by trying, in a folder of the caller's.
    package static func refusal(in folder: Directory) -> String? {
        do throws(SystemError) {
            try folder.makeDirectory("owned", mode: 0o755)
            try folder.makeSymlink("owned-link", to: "owned")
            for name in ["owned", "owned-link"] as [FilePath] {
                guard
                    name.withCString({ fchownat(folder.descriptor.raw, $0, 33, 44, AT_SYMLINK_NOFOLLOW) }) == 0
                else { throw .last("fchownat", name) }
                guard let status = try folder.statusIfPresent(of: name), status.uid == 33, status.gid == 44 else {
                    return "the file system keeps no extended attributes of users"
                }
            }
            guard setgroups(0, nil) == 0, seteuid(33) == 0, geteuid() == 33, seteuid(0) == 0 else {
                throw .last("seteuid")
            }
            return nil
        } catch {
            return error.description
        }
    }
}
