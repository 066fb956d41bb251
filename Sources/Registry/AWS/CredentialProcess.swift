// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html

import FoundationEssentials
import SystemIO

/// A program that prints AWS credentials.
struct CredentialProcess: Sendable {
    private let context: AWSContext

    init(_ context: AWSContext) {
        self.context = context
    }

    private struct Answer: Decodable {
        let version: Int
        let accessKeyID: String?
        let secretAccessKey: String?
        let sessionToken: String?
        let expiration: String?

        enum CodingKeys: String, CodingKey {
            case version = "Version"
            case accessKeyID = "AccessKeyId"
            case secretAccessKey = "SecretAccessKey"
            case sessionToken = "SessionToken"
            case expiration = "Expiration"
        }
    }

    /// Runs the command of a profile by the shell, as the AWS SDK for Go does.
    func run(_ command: String, profile: AWSProfile) async throws(RegistryError) -> AWSCredentials {
        let what = "the credential_process of the AWS profile '\(printable(profile.name))'"
        let result = try await context.programs.run(["/bin/sh", "-c", command], what: what)
        let said = result.errorText.isEmpty ? "" : ": \(result.errorText)"
        guard result.isSuccess else {
            throw RegistryError(.credentials, message: "\(what) ended with \(result.status.exitCode)\(said)")
        }
        // What it printed is not shown: it may be a secret in another form.
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(result.output)) else {
            throw RegistryError(
                .credentials,
                message: "\(what) printed \(result.output.count) bytes that are not the JSON of credentials\(said)")
        }
        guard answer.version == 1 else {
            throw RegistryError(
                .credentials, message: "\(what) answers in version \(answer.version) of its protocol; only 1 is known")
        }
        guard let id = answer.accessKeyID, !id.isEmpty, let secret = answer.secretAccessKey, !secret.isEmpty else {
            throw RegistryError(.credentials, message: "\(what) printed no AccessKeyId or no SecretAccessKey")
        }
        var expiry: ContinuousClock.Instant?
        if let text = answer.expiration {
            guard let end = Timestamp(rfc3339: text) else {
                throw RegistryError(.credentials, message: "\(what) printed an Expiration that is not a time")
            }
            guard context.clock.seconds(until: end) > 0 else {
                throw RegistryError(.credentials, message: "\(what) printed credentials that have ended")
            }
            expiry = context.clock.instant(of: end, context.pacing)
        }
        return AWSCredentials(
            accessKeyID: id, secretAccessKey: secret, sessionToken: answer.sessionToken, expiry: expiry,
            source: "the credential_process of the profile '\(printable(profile.name))'")
    }
}
