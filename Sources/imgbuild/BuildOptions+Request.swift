import ArgumentParser
import Builder
import Glibc
import OCI
import SystemIO
import SystemPackage

extension BuildOptions {
    /// Puts what these flags, and the environment, say into the request of a build.
    ///
    /// - Throws: `ValidationError`.
    func fill(_ request: inout BuildRequest, _ environment: [String: String]) throws {
        try checkValues()
        request.dockerfile = FilePath(dockerfile)
        request.target = target
        request.failsOnFindings = check
        request.buildArguments = try buildArguments.compactMap { try Self.buildArgument($0, environment) }
        request.labels = try labels.map { try Self.pair($0, "--label") }
        request.annotations = try annotations.map { try Self.pair($0, "--annotation") }
        request.imageFormat = imageFormat
        request.squashes = singleSnapshot
        request.namedContexts = try namedContexts()
        request.secrets = try requestedSecrets(environment)
        request.agents = try requestedAgents(environment)
        request.times = try times(environment)
        request.pushes = try pushes(environment)
        request.tarPath = tarPath.map { FilePath($0) }
        request.layoutPath = ociLayoutPath.map { FilePath($0) }
        request.isolation = isolation
        request.compression = try compressionFormat()
        request.threads = try Self.threadCount(threads)
    }

    /// - Throws: `ValidationError`.
    func wantedPlatform() throws -> Platform {
        guard let platform else { return .host }
        do { return try Platform(parsing: platform) } catch { throw ValidationError("\(error)") }
    }

    /// Kaniko's variable wins over the flag, as there.
    private func pushes(_ environment: [String: String]) throws -> Bool {
        guard let text = environment["KANIKO_NO_PUSH"], !text.isEmpty else { return push }
        guard let isOff = BooleanArguments.value(text[...]) else {
            throw ValidationError("KANIKO_NO_PUSH is '\(text)': expected true or false")
        }
        return !isOff
    }

    private func checkValues() throws {
        let values = [
            ("--tar-path", tarPath), ("--oci-layout-path", ociLayoutPath), ("--dockerfile", dockerfile),
            ("--target", target),
        ]
        for (flag, value) in values where value?.isEmpty == true {
            throw ValidationError("\(flag) has an empty value")
        }
    }

    /// - Parameter stateDir: as the flag has it.
    static func stateDirectory(_ stateDir: String?, _ environment: [String: String]) -> FilePath {
        if let stateDir { return FilePath(stateDir) }
        if let path = environment["IMGBUILD_STATE_DIR"], !path.isEmpty { return FilePath(path) }
        if UserNamespaceEntry.userID(environment) == 0 { return "/var/lib/imgbuild" }
        if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
            return FilePath(cache).appending("imgbuild")
        }
        return FilePath(environment["HOME"] ?? "/tmp").appending(".cache").appending("imgbuild")
    }

    /// A name and its value, taken from the environment if the text has none; `nil` if it has none either.
    static func buildArgument(_ text: String, _ environment: [String: String]) throws -> (name: String, value: String)?
    {
        let (name, value) = split(text)
        guard !name.isEmpty else { throw ValidationError("--build-arg '\(text)': the name is missing") }
        guard !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            throw ValidationError("--build-arg \(FilePath(name).printable): the name holds a control character")
        }
        if let value { return (name, value) }
        return environment[name].map { (name, $0) }
    }

    private static func pair(_ text: String, _ flag: String) throws -> (name: String, value: String) {
        let (name, value) = split(text)
        guard let value, !name.isEmpty else { throw ValidationError("\(flag) '\(text)': expected name=value") }
        return (name, value)
    }

    private func namedContexts() throws -> [String: BuildRequest.NamedContext] {
        var contexts: [String: BuildRequest.NamedContext] = [:]
        for text in buildContexts {
            let (name, value) = Self.split(text)
            guard let value, !name.isEmpty, !value.isEmpty else {
                throw ValidationError(
                    "--build-context '\(text)': expected name=folder, name=oci-layout://PATH[:TAG] or name=docker-image://IMAGE"
                )
            }
            guard contexts[name] == nil else { throw ValidationError("--build-context names '\(name)' twice") }
            contexts[name] = try Self.namedContext(value)
        }
        return contexts
    }

    private static func namedContext(_ value: String) throws -> BuildRequest.NamedContext {
        let image = "docker-image://"
        if value.hasPrefix(image) {
            let reference = String(value.dropFirst(image.count))
            guard (try? ImageReference(parsing: reference)) != nil else {
                throw ValidationError("--build-context: '\(reference)' is no image")
            }
            return .image(reference)
        }
        let scheme = "oci-layout://"
        guard value.hasPrefix(scheme) else {
            guard !value.contains("://") else {
                throw ValidationError(
                    "--build-context: '\(value)' is not supported: use a folder, oci-layout://PATH[:TAG] or docker-image://IMAGE"
                )
            }
            return .folder(FilePath(value))
        }
        let rest = value.dropFirst(scheme.count)
        if let at = rest.lastIndex(of: "@") {
            return .layout(FilePath(String(rest[..<at])), reference: String(rest[rest.index(after: at)...]))
        }
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            return .layout(FilePath(String(rest[..<colon])), reference: String(rest[rest.index(after: colon)...]))
        }
        return .layout(FilePath(String(rest)), reference: nil)
    }

    private func times(_ environment: [String: String]) throws -> BuildRequest.Times {
        func seconds(_ text: String, _ origin: String) throws -> BuildRequest.Times {
            guard let seconds = Int64(text), seconds >= 0 else {
                throw ValidationError("\(origin) is '\(text)': expected seconds since 1970")
            }
            return .fixed(Timestamp(seconds: seconds))
        }
        if timestamp == "now" { return .now }
        if let timestamp { return try seconds(timestamp, "--timestamp") }
        if reproducible { return .fixed(Timestamp(seconds: 0)) }
        if let epoch = buildArguments.last(where: { $0.hasPrefix("SOURCE_DATE_EPOCH=") }) {
            return try seconds(String(epoch.dropFirst("SOURCE_DATE_EPOCH=".count)), "SOURCE_DATE_EPOCH")
        }
        if let epoch = environment["SOURCE_DATE_EPOCH"], !epoch.isEmpty {
            return try seconds(epoch, "SOURCE_DATE_EPOCH")
        }
        return .reproducible
    }

    private func compressionFormat() throws -> CompressionPipeline.Format {
        // Kaniko writes its default as -1.
        let level = compressionLevel == -1 ? nil : compressionLevel
        let levels = compression == .gzip ? 1...9 : 1...19
        if let level, !levels.contains(level) {
            throw ValidationError(
                "--compression-level is \(level): expected \(levels.lowerBound) to \(levels.upperBound) for \(compression)"
            )
        }
        guard compression == .zstd else { return .gzip(level: level) }
        guard imageFormat == .oci else {
            throw ValidationError(
                "--compression zstd: Docker's image format has no type for it: leave --image-format out, or use gzip")
        }
        // libzstd's own default.
        return .zstd(level: level ?? 3)
    }

    /// - Parameter threads: as the flag has it.
    static func threadCount(_ threads: Int?) throws -> Int {
        guard let threads else { return max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }
        guard (1...256).contains(threads) else { throw ValidationError("--threads is \(threads): expected 1 to 256") }
        return threads
    }

    /// What git needs to run as the user's own git does: its PATH, home, locale, proxies and SSH agent.
    static func toolEnvironment(_ environment: [String: String]) -> [String] {
        let names: Set = [
            "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "GIT_SSH",
            "GIT_SSH_COMMAND", "GIT_LFS_SKIP_SMUDGE",
            "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy",
            "all_proxy",
            "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "LD_LIBRARY_PATH",
        ]
        return environment.filter { names.contains($0.key) }.map { "\($0.key)=\($0.value)" }.sorted()
    }

    private static func split(_ text: String) -> (name: String, value: String?) {
        guard let equals = text.firstIndex(of: "=") else { return (text, nil) }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }
}
