import OCI
import Registry
import Synchronization
import SystemIO
import SystemPackage

/// One client for each registry that a build speaks to; all of them share connections and credentials.
final class Registries: Sendable {
    private let settings: BuildRequest.RegistrySettings
    private let transport: CurlTransport
    private let credentials: Keychain
    private let report: EventSink
    private let clients = Mutex<[String: RegistryClient]>([:])

    /// - Throws: `RegistryError` for a docker config that cannot be read or understood.
    init(_ settings: BuildRequest.RegistrySettings, pool: BlockingPool, report: @escaping EventSink) throws {
        self.settings = settings
        self.report = report
        transport = CurlTransport(pool: pool, settings: Registries.transportSettings(settings))
        let config = try DockerConfig.load(paths: settings.configFiles) { report(.warning($0)) }
        credentials = Keychain(config.map { [DockerConfigProvider($0)] } ?? [])
    }

    private static func transportSettings(_ settings: BuildRequest.RegistrySettings) -> TransportSettings {
        func value(_ names: String...) -> String? {
            names.compactMap { settings.environment[$0] }.first { !$0.isEmpty }
        }
        var transport = TransportSettings(userAgent: settings.userAgent)
        // Upper-case HTTP_PROXY is left alone by curl, since a web server's child finds a request's "Proxy:" header there.
        // A builder is no such child, and people write it.
        transport.proxy = .init(
            http: value("http_proxy", "HTTP_PROXY"), https: value("https_proxy", "HTTPS_PROXY"),
            exceptions: value("no_proxy", "NO_PROXY"))
        transport.trust.authoritiesFile = value("SSL_CERT_FILE").map { FilePath($0) }
        transport.trust.authoritiesDirectory = value("SSL_CERT_DIR").map { FilePath($0) }
        return transport
    }

    /// For addresses that are no registry's, with the same proxies and certificates.
    var files: FileClient { FileClient(transport: transport) }

    func client(for registry: String) -> RegistryClient {
        clients.withLock { clients in
            if let client = clients[registry] { return client }
            let report = self.report
            let client = RegistryClient(
                registry: registry, plainHTTP: settings.insecure.contains(registry), transport: transport,
                credentials: credentials, notice: { report(.warning($0)) })
            clients[registry] = client
            return client
        }
    }
}
