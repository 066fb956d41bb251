import Layers
import Sandbox
import SystemIO
package import SystemPackage

/// Decides once how this build keeps its files and runs its commands, and says so.
package struct IsolationChooser {
    let request: BuildRequest
    let tools: BuildTools

    /// - Returns: what makes a stage's files.
    /// - Throws: when the isolation that was asked for cannot be had, or cannot do what a RUN of the plan needs.
    func choose(for plan: BuildPlan) throws -> MakeStageFiles {
        let isolation = try isolation(needsRun: plan.runs)
        for instruction in plan.stages.flatMap(\.instructions) {
            try SupportCheck.check(instruction, under: isolation)
        }
        if isolation == .chroot, plan.runs, let refusal = Sandbox.procRefusal {
            tools.report(
                .warning(
                    "/proc is empty for RUN: \(refusal). Programs that need it fail there: the JVM, 'bash <(...)', /dev/stderr"
                ))
        }
        return switch isolation {
        case .overlay: { OverlayFiles($0, unpacks: $1) }
        case .chroot: { FlatFiles($0, unpacks: $1) }
        case .none: { tools, _ in ListedFiles(tools) }
        }
    }

    private func isolation(needsRun: Bool) throws -> Isolation {
        let folder = tools.scratch.path.appending("probe")
        if let choice = request.isolation, let forced = Isolation(rawValue: choice.rawValue) {
            if var refusal = try forced.refusal(in: folder, usesUserAttributes: tools.usesUserAttributes) {
                if case .refused(let reason) = request.userNamespace { refusal += "; in a user namespace: \(reason)" }
                throw BuildError(
                    "the isolation '\(choice.rawValue)' is not possible here: \(refusal)",
                    hint: "leave --isolation out to use the best that works")
            }
            tools.report(.note("isolation: \(name(of: forced)), as asked for"))
            return forced
        }
        let probe = try Isolation.probe(in: folder, usesUserAttributes: tools.usesUserAttributes)
        var refusals = probe.refusals
        if case .refused(let reason) = request.userNamespace, !refusals.isEmpty {
            refusals.insert("overlay in a user namespace: \(reason)", at: 1)
        }
        let reasons = refusals.isEmpty ? "" : " (\(refusals.joined(separator: "; ")))"
        let name = name(of: probe.isolation)
        // Without a RUN nobody is isolated from anything: only how files are kept is chosen.
        tools.report(
            needsRun
                ? .note("isolation: \(name)\(reasons)")
                : .detail("isolation: \(name)\(reasons)"))
        return probe.isolation
    }

    private func name(of isolation: Isolation) -> String {
        isolation.rawValue + request.userNamespace.place
    }

    /// Why files cannot be stacked and commands not be run on them by this process; `nil` if they can. For a trial before
    /// anything else is started: makes the state folder.
    ///
    /// - Parameter keepsOwners: whether files must have owners that the kernel cannot give them here.
    package static func overlayRefusal(stateDirectory: FilePath, keepsOwners: Bool) throws -> String? {
        let state = try StateDirectory(opening: stateDirectory)
        let scratch = try state.makeScratch()
        defer { try? scratch.remove() }
        let refusal = try Isolation.overlay.refusal(
            in: scratch.path.appending("probe"), usesUserAttributes: state.attributes == .user)
        guard refusal == nil, keepsOwners else { return refusal }
        return KeptOwners.refusal(in: try scratch.makeFolder("owners"))
    }
}

extension BuildRequest.UserNamespaceUse {
    /// Where a build takes place, behind the name of its isolation.
    var place: String {
        switch self {
        case .none, .refused: ""
        case .entered: " in a user namespace"
        case .enteredWithOneID(let reason):
            " in a user namespace with one id, other owners kept by imgbuild (\(reason))"
        }
    }
}
