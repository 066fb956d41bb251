import OCI
import Registry
import Synchronization
import SystemIO
import SystemPackage

/// One client for each registry that a build speaks to; all of them share connections and credentials.
final class Registries: Sendable {
    private let settings: BuildRequest.RegistrySettings
    private let transport: CurlTransport
    /// Believes any certificate.
    private let credulous: CurlTransport
    private let credentials: RegistryCredentials
    private let report: EventSink
    private let clients = Mutex<[Way: RegistryClient]>([:])

    /// All that makes the client of a registry: purposes that are served the same way share a client and its tokens.
    private struct Way: Hashable {
        let registry: String
        let plainHTTP: Bool
        let isCredulous: Bool
        let tries: Int
    }

    /// - Throws: `RegistryError` for a docker config that cannot be read or understood.
    init(_ settings: BuildRequest.RegistrySettings, pool: BlockingPool, report: @escaping EventSink) throws {
        self.settings = settings
        self.report = report
        var reached = Registries.transportSettings(settings)
        transport = CurlTransport(pool: pool, settings: reached)
        credentials = try RegistryCredentials(
            environment: settings.environment, authFile: settings.authFile,
            automatic: settings.automaticCredentials, transport: reached, pool: pool
        ) { note in
            switch note {
            case .warning(let text): report(.warning(text))
            case .detail(let text): report(.detail(text))
            }
        }
        reached.trust.verifiesNobody = true
        credulous = CurlTransport(pool: pool, settings: reached)
    }

    private static func transportSettings(_ settings: BuildRequest.RegistrySettings) -> TransportSettings {
        var transport = TransportSettings(userAgent: settings.userAgent, environment: settings.environment)
        transport.connections = settings.connections
        // Docker Hub's name in references is not where its registry is.
        func dialled(_ host: String) -> String { ImageReference.isDockerHub(host) ? "registry-1.docker.io" : host }
        for (host, file) in settings.reach.authorities { transport.trust.hostAuthorities[dialled(host)] = file }
        for (host, files) in settings.reach.identities {
            transport.trust.clientIdentities[dialled(host)] = .init(certificate: files.certificate, key: files.key)
        }
        transport.trust.unverifiedHosts = Set(settings.reach.unverified.hosts.map(dialled))
        return transport
    }

    /// For addresses that are no registry's, with the same proxies and certificates.
    var files: FileClient { FileClient(transport: transport) }

    /// Objects of S3, with the AWS credentials that ECR gets.
    var objects: S3Client { credentials.objects }

    /// Which credentials answer for an image's repository, and for ECR as whom.
    func explain(_ reference: ImageReference) async throws -> RegistryCredentials.Explanation {
        try await credentials.explain(registry: reference.registry, repository: reference.repository)
    }

    func warn(_ text: String) { report(.warning(text)) }

    /// The places where an image is looked for, in order: mirrors, then its own registry.
    func candidates(for reference: ImageReference) -> [ImageReference] {
        settings.reach.mirrors.candidates(for: reference)
    }

    func client(for registry: String, to purpose: RegistryReach.Purpose) -> RegistryClient {
        let reach = settings.reach
        let policy = reach.policy(purpose)
        let way = Way(
            registry: registry, plainHTTP: reach.plainHTTP.contains(registry, purpose),
            isCredulous: reach.unverified.contains(registry, purpose), tries: policy.attempts)
        return clients.withLock { clients in
            if let client = clients[way] { return client }
            let (report, credentials) = (self.report, self.credentials)
            let maker: RepositoryMaker = { repository async throws(RegistryError) in
                try await credentials.createRepository(repository, registry: registry)
            }
            let client = RegistryClient(
                registry: registry, plainHTTP: way.plainHTTP, transport: way.isCredulous ? credulous : transport,
                credentials: credentials, retry: policy, makeRepository: settings.createsRepositories ? maker : nil,
                notice: { report(.warning($0)) })
            clients[way] = client
            return client
        }
    }
}
