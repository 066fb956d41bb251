// https://docs.docker.com/reference/cli/docker/login/#credential-stores

import Synchronization
package import SystemIO
package import SystemPackage

/// The credentials of whoever runs this, as docker's tools find them, with Amazon ECR built in.
///
/// For a repository the first of these that has something answers: `DOCKER_AUTH_CONFIG`, the docker configuration (each by
/// helper, by store, by entry), Kaniko's variables, and for a registry of ECR the AWS credentials of the environment.
package final class RegistryCredentials: CredentialProvider {
    /// What is worth saying although nothing failed.
    package enum Note: Sendable {
        case warning(String)
        case detail(String)
    }

    /// What answers for a registry that the docker configuration does not name.
    package enum Automatic: String, Sendable, CaseIterable {
        /// Kaniko's variables.
        case env
        /// For a registry of Amazon ECR, the AWS credentials of the environment.
        case ecr
    }

    private let environment: [String: String]
    private let automatic: Set<Automatic>
    private let places: [DockerConfigPlace]
    private let helpers: CredentialHelpers
    private let ecr: ECRLogin
    /// Amazon S3 with the same AWS credentials.
    package let objects: S3Client
    private let note: @Sendable (Note) -> Void
    private let state: Mutex<State>

    private struct State {
        var configs: [DockerConfig]
        /// Set when a credential of the file was refused: the file may have been replaced since.
        var isStale = false
        var refused: Set<Credential> = []
        /// Set once there was no login to the public gallery to be had: nobody waits for the next search to fail, too.
        var galleryIsAnonymous = false
        var said: Set<String> = []
    }

    /// Reads the configuration.
    ///
    /// - Parameters:
    ///   - environment: of whoever runs this; all of it, since helper programs get it too. Nothing else is looked up.
    ///   - authFile: a docker configuration to be used in place of all that would be looked for.
    ///   - automatic: what may answer where the configuration names nothing. A configuration that names `ecr-login` is obeyed all the same.
    ///   - transport: how registries are reached; AWS is reached in the same way.
    ///   - pool: where requests and programs run.
    /// - Throws: kind `file` or `configuration` for a docker configuration that cannot be used.
    package init(
        environment: [String: String], authFile: FilePath? = nil, automatic: Set<Automatic> = Set(Automatic.allCases),
        transport: TransportSettings, pool: BlockingPool, pacing: Pacing = .real,
        note: @escaping @Sendable (Note) -> Void
    ) throws(RegistryError) {
        var environment = environment
        if authFile != nil { environment["DOCKER_AUTH_CONFIG"] = nil }
        self.environment = environment
        self.automatic = automatic
        self.note = note
        places = authFile.map { [DockerConfigPlace($0, mustExist: true)] } ?? DockerConfigPlace.usual(environment)
        let programs = ProgramRunner(pool: pool, environment: environment)
        helpers = CredentialHelpers(programs)
        let variables = AWSVariables(environment)
        let context = AWSContext(
            variables: variables, home: environment["HOME"], transport: transport, programs: programs, pool: pool,
            pacing: pacing)
        let chain = AWSCredentialChain(context) { note(.warning($0)) }
        ecr = ECRLogin(context, chain)
        objects = S3Client(context, chain)
        state = Mutex(State(configs: try RegistryCredentials.read(environment, places, note)))
    }

    private static func read(
        _ environment: [String: String], _ places: [DockerConfigPlace], _ note: (Note) -> Void
    ) throws(RegistryError) -> [DockerConfig] {
        var configs: [DockerConfig] = []
        if let text = environment["DOCKER_AUTH_CONFIG"], !text.isEmpty {
            let config = try DockerConfig(parsing: Array(text.utf8), name: "DOCKER_AUTH_CONFIG")
            config.noteMisspelled { note(.warning($0)) }
            configs.append(config)
        }
        if let config = try DockerConfig.load(places, notice: { note(.warning($0)) }) { configs.append(config) }
        return configs
    }

    package func credential(registry: String, repository: String) async throws(RegistryError) -> Credential? {
        let found = try await find(registry, repository)
        let source = found.map { "\($0)" } ?? "no credentials"
        say(.detail("registry \(registry): \(source)"))
        return found
    }

    private func find(_ registry: String, _ repository: String) async throws(RegistryError) -> Credential? {
        let host = ECRHost(registry)
        // The first that was refused answers when nothing else does: its refusal is what people have to hear about.
        var stale: Credential?
        for config in try configs() {
            for answer in try config.answers(registry: registry, repository: repository) {
                var found: Credential?
                switch answer {
                case .credential(let credential): found = credential
                case .helper("ecr-login", _, let isForThisHost):
                    // What docker-credential-ecr-login does is done here, without the program.
                    if let host { return try await login(host) }
                    guard !isForThisHost else {
                        throw RegistryError(
                            .configuration,
                            message:
                                "\(config.name) names the helper ecr-login for \(registry), which is no registry of Amazon ECR"
                        )
                    }
                case .helper(let name, let server, _):
                    found = try await helpers.credential(
                        CredentialHelpers.Question(helper: name, server: server, config: config.name))
                }
                guard let found else { continue }
                guard isRefused(found) else { return found }
                stale = stale ?? found
            }
        }
        if automatic.contains(.env), let found = try KanikoVariables(environment).credential(registry: registry) {
            guard isRefused(found) else { return found }
            stale = stale ?? found
        }
        guard let host, automatic.contains(.ecr) else { return stale }
        guard let stale else { return try await login(host) }
        return await successor(of: stale, registry, host)
    }

    /// A login made here in place of a written one that was refused: what `docker login` writes for ECR ends after 12 hours.
    private func successor(of stale: Credential, _ registry: String, _ host: ECRHost) async -> Credential {
        do throws(RegistryError) {
            guard let login = try await login(host) else { return stale }
            say(.warning("registry \(registry) refused the \(stale); a new login was made with your AWS credentials"))
            return login
        } catch {
            say(.detail("no new login to \(registry) could be made: \(error)"))
            return stale
        }
    }

    /// A login to ECR; for the public gallery, which serves everybody, `nil` where none can be had.
    private func login(_ host: ECRHost) async throws(RegistryError) -> Credential? {
        if host.isPublic, state.withLock({ $0.galleryIsAnonymous }) { return nil }
        do throws(RegistryError) {
            return try await ecr.credential(for: host)
        } catch {
            guard host.isPublic, error.kind != .cancelled else { throw error }
            state.withLock { $0.galleryIsAnonymous = true }
            let text = "public.ecr.aws is used without credentials: \(error.message)"
            say(error.kind == .noCredentials ? .detail(text) : .warning(text))
            return nil
        }
    }

    private func isRefused(_ credential: Credential) -> Bool {
        state.withLock { $0.refused.contains(credential) }
    }

    /// The configurations, read again if one of their credentials was refused since.
    private func configs() throws(RegistryError) -> [DockerConfig] {
        let (known, isStale) = state.withLock { state in
            defer { state.isStale = false }
            return (state.configs, state.isStale)
        }
        guard isStale else { return known }
        // What there is to say about them was said.
        let configs = try RegistryCredentials.read(environment, places) { _ in }
        state.withLock { $0.configs = configs }
        return configs
    }

    package func forget(_ credential: Credential, registry: String) {
        if case .ecr = credential.source, let host = ECRHost(registry) { return ecr.forget(credential, for: host) }
        helpers.forget(credential)
        state.withLock { state in
            state.refused.insert(credential)
            state.isStale = true
        }
    }

    /// Says something once.
    private func say(_ note: Note) {
        let text: String
        switch note {
        case .warning(let said), .detail(let said): text = said
        }
        let isNew = state.withLock { $0.said.count < 1000 && $0.said.insert(text).inserted }
        if isNew { self.note(note) }
    }

    // MARK: Amazon ECR beyond logins

    /// Makes a repository in Amazon ECR; one that is there already is a success.
    ///
    /// - Throws: kind `configuration` for a registry that is not ECR.
    package func createRepository(_ repository: String, registry: String) async throws(RegistryError) {
        try await ecr.createRepository(repository, registry: registry)
        note(.warning("the repository \(repository) did not exist in \(registry) and was created"))
    }

    /// What answers for a registry, without any secret: for people who look for a reason.
    package struct Explanation: Sendable, Hashable {
        /// Where the credential comes from; `nil` when there is none and requests go without.
        package let source: CredentialSource?
        /// Whom AWS takes us for, when the login is made with AWS credentials and STS could be asked.
        package let identity: AWSIdentity?
        /// Why STS could not be asked: the login works all the same.
        package let identityFailure: RegistryError?
    }

    /// Finds out which source answers for a repository, and for ECR as whom (a call of STS).
    ///
    /// - Throws: what `credential` throws.
    package func explain(registry: String, repository: String) async throws(RegistryError) -> Explanation {
        let found = try await credential(registry: registry, repository: repository)
        guard case .ecr? = found?.source, let host = ECRHost(registry) else {
            return Explanation(source: found?.source, identity: nil, identityFailure: nil)
        }
        do throws(RegistryError) {
            let identity = try await ecr.identity(for: host).identity
            return Explanation(source: found?.source, identity: identity, identityFailure: nil)
        } catch {
            return Explanation(source: found?.source, identity: nil, identityFailure: error)
        }
    }
}
