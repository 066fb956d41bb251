import SystemIO

/// Logins to ECR with the AWS credentials of whoever runs this, without a helper program.
package final class ECRLogin: Sendable {
    private let context: AWSContext
    private let chain: AWSCredentialChain
    private let logins = AnswerCache<ECRHost, Login>()

    private struct Login: Sendable {
        let credential: Credential
        let expiry: ContinuousClock.Instant
    }

    /// A login that ends sooner is replaced.
    private static let margin = Duration.seconds(300)

    init(_ context: AWSContext, _ chain: AWSCredentialChain) {
        self.context = context
        self.chain = chain
    }

    /// A login that lasts for some minutes at least; one call for all who ask at the same time.
    ///
    /// - Throws: kind `credentials`: who was asked for AWS credentials, or what AWS said to them.
    func credential(for host: ECRHost) async throws(RegistryError) -> Credential {
        let now = context.pacing.now
        let login = try await logins.value(for: host, where: { $0.expiry > now() }) { () throws(RegistryError) in
            try await withCredentials(for: host) { api, endpoint, credentials throws(RegistryError) in
                let login = try await api.login(to: host, at: endpoint, with: credentials)
                return Login(
                    credential: Credential(
                        .password(user: login.user, password: login.password),
                        source: .ecr(awsSource: credentials.source)),
                    // One that never lasts that long is used for what it has, rather than fetched for each request.
                    expiry: max(login.expiry - ECRLogin.margin, now() + .seconds(60)))
            }
        }
        return login.credential
    }

    /// Forgets a login that the registry refused.
    func forget(_ credential: Credential, for host: ECRHost) {
        logins.forget(host) { $0.credential == credential }
    }

    /// Makes a repository.
    package func createRepository(_ path: String, registry: String) async throws(RegistryError) {
        guard let host = ECRHost(registry) else {
            throw RegistryError(
                .configuration,
                message: "repositories can only be made in Amazon ECR, and \(printable(registry)) is none")
        }
        try await withCredentials(for: host) { api, endpoint, credentials throws(RegistryError) in
            try await api.createRepository(
                host.repositoryName(path), in: host, at: endpoint, with: credentials)
        }
    }

    /// The AWS credentials that are in use for a registry, and whom AWS takes them for.
    func identity(for host: ECRHost) async throws(RegistryError) -> (source: String, identity: AWSIdentity) {
        let configuration = try await context.configuration()
        let service = try context.securityTokenService(configuration, region: host.region)
        let credentials = try await chain.credentials(region: host.region)
        return (credentials.source, try await service.identity(of: credentials))
    }

    /// Calls with AWS credentials, and once more with new ones when AWS says that they have ended.
    private func withCredentials<Value: Sendable>(
        for host: ECRHost, _ body: (ECRClient, AWSEndpoint, AWSCredentials) async throws(RegistryError) -> Value
    ) async throws(RegistryError) -> Value {
        let configuration = try await context.configuration()
        let endpoint = try configuration.endpoint(
            of: host.isPublic ? .ecrPublic : .ecr, region: host.region, fips: host.usesFIPS,
            dualStack: host.usesDualStack)
        let api = ECRClient(client: context.client(configuration), pacing: context.pacing)
        let credentials = try await chain.credentials(region: host.region)
        do throws(RegistryError) {
            return try await body(api, endpoint, credentials)
        } catch {
            guard error.codes.contains(where: { AWSFailure.expired.contains($0) }), credentials.expiry != nil else {
                throw error
            }
            chain.forget(credentials)
            return try await body(api, endpoint, try await chain.credentials(region: host.region))
        }
    }
}
