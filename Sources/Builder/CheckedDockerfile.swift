package import Dockerfile
import OCI
import SystemIO
package import SystemPackage

/// A Dockerfile with what the build checks say of it, without a build.
package struct CheckedDockerfile: Sendable {
    package let report: CheckReport
    /// What a build of the target would end with, as far as the Dockerfile alone tells: its first error, and what this version
    /// refuses. In the order of the text; empty if a build would begin.
    package let errors: [DockerfileError]
    package let source: SourceText?

    /// Reads the Dockerfile and the ignore file of a folder. Base images stay unknown: nobody is asked.
    ///
    /// - Throws: if the files cannot be read.
    package init(
        context: FilePath, dockerfile: FilePath, target: String?, buildArguments: [(name: String, value: String)]
    ) throws(FailedBuild) {
        do {
            let root = try Directory(opening: context)
            let (text, folder, name) = try BuildContext.readDockerfile(dockerfile, in: root)
            let (ignored, ignoreFile) = try BuildContext.readIgnoreFile(besides: name, in: folder, root: root)
            let inputs = CheckInputs(
                target: target, arguments: BuildPlan.arguments(buildArguments, for: .host), ignored: ignored,
                ignoreFile: ignoreFile)
            self.init(text, inputs)
        } catch {
            throw FailedBuild(error: BuildError(error, doing: "the Dockerfile could not be checked"), source: nil)
        }
    }

    private init(_ text: [UInt8], _ inputs: CheckInputs) {
        var source: SourceText?
        do throws(DockerfileError) {
            let read = try SourceText(text)
            source = read
            let dockerfile = try Dockerfile(parsing: read)
            report = dockerfile.check(inputs)
            var errors = report.fault.map { [$0] } ?? []
            if let graph = report.graph { errors += SupportCheck.refusals(of: graph) }
            self.errors = errors.sorted { ($0.range?.start.line ?? 0) < ($1.range?.start.line ?? 0) }
        } catch {
            report = CheckReport()
            errors = [error]
        }
        self.source = source
    }

    /// An error as a build tells it.
    package func text(of error: DockerfileError, dockerfile name: String) -> String {
        FailedBuild(error: BuildError(error.message, at: error.range, hint: error.hint), source: source).text(
            dockerfile: name)
    }
}
