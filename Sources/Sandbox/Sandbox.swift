package import SystemIO
package import SystemPackage

/// Runs one command in a root file system.
///
/// The command sees the root as its `/`, and nothing of the builder's environment and descriptors; with an overlay root it also
/// has its own processes, `/proc`, `/sys` and `/dev`. When `run` returns, however it does, no process of it is left.
package struct Sandbox: Sendable {
    /// How long a cancelled command may take to end by itself.
    package var grace: Duration = .seconds(10)
    package var hostFiles: HostFiles

    /// Files of a flat root that are the sandbox's own while a command runs: what it writes to them is no change.
    package static let lentFiles = Set((SandboxPlan.placedFiles + ["proc"]).map(\.bytes))

    /// Why a command in a flat root gets no `/proc`; `nil` if it gets one. Found by trying, once.
    package static let procRefusal: String? = ProcSupervisor.refusal(
        command: SandboxPlan.capabilitiesInChroot, supervisor: SandboxPlan.capabilities)

    /// Whether a command in a flat root gets a `/proc` where that is possible.
    package var servesProc = true

    package typealias Receiver = (ChildProcess.Stream, UnsafeRawBufferPointer) -> Void

    /// Whether overlayfs keeps its marks in `user.overlay.*`, as it must in a user namespace.
    private let usesUserAttributes: Bool

    package init(hostFiles: HostFiles, usesUserAttributes: Bool = false) {
        self.hostFiles = hostFiles
        self.usesUserAttributes = usesUserAttributes
    }

    /// - Parameters:
    ///   - scratch: a folder for this run alone, made when missing, on the file system of a flat root; the caller removes it.
    ///   - receive: called with what comes through the pipes of the command.
    /// - Throws: where the command could not be started. What it answers is no error, whatever it is.
    package func run(
        _ command: Command, in root: RootFileSystem, scratch: FilePath, cancellation: Cancellation,
        receive: Receiver = { _, _ in }
    ) throws(SandboxError) -> RunOutcome {
        switch root {
        case .overlay(let layers, let upper, let work):
            guard layers.count <= RootFileSystem.layerLimit else { throw .tooManyLayers(layers.count) }
            let prepared = try files { () throws(SystemError) in
                try OverlayScratch(
                    in: scratch, layers: layers, upper: upper, work: work, mounts: command.mounts, files: hostFiles,
                    usesUserAttributes: usesUserAttributes)
            }
            let plan = SandboxPlan.overlay(command, scratch: prepared)
            let (ending, created) = try attend(plan, command, cancellation, receive)
            let kept = try files { () throws(SystemError) in
                try MountPoints.remove(created, from: try Directory(opening: upper))
            }
            return RunOutcome(ending, createdMountPoints: kept, placed: [])

        case .flat(let path):
            guard command.mounts.isEmpty else { throw .needsOverlay("a mount") }
            guard command.network == .host else { throw .needsOverlay("a network of its own") }
            let tree = try files { () throws(SystemError) in try Directory(opening: path) }
            let guests = try files { () throws(SystemError) in
                try FlatGuests(
                    placing: hostFiles, in: tree, scratch: try Directory(creating: scratch),
                    isSupervised: servesProc && Sandbox.procRefusal == nil)
            }
            // Both ways out put the image's own files back.
            let result: Result<RunOutcome, SandboxError>
            do throws(SandboxError) {
                result = .success(try run(command, in: tree, with: guests, cancellation, receive))
            } catch {
                result = .failure(error)
            }
            try files { () throws(SystemError) in try guests.leave() }
            return try result.get()
        }
    }

    private func run(
        _ command: Command, in root: Directory, with guests: FlatGuests, _ cancellation: Cancellation,
        _ receive: Receiver
    ) throws(SandboxError) -> RunOutcome {
        guard let skeleton = guests.skeleton else {
            let plan = SandboxPlan.chroot(command, root: root.path, supervision: [])
            let ending = try attend(plan, command, cancellation, receive).ending
            return RunOutcome(ending, createdMountPoints: [], placed: guests.touched)
        }
        let supervisor = try files { () throws(SystemError) in
            try ProcSupervisor(
                root: root, skeleton: skeleton, servesDevices: guests.lacksDevices,
                capabilities: SandboxPlan.capabilities)
        }
        let plan = SandboxPlan.chroot(command, root: root.path, supervision: supervisor.steps)
        let result: Result<ChildProcess.Ending, SandboxError>
        do throws(SandboxError) {
            result = .success(try attend(plan, command, cancellation, receive).ending)
        } catch {
            result = .failure(error)
        }
        let report: ProcSupervisor.Report
        do throws(SystemError) { report = try supervisor.finish() } catch { throw .supervisor(error) }
        return RunOutcome(try result.get(), createdMountPoints: [], placed: guests.touched, supervision: report)
    }

    private func attend(
        _ plan: ProcessPlan, _ command: Command, _ cancellation: Cancellation, _ receive: Receiver
    ) throws(SandboxError) -> (ending: ChildProcess.Ending, created: [FilePath]) {
        let child: ChildProcess
        do throws(SpawnError) {
            child = try ChildProcess(plan)
        } catch {
            guard error.stage == .step(.changeDirectory(command.workingDirectory)) else { throw .spawn(error) }
            throw .workingDirectory(command.workingDirectory, error.errno)
        }
        var running = child
        let created = running.createdMountPoints
        let ending = try files { () throws(SystemError) in
            try running.wait(cancellation: cancellation, grace: grace, receive: receive)
        }
        return (ending, created)
    }

    private func files<T: ~Copyable>(_ body: () throws(SystemError) -> T) throws(SandboxError) -> T {
        do throws(SystemError) { return try body() } catch { throw .files(error) }
    }
}

/// How a command ended, and what the sandbox left behind in the tree.
package struct RunOutcome: Sendable, Hashable {
    package let status: ProcessStatus
    /// Whether it ended because it was cancelled.
    package let isCancelled: Bool
    /// Overlay: names that had to be made to mount on and could not be removed again, as the command has put something
    /// into them.
    package let createdMountPoints: [FilePath]
    /// Chroot: names that were lent to the tree and are as before, but for their change times: a comparison must leave them out.
    package let placed: [FilePath]
    /// Chroot: what the supervisor of `/proc` saw, where there was one.
    package let supervision: ProcSupervisor.Report?

    init(
        _ ending: ChildProcess.Ending, createdMountPoints: [FilePath], placed: [FilePath],
        supervision: ProcSupervisor.Report? = nil
    ) {
        self.supervision = supervision
        status = ending.status
        isCancelled = ending.interruption == .cancelled
        self.createdMountPoints = createdMountPoints
        self.placed = placed
    }
}
