import CSpawn
import Glibc
import SystemPackage

/// A user namespace for the whole process: in it an ordinary user is root over the ids that are given to it, and may mount.
///
/// https://man7.org/linux/man-pages/man7/user_namespaces.7.html
package enum UserNamespace {
    /// A stretch of ids: `inside`, `inside + 1`, ... are `outside`, `outside + 1`, ...
    package struct Range: Sendable, Hashable {
        package var inside: UInt32
        package var outside: UInt32
        package var count: UInt32

        package init(inside: UInt32, outside: UInt32, count: UInt32) {
            self.inside = inside
            self.outside = outside
            self.count = count
        }
    }

    /// Who writes the mappings.
    package enum Mapper: Sendable {
        /// This process, which may set any id (CAP_SETUID, CAP_SETGID).
        case own
        /// `newuidmap` and `newgidmap`, which look into /etc/subuid and /etc/subgid; found along this PATH.
        case programs(path: String)
        /// Any user maps its own id, and no other. Owners are kept by a process whose program calls `KeptOwners.serve`.
        case single(keeper: ProcessPlan)
    }

    /// Why it could not be entered: for people.
    package struct Refusal: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String

        package init(description: String) {
            self.description = description
        }
    }

    /// Moves this process into a new user namespace in which it is root, once `mapper` has mapped the ids.
    ///
    /// After a failure nothing has changed.
    ///
    /// - Returns: what keeps owners, if they are kept: alive as long as this process is.
    /// - Precondition: the process has one thread.
    /// - Parameter probe: a program that is run in the namespace first. If it fails, the namespace is not entered, and what it
    ///   writes is the reason.
    package static func enter(
        users: [Range], groups: [Range], mapper: Mapper, probe: ProcessPlan
    ) throws(Refusal) -> AnyObject? {
        let holder = imgbuild_hold_user_namespace()
        guard holder > 0 else { throw refusal("clone", SystemError.last("clone")) }
        defer {
            kill(holder, SIGKILL)
            var status: Int32 = 0
            while waitpid(holder, &status, 0) < 0 && errno == EINTR {}
        }
        switch mapper {
        case .own:
            try write(groups, to: "/proc/\(holder)/gid_map")
            try write(users, to: "/proc/\(holder)/uid_map")
        case .programs(let path):
            try run("newuidmap", holder, users, path)
            try run("newgidmap", holder, groups, path)
        case .single:
            // Who may not set groups may map its own (user_namespaces(7)).
            try write(Array("deny".utf8), to: "/proc/\(holder)/setgroups")
            try write(groups, to: "/proc/\(holder)/gid_map")
            try write(users, to: "/proc/\(holder)/uid_map")
        }
        let namespace: OwnedDescriptor
        do throws(SystemError) {
            namespace = try OwnedDescriptor.open(FilePath("/proc/\(holder)/ns/user"), O_RDONLY)
        } catch {
            throw refusal("opening the namespace", error)
        }
        var trial = probe
        trial.commandSteps.insert(.joinUserNamespace(descriptor: namespace.raw), at: 0)
        // Each serves one listener: one for the trial, one for good.
        let keeper = try startKeeper(for: mapper, in: namespace)
        if let forTrial = try startKeeper(for: mapper, in: namespace) {
            trial.commandSteps.append(forTrial.step)
            defer { withExtendedLifetime(forTrial) {} }
            try run(trial, "the trial")
        } else {
            try run(trial, "the trial")
        }
        do throws(SystemError) {
            guard imgbuild_join_user_namespace(namespace.raw) == 0 else { throw .last("setns") }
            try keeper?.serveThisProcess()
        } catch {
            throw refusal("joining the namespace", error)
        }
        return keeper
    }

    private static func startKeeper(
        for mapper: Mapper, in namespace: borrowing OwnedDescriptor
    ) throws(Refusal) -> OwnerKeeper? {
        guard case .single(let program) = mapper else { return nil }
        do throws(SpawnError) {
            return try OwnerKeeper(program, in: namespace)
        } catch {
            throw Refusal(description: "\(error)")
        }
    }

    private static func write(_ ranges: [Range], to path: String) throws(Refusal) {
        try write(Array(ranges.map { "\($0.inside) \($0.outside) \($0.count)\n" }.joined().utf8), to: path)
    }

    private static func write(_ text: [UInt8], to path: String) throws(Refusal) {
        do throws(SystemError) {
            // One write: the kernel takes a mapping as a whole.
            try OwnedDescriptor.open(FilePath(path), O_WRONLY).writeAll(text)
        } catch {
            throw refusal("writing \(path)", error)
        }
    }

    private static func run(
        _ program: String, _ process: Int32, _ ranges: [Range], _ path: String
    ) throws(Refusal) {
        let numbers = ranges.flatMap { ["\($0.inside)", "\($0.outside)", "\($0.count)"] }
        try run(ProcessPlan([program, "\(process)"] + numbers, environment: ["PATH=\(path)"]), program)
    }

    private static func run(_ plan: ProcessPlan, _ name: String) throws(Refusal) {
        let result: ChildProcess.Captured
        do throws(SpawnError) {
            // Bytes of an explanation; the programs answer at once.
            result = try ChildProcess.run(plan, capturing: 4096, timeout: .seconds(30))
        } catch {
            throw Refusal(description: "\(error)")
        }
        guard result.ending.status.isSuccess else {
            let words = String(decoding: result.error, as: UTF8.self).split(separator: "\n").first ?? "it failed"
            throw Refusal(description: words.contains(": ") ? String(words) : "\(name): \(words)")
        }
    }

    private static func refusal(_ what: String, _ error: SystemError) -> Refusal {
        Refusal(description: "\(what): \(error)")
    }

    /// Starts this program again from the beginning, with the same arguments and descriptors. Returns only when that fails.
    package static func restart(arguments: [String], environment: [String]) -> SystemError {
        let memory = SpawnMemory()
        return withExtendedLifetime(memory) {
            execve("/proc/self/exe", memory.strings(arguments), memory.strings(environment))
            return SystemError.last("execve")
        }
    }
}

extension UserNamespace {
    /// The ids that /etc/subuid or /etc/subgid gives to a user: lines `name:first:count`, the name also as a number.
    ///
    /// - Parameter own: the user's own id, which becomes 0.
    /// - Returns: `nil` where the user has none.
    package static func ranges(
        for own: UInt32, user: String?, uid: UInt32, in text: [UInt8]
    ) -> [Range]? {
        var ranges = [Range(inside: 0, outside: own, count: 1)]
        var next: UInt32 = 1
        for line in text.split(separator: UInt8(ascii: "\n")) {
            let fields = String(decoding: line, as: UTF8.self).split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count == 3, let first = UInt32(fields[1]), let count = UInt32(fields[2]), count > 0,
                fields[0] == "\(uid)" || (user.map { fields[0] == $0 } ?? false)
            else { continue }
            let (end, overflows) = next.addingReportingOverflow(count)
            guard !overflows, !first.addingReportingOverflow(count).overflow else { continue }
            ranges.append(Range(inside: next, outside: first, count: count))
            next = end
        }
        return ranges.count > 1 ? ranges : nil
    }

    /// The ids of the namespace that the process is in, each mapped to itself.
    package static func sameRanges(in text: [UInt8]) -> [Range] {
        text.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let numbers = String(decoding: line, as: UTF8.self).split(separator: " ").compactMap { UInt32($0) }
            guard numbers.count == 3 else { return nil }
            return Range(inside: numbers[0], outside: numbers[0], count: numbers[2])
        }
    }
}
