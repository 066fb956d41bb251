import ArgumentParser
import Builder
import Dockerfile
import Glibc
import OCI
import SystemIO
import SystemPackage

/// Carries out the build checks, and nothing else.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Checks a Dockerfile without building it or reaching a registry.",
        discussion: """
            Findings go to standard output, errors that a build would end with to standard error; with --format json, both are
            in the array on standard output.
            Exit codes: 0 if there is neither, 1 if there is, 64 for a wrong command line.
            """)

    enum Format: String, CaseIterable, ExpressibleByArgument { case text, json }

    @Option(
        name: [.customShort("c"), .long], help: ArgumentHelp("The folder that is built from.", valueName: "folder"))
    var context = "."

    @Option(
        name: [.customShort("f"), .long],
        help: ArgumentHelp("The Dockerfile, relative to the context.", valueName: "path"))
    var dockerfile = "Dockerfile"

    @Option(
        help: ArgumentHelp("Check only what building this stage needs, instead of all stages.", valueName: "stage"))
    var target: String?

    @Option(
        name: .customLong("build-arg"),
        help: ArgumentHelp(
            "A value for ARG; without =VALUE it is taken from the environment. Repeatable.", valueName: "name=value"))
    var buildArguments: [String] = []

    @Option(help: ArgumentHelp("text or json.", valueName: "format"))
    var format: Format = .text

    func run() throws {
        guard !GitLocation.isGit(context), !context.contains("://") else {
            throw ValidationError("--context \(SourceExcerpt.printable(context)): only a folder can be checked")
        }
        for value in [context, dockerfile, target] where value?.isEmpty == true {
            throw ValidationError("a flag has an empty value: --context, --dockerfile and --target need one")
        }
        let environment = Environment.current
        let arguments = try buildArguments.compactMap { try BuildOptions.buildArgument($0, environment) }
        let name = FilePath(dockerfile).printable
        do {
            let checked = try CheckedDockerfile(
                context: FilePath(context), dockerfile: FilePath(dockerfile), target: target, buildArguments: arguments)
            print(try text(of: checked, name: name), terminator: "")
            let reporter = ConsoleReporter(verbosity: .error)
            if format == .text {
                for error in checked.errors { reporter.say(checked.text(of: error, dockerfile: name)) }
            }
            guard checked.report.findings.isEmpty, checked.errors.isEmpty else { throw ExitCode(1) }
        } catch let error as FailedBuild {
            ConsoleReporter(verbosity: .error).fail(error, name: name)
            throw ExitCode(1)
        }
    }

    private func text(of checked: CheckedDockerfile, name: String) throws -> String {
        let findings = checked.report.findings
        switch format {
        case .text:
            return findings.map { finding in
                let error = DockerfileError(
                    "\(finding.check.rawValue): \(finding.message)", at: finding.range, hint: finding.hint)
                return SourceExcerpt.report(error, in: checked.source, name: name) + "\n"
            }.joined(separator: "\n")
        case .json:
            let documents =
                findings.map { FindingDocument($0, file: name) }
                + checked.errors.map { FindingDocument($0, file: name) }
            let bytes = try CanonicalJSON.encode(documents)
            return String(decoding: bytes, as: UTF8.self) + "\n"
        }
    }
}

/// A finding or an error as `--format json` writes it. Lines and columns count from 1, columns in bytes; the end is not
/// included. An error of the whole file has no place.
private struct FindingDocument: Encodable {
    /// The check; `Error` for what a build would end with.
    var id: String
    var message: String
    var file: String
    var startLine: Int?
    var startColumn: Int?
    var endLine: Int?
    var endColumn: Int?
    var hint: String?

    init(_ finding: CheckFinding, file: String) {
        self.init(finding.check.rawValue, finding.message, at: finding.range, hint: finding.hint, file: file)
    }

    init(_ error: DockerfileError, file: String) {
        self.init(
            "Error", error.message.hidingUserInformation, at: error.range, hint: error.hint?.hidingUserInformation,
            file: file)
    }

    private init(_ id: String, _ message: String, at range: SourceRange?, hint: String?, file: String) {
        self.id = id
        self.message = message
        self.file = file
        startLine = range?.start.line
        startColumn = range?.start.column
        endLine = range?.end.line
        endColumn = range?.end.column
        self.hint = hint
    }
}
