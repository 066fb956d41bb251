import Dockerfile
import OCI
import SystemIO
import SystemPackage

/// The build checks of a build: their findings become warnings, or fail it.
struct BuildChecks {
    let request: BuildRequest
    let report: EventSink

    /// Checks what is going to be built, now that the base images are known. Nothing has been built yet.
    ///
    /// - Throws: if there are findings, and the request or the Dockerfile says that they are errors.
    func run(on dockerfile: Dockerfile, plan: BuildPlan, context: BuildContext) throws {
        var inputs = CheckInputs(
            target: request.target, arguments: BuildPlan.arguments(request), ignored: context.ignored,
            ignoreFile: context.ignoreFile)
        for stage in plan.stages {
            guard case .image(let image, _) = stage.base else { continue }
            let config = image.config.config
            inputs.bases[stage.stage.index] = CheckInputs.Base(
                environment: config.env ?? [], hasShell: config.shell?.isEmpty == false, triggers: config.onBuild ?? [])
        }
        let result = dockerfile.check(inputs)
        for finding in result.findings {
            let place = "\(request.dockerfile.printable):\(finding.range.start.line)"
            let hint = finding.hint.map { " (\($0))" } ?? ""
            report(.warning("\(place): \(finding.check.rawValue): \(finding.message)\(hint)"))
            report(.detail(dockerfile.excerpt(around: finding.range).joined(separator: "\n")))
        }
        guard request.failsOnFindings || result.failsBuild, let first = result.findings.first else { return }
        let others = result.findings.count - 1
        let cause = request.failsOnFindings ? "--check" : "the directive check=error=true"
        throw BuildError(
            "\(first.check.rawValue): \(first.message)"
                + (others == 0 ? "" : ", and \(others) more \(others == 1 ? "finding" : "findings")"),
            at: first.range,
            hint: (first.hint.map { "\($0); " } ?? "")
                + "\(cause) makes it an error, # check=skip=\(first.check.rawValue) above the instruction accepts it")
    }
}
