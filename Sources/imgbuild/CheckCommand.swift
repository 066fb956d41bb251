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
            Findings go to standard output, errors of the Dockerfile to standard error.
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
            throw ValidationError("--context \(context): only a folder can be checked")
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
            if let fault = checked.fault { throw fault }
            guard checked.report.findings.isEmpty else { throw ExitCode(1) }
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
            let bytes = try CanonicalJSON.encode(findings.map { FindingDocument($0, file: name) })
            return String(decoding: bytes, as: UTF8.self) + "\n"
        }
    }
}

/// A finding as `--format json` writes it. Lines and columns count from 1, columns in bytes; the end is not included.
private struct FindingDocument: Encodable {
    var id: String
    var message: String
    var file: String
    var startLine: Int
    var startColumn: Int
    var endLine: Int
    var endColumn: Int
    var hint: String?

    init(_ finding: CheckFinding, file: String) {
        id = finding.check.rawValue
        message = finding.message
        self.file = file
        startLine = finding.range.start.line
        startColumn = finding.range.start.column
        endLine = finding.range.end.line
        endColumn = finding.range.end.column
        hint = finding.hint
    }
}
