// https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html

import SystemIO

/// The calls of AWS's Security Token Service that are needed here.
struct SecurityTokenService: Sendable {
    let client: AWSClient
    let endpoint: AWSEndpoint
    let pacing: Pacing

    private static let version = (name: "Version", value: "2011-06-15")

    /// What is asked for with a role.
    struct Role: Sendable {
        let arn: String
        let sessionName: String
        var externalID: String?
        /// Seconds; `nil` for the service's own choice, an hour.
        var duration: Int?
    }

    /// A role, for one who is known to AWS already.
    ///
    /// - Parameter source: what the credentials are said to come from.
    func assume(
        _ role: Role, with credentials: AWSCredentials, source: String
    ) async throws(RegistryError) -> AWSCredentials {
        var form = self.form("AssumeRole", role)
        if let externalID = role.externalID { form.append((name: "ExternalId", value: externalID)) }
        let call = AWSCall(action: "sts:AssumeRole", endpoint: endpoint, form: form)
        return try read(try await client.send(call, credentials), call, source: source)
    }

    /// A role, for whoever holds a token of an identity provider that the role trusts.
    ///
    /// - Parameter token: read anew for each try: whoever wrote it replaces it while it is in use.
    func assume(
        _ role: Role, source: String, token: () async throws(RegistryError) -> String
    ) async throws(RegistryError) -> AWSCredentials {
        try await client.retrier.run { _ throws(RegistryError) in
            let token = try await token()
            let form = self.form("AssumeRoleWithWebIdentity", role) + [(name: "WebIdentityToken", value: token)]
            let call = AWSCall(action: "sts:AssumeRoleWithWebIdentity", endpoint: endpoint, form: form)
            do throws(RegistryError) {
                return try read(try await client.sendOnce(call, nil), call, source: source)
            } catch {
                let redacted = error.with(message: error.message.replacing(token, with: "***"))
                // A provider that was just registered is not known everywhere; a token that ended has a successor.
                let passes = ["IDPCommunicationError", "InvalidIdentityToken", "ExpiredTokenException"]
                let isPassing = passes.contains { error.codes.contains($0) }
                throw isPassing ? redacted.with(isTemporary: true) : redacted
            }
        }
    }

    /// Whom AWS takes these credentials for.
    func identity(of credentials: AWSCredentials) async throws(RegistryError) -> AWSIdentity {
        let call = AWSCall(
            action: "sts:GetCallerIdentity", endpoint: endpoint,
            form: [(name: "Action", value: "GetCallerIdentity"), SecurityTokenService.version])
        let response = try await client.send(call, credentials)
        let text = String(decoding: response.body, as: UTF8.self)
        guard let account = XMLText.first("Account", in: text), let arn = XMLText.first("Arn", in: text) else {
            throw unreadable(call, response)
        }
        return AWSIdentity(account: printable(account, limit: 40), arn: printable(arn))
    }

    private func form(_ action: String, _ role: Role) -> [(name: String, value: String)] {
        var form = [
            (name: "Action", value: action), SecurityTokenService.version, (name: "RoleArn", value: role.arn),
            (name: "RoleSessionName", value: role.sessionName),
        ]
        if let duration = role.duration { form.append((name: "DurationSeconds", value: String(duration))) }
        return form
    }

    private func read(
        _ response: HTTPResponse, _ call: AWSCall, source: String
    ) throws(RegistryError) -> AWSCredentials {
        let text = String(decoding: response.body, as: UTF8.self)
        guard let id = XMLText.first("AccessKeyId", in: text), !id.isEmpty,
            let secret = XMLText.first("SecretAccessKey", in: text), !secret.isEmpty,
            let token = XMLText.first("SessionToken", in: text)
        else { throw unreadable(call, response) }
        let end = XMLText.first("Expiration", in: text).flatMap { Timestamp(rfc3339: $0) }
        return AWSCredentials(
            accessKeyID: id, secretAccessKey: secret, sessionToken: token,
            expiry: end.map { client.clock.instant(of: $0, pacing) }, source: source)
    }

    private func unreadable(_ call: AWSCall, _ response: HTTPResponse) -> RegistryError {
        RegistryError(
            .answer, request: "\(call.action) at \(response.url)",
            message: "the answer is not one of AWS's Security Token Service",
            hint: "is AWS_ENDPOINT_URL_STS, or a proxy, in the way?")
    }
}

extension AWSClock {
    /// The instant of our own clock at which something ends that a server dated.
    ///
    /// What was just handed out is good for a minute at least, whatever date it has: nobody may be sent to fetch it for ever.
    func instant(of end: Timestamp, _ pacing: Pacing) -> ContinuousClock.Instant {
        pacing.now() + .seconds(max(seconds(until: end), 60))
    }
}
