package import SystemPackage

/// Everything a transport would otherwise take from its environment.
package struct TransportSettings: Sendable {
    /// Sent as `User-Agent`, as `imgbuild/1.0`.
    package var userAgent: String
    package var proxy = Proxy()
    package var trust = Trust()
    package var timeouts = Timeouts()
    /// Where connections go in place of a host, each as curl writes it: `HOST:PORT:CONNECT-HOST:CONNECT-PORT`.
    package var connections: [String] = []

    package init(userAgent: String) {
        self.userAgent = userAgent
    }

    /// What an environment says about proxies and certificates.
    package init(userAgent: String, environment: [String: String]) {
        func value(_ names: String...) -> String? {
            names.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        self.init(userAgent: userAgent)
        // Upper-case HTTP_PROXY is left alone by curl, since a web server's child finds a request's "Proxy:" header there.
        // A builder is no such child, and people write it.
        proxy = Proxy(
            http: value("http_proxy", "HTTP_PROXY"), https: value("https_proxy", "HTTPS_PROXY"),
            exceptions: value("no_proxy", "NO_PROXY"))
        trust.authoritiesFile = value("SSL_CERT_FILE").map { FilePath($0) }
        trust.authoritiesDirectories =
            value("SSL_CERT_DIR")?.split(separator: ":").map { FilePath(String($0)) } ?? []
    }

    /// Proxy addresses as in `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; nothing is read from the environment.
    package struct Proxy: Sendable {
        package var http: String?
        package var https: String?
        /// Hosts that are reached without a proxy, separated by commas.
        package var exceptions: String?

        package init(http: String? = nil, https: String? = nil, exceptions: String? = nil) {
            self.http = http
            self.https = https
            self.exceptions = exceptions
        }
    }

    /// Whom to believe. Keys are `host` or `host:port`, as in an image reference.
    package struct Trust: Sendable {
        /// A bundle in place of the system's (`SSL_CERT_FILE`).
        package var authoritiesFile: FilePath?
        /// Folders whose PEM files are believed besides the bundle, whatever their names (`SSL_CERT_DIR`).
        package var authoritiesDirectories: [FilePath] = []
        /// A bundle for one host.
        package var hostAuthorities: [String: FilePath] = [:]
        package var clientIdentities: [String: ClientIdentity] = [:]
        /// Hosts whose certificates are not checked.
        package var unverifiedHosts: Set<String> = []
        package var verifiesNobody = false

        package init() {}

        func entry<Value>(of table: [String: Value], for url: HTTPURL) -> Value? {
            table[url.authority] ?? table["\(url.host):\(url.port)"]
        }

        func verifies(_ url: HTTPURL) -> Bool {
            !verifiesNobody && !unverifiedHosts.contains(url.authority)
                && !unverifiedHosts.contains("\(url.host):\(url.port)")
        }
    }

    /// A certificate and its key, both PEM files.
    package struct ClientIdentity: Sendable {
        package var certificate: FilePath
        package var key: FilePath

        package init(certificate: FilePath, key: FilePath) {
            self.certificate = certificate
            self.key = key
        }
    }

    package struct Timeouts: Sendable {
        package var connect = Duration.seconds(15)
        /// The longest time without a single byte in either direction.
        package var stall = Duration.seconds(60)
        /// The same, once a whole file was sent: the registry may be moving a large blob to its storage.
        package var answerAfterUpload = Duration.seconds(300)
        /// The longest time for a whole request; `nil` where bodies may be of any size.
        package var whole: Duration?

        package init() {}
    }
}
