// https://github.com/docker/docker-credential-helpers#development

import FoundationEssentials
import SystemIO

/// Asks the programs `docker-credential-NAME`, each once for a host.
final class CredentialHelpers: Sendable {
    private let programs: ProgramRunner
    private let answers = AnswerCache<Question, Credential?>()

    /// Which program is asked, and for what.
    struct Question: Hashable, Sendable {
        let helper: String
        /// The host as the configuration writes it.
        let server: String
        /// The configuration that names the helper.
        let config: String
    }

    /// What helpers print, on standard output and with a status other than 0, when they have nothing for a host.
    private static let notFound = "credentials not found in native keychain"

    init(_ programs: ProgramRunner) {
        self.programs = programs
    }

    /// The helper's answer, `nil` when it says that it has none.
    ///
    /// - Throws: kind `credentials` when it is missing, fails, hangs, or answers something else; `configuration` for a name that
    ///   cannot be that of a helper.
    func credential(_ question: Question) async throws(RegistryError) -> Credential? {
        try await answers.value(for: question) { () throws(RegistryError) in try await ask(question) }
    }

    /// Has helpers asked again whose answer this was.
    func forget(_ credential: Credential) {
        answers.forget { $0 == credential }
    }

    private struct Answer: Decodable {
        let username: String
        let secret: String

        enum CodingKeys: String, CodingKey {
            case username = "Username"
            case secret = "Secret"
        }
    }

    private func ask(_ question: Question) async throws(RegistryError) -> Credential? {
        // A slash would run any file.
        guard question.helper.wholeMatch(of: /[A-Za-z0-9._-]+/) != nil else {
            throw RegistryError(
                .configuration,
                message:
                    "\(question.config) names the credential helper '\(printable(question.helper, limit: 80))', which cannot be one",
                hint: "a helper's name is what follows docker-credential- in the name of its program")
        }
        let program = "docker-credential-\(question.helper)"
        let what = "\(program), which \(question.config) names for \(printable(question.server, limit: 120)),"
        let result = try await programs.run([program, "get"], input: Array(question.server.utf8), what: what)
        guard result.isSuccess else {
            let said = ProgramRunner.line(result.output)
            if said == CredentialHelpers.notFound { return nil }
            let texts = [said, result.errorText].filter { !$0.isEmpty }.joined(separator: "; ")
            throw RegistryError(
                .credentials,
                message: "\(what) failed: "
                    + (texts.isEmpty ? "it ended with \(result.status.exitCode) and said nothing" : texts),
                hint: "try it: echo \(printable(question.server, limit: 120)) | \(program) get")
        }
        let errors = result.errorText.isEmpty ? "" : ": \(result.errorText)"
        // What it printed is not shown: it may be the secret in another form.
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(result.output)) else {
            throw RegistryError(
                .credentials,
                message: "\(what) printed \(result.output.count) bytes that are not the JSON of a credential\(errors)")
        }
        guard !answer.secret.isEmpty else {
            throw RegistryError(.credentials, message: "\(what) answered without a secret\(errors)")
        }
        let source = CredentialSource.helper(program: program, config: question.config)
        if answer.username == "<token>" { return Credential(.identityToken(answer.secret, user: ""), source: source) }
        return Credential(.password(user: answer.username, password: answer.secret), source: source)
    }
}
