import Sandbox
import SystemIO
import SystemPackage

/// Decides once how this build keeps its files and runs its commands, and says so.
struct IsolationChooser {
    let request: BuildRequest
    let tools: BuildTools

    /// - Returns: what makes a stage's files.
    /// - Throws: when the isolation that was asked for cannot be had, or cannot do what a RUN of the plan needs.
    func choose(for plan: BuildPlan) throws -> @Sendable () -> any StageFiles {
        let isolation = try isolation(needsRun: plan.runs)
        for instruction in plan.stages.flatMap(\.instructions) {
            try SupportCheck.check(instruction, under: isolation)
        }
        let tools = self.tools
        return switch isolation {
        case .overlay: { OverlayFiles(tools) }
        case .chroot: { FlatFiles(tools, runs: true) }
        case .none: { FlatFiles(tools, runs: false) }
        }
    }

    private func isolation(needsRun: Bool) throws -> Isolation {
        let folder = tools.scratch.path.appending("probe")
        if let choice = request.isolation, let forced = Isolation(rawValue: choice.rawValue) {
            if let refusal = try forced.refusal(in: folder) {
                throw BuildError(
                    "the isolation '\(choice.rawValue)' is not possible here: \(refusal)",
                    hint: "leave --isolation out to use the best that works")
            }
            tools.report(.note("isolation: \(forced.rawValue), as asked for"))
            return forced
        }
        let probe = try Isolation.probe(in: folder)
        let reasons = probe.refusals.isEmpty ? "" : " (\(probe.refusals.joined(separator: "; ")))"
        // Without a RUN nobody is isolated from anything: only how files are kept is chosen.
        tools.report(
            needsRun
                ? .note("isolation: \(probe.isolation.rawValue)\(reasons)")
                : .detail("isolation: \(probe.isolation.rawValue)\(reasons)"))
        return probe.isolation
    }
}
