import Dockerfile

/// What a build would do, for people: `--plan` shows it.
package struct BuildOutline: Sendable {
    package struct Step: Sendable {
        package let number: Int
        package let stage: String
        /// The instruction as written, without passwords in addresses.
        package let text: String
        package let action: Action
        package let reason: String
        /// What its cache mounts begin with.
        package let notes: [String]
    }

    package enum Action: String, Sendable {
        /// Changes the config only.
        case config
        /// Is taken from a cache.
        case cached
        /// Is done.
        case run
        /// Is looked up again when the steps before it are done.
        case open
        /// Is in a stage whose files nobody needs.
        case unneeded
    }

    package let steps: [Step]
    /// Of all stages.
    package let count: Int

    init(_ forecast: BuildForecast, of plan: BuildPlan) {
        count = plan.stepCount
        var steps: [Step] = []
        for stage in plan.stages {
            let foretold = Dictionary((forecast.steps[stage.index] ?? []).map { ($0.number, $0) }) { first, _ in first }
            for (offset, instruction) in stage.instructions.enumerated() {
                let number = stage.firstStep + offset
                var (action, reason) = BuildOutline.describe(foretold[number]?.verdict)
                var notes = foretold[number]?.notes ?? []
                if !forecast.needed.contains(stage.index) {
                    (action, reason) = (.unneeded, "all that takes files from this stage is cached")
                    notes = []
                }
                steps.append(
                    Step(
                        number: number, stage: stage.stage.label, text: instruction.original.hidingUserInformation,
                        action: action, reason: reason, notes: notes))
            }
        }
        self.steps = steps
    }

    private static func describe(_ verdict: BuildForecast.Verdict?) -> (Action, String) {
        switch verdict {
        case .config?: (.config, "changes the config only")
        case .cached(let found)?: (.cached, "in \(found.place)" + (found.layer == nil ? ", without a layer" : ""))
        case .done(let reason)?: (.run, reason)
        case .open?: (.open, "depends on what the steps before it give")
        case nil: (.open, "cannot be foretold")
        }
    }

    /// A line for each step.
    package var lines: [String] {
        steps.map { step in
            let text = step.text.split(whereSeparator: \.isNewline).joined(separator: " ")
            let first = "\(step.action.rawValue.padded(to: 8)) [\(step.stage) \(step.number)/\(count)] \(text)"
            return ([first] + ([step.reason] + step.notes).map { "         \($0)" }).map(SourceExcerpt.printable)
                .joined(separator: "\n")
        }
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}
