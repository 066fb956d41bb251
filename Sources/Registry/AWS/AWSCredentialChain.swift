// https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html

import Synchronization

/// Finds AWS credentials where AWS's own tools find them, in their order: the environment, a web identity, the profile, the
/// container, the machine.
///
/// Whatever is configured and does not work is an error; the search goes on only where nothing is configured.
final class AWSCredentialChain: Sendable {
    private let context: AWSContext
    private let warn: @Sendable (String) -> Void
    private let cache = AnswerCache<String, AWSCredentials>()
    /// What was found last, for a time in which it cannot be renewed.
    private let last = Mutex<AWSCredentials?>(nil)

    /// Credentials that end sooner are renewed.
    private static let margin = Duration.seconds(300)
    /// Until then credentials that could not be renewed are still used.
    private static let lastMinute = Duration.seconds(60)

    init(_ context: AWSContext, warn: @escaping @Sendable (String) -> Void) {
        self.context = context
        self.warn = warn
    }

    /// What one source had to say.
    enum Finding: Sendable {
        case found(AWSCredentials)
        /// Nothing is configured there, for this reason.
        case absent(String)
    }

    /// Credentials that do not end within the next minutes.
    ///
    /// - Parameter region: the region that STS is called in when none is configured.
    /// - Throws: kind `noCredentials`, with every source and why it had none, when no source has any; `credentials` when one is
    ///   configured and does not work.
    func credentials(region: String) async throws(RegistryError) -> AWSCredentials {
        let now = context.pacing.now
        return try await cache.value(for: "", where: { AWSCredentialChain.lasts($0, now(), AWSCredentialChain.margin) })
        {
            () throws(RegistryError) in
            do throws(RegistryError) {
                let found = try await search(region: region)
                last.withLock { $0 = found }
                return found
            } catch {
                let known = last.withLock { $0 }
                guard let known, error.kind != .cancelled,
                    AWSCredentialChain.lasts(known, now(), AWSCredentialChain.lastMinute)
                else { throw error }
                warn("the \(known) could not be renewed and are used until they end: \(error.message)")
                return known
            }
        }
    }

    /// Forgets credentials that AWS says have ended.
    func forget(_ credentials: AWSCredentials) {
        cache.forget("") { $0 == credentials }
        last.withLock { if $0 == credentials { $0 = nil } }
    }

    private static func lasts(
        _ credentials: AWSCredentials, _ now: ContinuousClock.Instant, _ margin: Duration
    ) -> Bool {
        guard let expiry = credentials.expiry else { return true }
        return expiry - now > margin
    }

    private func search(region: String) async throws(RegistryError) -> AWSCredentials {
        let configuration = try await context.configuration()
        var reasons: [String] = []
        let sources: [@Sendable () async throws(RegistryError) -> Finding] = [
            { [context] () throws(RegistryError) in try EnvironmentKeys(context.variables).find() },
            { [context] () async throws(RegistryError) in
                try await WebIdentity(context, configuration, region: region).find()
            },
            { [context] () async throws(RegistryError) in
                try await ProfileCredentials(context, configuration, region: region).find()
            },
            { [context] () async throws(RegistryError) in try await ContainerCredentials(context).find() },
            { [context] () async throws(RegistryError) in try await InstanceMetadata(context, configuration).find() },
        ]
        for source in sources {
            switch try await source() {
            case .found(let credentials): return credentials
            case .absent(let reason): reasons.append(reason)
            }
        }
        throw RegistryError(
            .noCredentials, message: "no AWS credentials were found. Tried: " + reasons.joined(separator: "; "),
            hint: "docs/ecr.md shows how a pod, a CI job and a laptop get theirs")
    }
}

/// Keys in the environment itself.
struct EnvironmentKeys {
    private let variables: AWSVariables

    init(_ variables: AWSVariables) {
        self.variables = variables
    }

    func find() throws(RegistryError) -> AWSCredentialChain.Finding {
        let id = variables["AWS_ACCESS_KEY_ID"]
        let secret = variables["AWS_SECRET_ACCESS_KEY"]
        switch (id, secret) {
        case (nil, nil): return .absent("the environment has no AWS_ACCESS_KEY_ID")
        case (let id?, let secret?):
            return .found(
                AWSCredentials(
                    accessKeyID: id, secretAccessKey: secret, sessionToken: variables["AWS_SESSION_TOKEN"],
                    source: "the environment (AWS_ACCESS_KEY_ID)"))
        default:
            let missing = id == nil ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY"
            throw RegistryError(
                .credentials, message: "the environment has only a part of AWS credentials: \(missing) is not set",
                hint: "set both, or none to let another source answer")
        }
    }
}
