package import Dockerfile
import OCI
import SystemIO
package import SystemPackage

/// A Dockerfile with what the build checks say of it, without a build.
package struct CheckedDockerfile: Sendable {
    package let report: CheckReport
    package let source: SourceText

    /// Reads the Dockerfile and the ignore file of a folder. Base images stay unknown: nobody is asked.
    ///
    /// - Throws: if the files cannot be read, or the Dockerfile not parsed.
    package init(
        context: FilePath, dockerfile: FilePath, target: String?, buildArguments: [(name: String, value: String)]
    ) throws(FailedBuild) {
        var source: SourceText?
        do {
            let root = try Directory(opening: context)
            let (text, folder, name) = try BuildContext.readDockerfile(dockerfile, in: root)
            let (ignored, ignoreFile) = try BuildContext.readIgnoreFile(besides: name, in: folder, root: root)
            let read = try SourceText(text)
            source = read
            let inputs = CheckInputs(
                target: target, arguments: BuildPlan.arguments(buildArguments, for: .host), ignored: ignored,
                ignoreFile: ignoreFile)
            report = try Dockerfile(parsing: read).check(inputs)
            self.source = read
        } catch {
            throw FailedBuild(error: BuildError(error, doing: "the Dockerfile could not be checked"), source: source)
        }
    }

    /// The error that a build would end with, if the Dockerfile has one.
    package var fault: FailedBuild? {
        report.fault.map {
            FailedBuild(error: BuildError($0, doing: "the Dockerfile could not be checked"), source: source)
        }
    }
}
