import ArgumentParser
import Builder
import OCI
import SystemPackage

/// The flags for registries that are not reached the ordinary way. Names and meanings are Kaniko's.
struct RouteOptions: ParsableArguments {
    @Flag(help: "Push in plain HTTP.")
    var insecure = false

    @Flag(help: "Pull in plain HTTP.")
    var insecurePull = false

    @Option(
        name: .customLong("insecure-registry"),
        help: ArgumentHelp("Speak plain HTTP with this registry. Repeatable.", valueName: "host"))
    var insecureRegistries: [String] = []

    @Flag(help: "Do not check the certificates of any registry.")
    var skipTlsVerify = false

    @Flag(help: "Do not check the certificates of registries that are pulled from.")
    var skipTlsVerifyPull = false

    @Option(
        name: .customLong("skip-tls-verify-registry"),
        help: ArgumentHelp("Do not check the certificate of this registry. Repeatable.", valueName: "host"))
    var unverifiedRegistries: [String] = []

    @Option(
        name: .customLong("registry-certificate"),
        help: ArgumentHelp(
            "Authorities to believe for one host, besides the system's. Repeatable.", valueName: "host=file"))
    var certificates: [String] = []

    @Option(
        name: .customLong("registry-client-cert"),
        help: ArgumentHelp(
            "Certificate and key by which one host shall know us. Repeatable.", valueName: "host=cert,key"))
    var clientCertificates: [String] = []

    @Option(
        name: .customLong("registry-mirror"),
        help: ArgumentHelp(
            "Where images of Docker Hub are looked for first (also: $KANIKO_REGISTRY_MIRROR). Repeatable.",
            valueName: "host[/path]"))
    var mirrors: [String] = []

    @Option(
        name: .customLong("registry-map"),
        help: ArgumentHelp(
            "Where images of a registry are looked for first; several separated by ';' (also: $KANIKO_REGISTRY_MAP). Repeatable.",
            valueName: "registry=host[/path]"))
    var maps: [String] = []

    @Flag(help: "Do not ask a registry itself when its mirrors do not have the image.")
    var skipDefaultRegistryFallback = false

    @Option(
        name: .customLong("push-retry"),
        help: ArgumentHelp("How often each step of a push is tried again (default: 5).", valueName: "number"))
    var pushRetries: Int?

    @Option(
        name: .customLong("image-download-retry"),
        help: ArgumentHelp("How often each step of a pull is tried again (default: 5).", valueName: "number"))
    var pullRetries: Int?

    func reach(_ environment: [String: String]) throws -> RegistryReach {
        var reach = RegistryReach()
        reach.plainHTTP = .init(
            hosts: try Set(insecureRegistries.map { try host($0, "--insecure-registry") }), pulls: insecurePull,
            pushes: insecure)
        reach.unverified = .init(
            hosts: try Set(unverifiedRegistries.map { try host($0, "--skip-tls-verify-registry") }),
            pulls: skipTlsVerify || skipTlsVerifyPull, pushes: skipTlsVerify)
        for text in certificates {
            let (name, file) = try pair(text, "--registry-certificate", "HOST=FILE")
            reach.authorities[name] = FilePath(file)
        }
        for text in clientCertificates {
            let expected = "HOST=CERTIFICATE,KEY"
            let (name, files) = try pair(text, "--registry-client-cert", expected)
            let parts = files.split(separator: ",", omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
                throw ValidationError("--registry-client-cert '\(text)': expected \(expected)")
            }
            reach.identities[name] = (FilePath(String(parts[0])), FilePath(String(parts[1])))
        }
        reach.mirrors = try registryMirrors(environment)
        reach.pushTries = try tries(pushRetries, "--push-retry")
        reach.pullTries = try tries(pullRetries, "--image-download-retry")
        return reach
    }

    private func registryMirrors(_ environment: [String: String]) throws -> RegistryMirrors {
        func given(_ values: [String], _ variable: String) -> [String] {
            if let value = environment[variable], !value.isEmpty, values.isEmpty { return [value] }
            return values
        }
        var found = RegistryMirrors()
        found.fallsBack = !skipDefaultRegistryFallback
        for text in given(maps, "KANIKO_REGISTRY_MAP") {
            do { try found.add(map: text) } catch { throw ValidationError("--registry-map: \(error)") }
        }
        for text in given(mirrors, "KANIKO_REGISTRY_MIRROR") {
            do { try found.add(mirror: text) } catch { throw ValidationError("--registry-mirror: \(error)") }
        }
        return found
    }

    private func host(_ text: String, _ flag: String) throws -> String {
        guard !text.isEmpty else { throw ValidationError("\(flag) is empty") }
        guard !text.contains("/") else {
            throw ValidationError("\(flag) '\(text)': expected a host, or host:port, and nothing else")
        }
        return text == "index.docker.io" ? ImageReference.dockerHub : text
    }

    private func pair(_ text: String, _ flag: String, _ expected: String) throws -> (name: String, value: String) {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex, text.last != "=" else {
            throw ValidationError("\(flag) '\(text)': expected \(expected)")
        }
        return (try host(String(text[..<equals]), flag), String(text[text.index(after: equals)...]))
    }

    private func tries(_ retries: Int?, _ flag: String) throws -> Int? {
        guard let retries else { return nil }
        guard (0...1000).contains(retries) else {
            throw ValidationError("\(flag) is \(retries): expected 0 to 1000")
        }
        return retries + 1
    }
}
