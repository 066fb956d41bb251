import SystemIO
import SystemPackage

/// A command and a root, as the plan of a process. Nothing is touched but for what is found out once (`ownsProcesses`).
enum SandboxPlan {
    /// What a container of Docker may do: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
    /// net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
    static let capabilities = CapabilitySet(numbers: [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31])
    /// One less than the builder has: a process with fewer rights may not look into the builder's memory and environment, which in a
    /// chroot are in the same pid namespace. That one is setpcap, or what else a build hardly needs, in a pod without it:
    /// audit_write, net_raw, setfcap, mknod, net_bind_service, kill.
    static let capabilitiesInChroot: CapabilitySet = {
        let own = CapabilitySet.effective
        let spare = [8, 29, 13, 31, 27, 10, 5].map { CapabilitySet(numbers: [$0]) }.first { own.isSuperset(of: $0) }
        return capabilities.subtracting(spare ?? [])
    }()

    /// What a command sees as its host name, the same on every machine.
    static let hostName = "imgbuild"

    /// Docker's lists (oci/defaults.go of Moby).
    static let readOnlyPaths = ["bus", "fs", "irq", "sys", "sysrq-trigger"].map { FilePath("/proc/" + $0) }
    static let maskedPaths =
        [
            "acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list",
            "timer_stats",
        ].map { FilePath("/proc/" + $0) } + ["/sys/devices/virtual/powercap", "/sys/firmware"]

    static let devices = ["null", "zero", "full", "random", "urandom", "tty"]
    static let deviceLinks: [(name: FilePath, target: FilePath)] = [
        ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ]

    /// The names, besides those of extra mounts, that something is mounted on.
    static let mountPoints = (folders: ["proc", "sys", "dev"] as [FilePath], files: placedFiles)
    static let placedFiles: [FilePath] = ["etc/resolv.conf", "etc/hosts", "etc/hostname"]

    static func overlay(_ command: Command, scratch: OverlayScratch) -> ProcessPlan {
        var plan = base(command, kept: capabilities)
        plan.namespaces = [.mounts, .ipc, .hostName]
        if ownsProcesses { plan.namespaces.insert(.processes) }
        if command.network == .none { plan.namespaces.insert(.network) }
        let kernelFiles: MountFlags = [.noSetuid, .noDevices, .noExecute]
        var steps: [SpawnStep] = [
            .makeMountsPrivate
        ]
        steps += scratch.root.steps
        steps += scratch.views.sorted { $0.key < $1.key }.flatMap(\.value.steps)
        steps += memoryFiles(command.mounts, scratch)
        steps += [
            .setRoot(scratch.root.merged),
            ownsProcesses
                ? .mountInRoot(type: "proc", on: "/proc", flags: kernelFiles, data: "")
                : .bind(.path("/proc"), at: "/proc", readOnly: false, recursive: true),
            .mountInRoot(type: "sysfs", on: "/sys", flags: kernelFiles.union(.readOnly), data: ""),
            .mountInRoot(type: "tmpfs", on: "/dev", flags: [.noSetuid, .noDevices], data: "mode=755,size=65536k"),
            // gid 5 is tty, in every distribution; a user namespace may not have it.
            .mountInRoot(
                type: "devpts", on: "/dev/pts", flags: [.noSetuid, .noExecute],
                data: "newinstance,ptmxmode=0666,mode=0620,gid=5", fallback: "newinstance,ptmxmode=0666,mode=0620"),
            .mountInRoot(type: "tmpfs", on: "/dev/shm", flags: kernelFiles, data: "mode=1777,size=65536k"),
            .makeSymlink("/dev/ptmx", to: "pts/ptmx"),
        ]
        // The builder's own nodes: /dev itself stays without devices.
        steps += devices.map { .bind(.path(FilePath("/dev/" + $0)), at: FilePath("/dev/" + $0), readOnly: false) }
        steps += deviceLinks.map { .makeSymlink(FilePath("/dev").appending($0.name.components), to: $0.target) }
        steps += readOnlyPaths.map { .makeReadOnly($0) }
        steps += maskedPaths.map { .mask($0) }
        steps += placedFiles.map { name in
            .bind(.path(scratch.file(for: name)), at: FilePath("/").appending(name.components), readOnly: false)
        }
        // Outer targets first, so that inner ones are not covered.
        steps += command.mounts.enumerated().sorted { one, other in
            (one.element.target.components.count, one.offset) < (other.element.target.components.count, other.offset)
        }.map { step($0.element, $0.offset, scratch) }
        steps.append(.setHostName(hostName))
        if command.network == .none { steps.append(.bringLoopbackUp) }
        steps.append(.pivotRoot)
        plan.setUpSteps = steps
        return plan
    }

    /// - Parameter supervision: what a supervisor of `/proc` needs of the command's process.
    static func chroot(_ command: Command, root: FilePath, supervision: [SpawnStep]) -> ProcessPlan {
        var plan = base(command, kept: capabilitiesInChroot)
        // Without setpcap the bounding set cannot be cut. Nor need it be: with no_new_privs an exec gives nothing back.
        if !supervision.isEmpty && !CapabilitySet.effective.isSuperset(of: CapabilitySet(numbers: [8])) {
            plan.commandSteps.removeAll { $0 == .dropBoundingSet(keeping: capabilitiesInChroot) }
        }
        // Last: a step that comes after the filter would be stopped itself.
        plan.commandSteps += supervision
        // In the command's process: its supervisor needs the builder's /proc to find what is left behind.
        plan.commandSteps.insert(.changeRoot(root), at: 0)
        return plan
    }

    /// Whether a command in an overlay has processes of its own, and a `/proc` that shows no others. Found by trying, once: where parts of
    /// the builder's `/proc` are hidden, as in an ordinary pod, a user namespace may mount no other one (user_namespaces(7)), and commands
    /// get the builder's. The kernel keeps them out of what has rights that they have not.
    private static let ownsProcesses: Bool = {
        var plan = ProcessPlan(["/dev/null"], environment: [])
        plan.namespaces = [.mounts, .processes]
        plan.setUpSteps = [
            .makeMountsPrivate,
            .mount(type: "proc", on: "/proc", flags: [.noSetuid, .noDevices, .noExecute], data: ""),
        ]
        do throws(SpawnError) {
            _ = try ChildProcess(plan)
        } catch {
            return error.stage != .step(plan.setUpSteps[1])
        }
        return true
    }()

    private static func base(_ command: Command, kept: CapabilitySet) -> ProcessPlan {
        var plan = ProcessPlan(command.arguments, environment: command.environment)
        plan.output = command.output
        plan.error = command.error
        plan.commandSteps = [
            .changeDirectory(command.workingDirectory),
            .setFileModeMask(0o022),
            .givePipes(user: command.user.uid),
            .dropBoundingSet(keeping: kept),
            .setGroups(command.user.groups),
            .setGroup(command.user.gid),
            .setUser(command.user.uid),
            .dropCapabilities(keeping: kept),
        ]
        return plan
    }

    /// Writes the files that are in memory only, ready to be bound.
    private static func memoryFiles(_ mounts: [ExtraMount], _ scratch: OverlayScratch) -> [SpawnStep] {
        let files = mounts.enumerated().compactMap { index, mount -> SpawnStep? in
            guard case .file(let file, _) = mount else { return nil }
            return .writeFile(
                scratch.memoryFile(index), contents: file.contents, mode: UInt32(file.permissions), uid: file.uid,
                gid: file.gid)
        }
        guard !files.isEmpty else { return [] }
        return [.mount(type: "tmpfs", on: scratch.memory, flags: [.noSetuid, .noDevices], data: "mode=700")] + files
    }

    private static func step(_ mount: ExtraMount, _ index: Int, _ scratch: OverlayScratch) -> SpawnStep {
        switch mount {
        case .view(let view, let target, let readOnly):
            // Every view has its stack.
            let merged = scratch.views[index]?.merged ?? scratch.folder
            return .bind(
                .path(merged.appending(view.path.components)), at: target, readOnly: readOnly, recursive: false)
        case .file(_, let target):
            return .bind(.path(scratch.memoryFile(index)), at: target, readOnly: true, recursive: false)
        case .bind(let source, let target, let readOnly):
            return .bind(source, at: target, readOnly: readOnly, recursive: false)
        case .tmpfs(let target, let size):
            return .mountInRoot(
                type: "tmpfs", on: target, flags: [.noSetuid, .noDevices], data: size.map { "size=\($0)" } ?? "")
        }
    }
}
