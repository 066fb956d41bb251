// https://docs.docker.com/reference/cli/docker/login/#configuration-options

import FoundationEssentials
import Glibc
import SystemIO
package import SystemPackage

/// The credentials part of a docker configuration (`config.json`).
package struct DockerConfig: Sendable {
    /// What people call this configuration: its path, or the variable it came in.
    package let name: String
    private let auths: [String: Entry]
    private let credHelpers: [String: String]
    private let credsStore: String?

    /// What a configuration says about a registry.
    package enum Answer: Sendable, Hashable {
        case nothing
        case credential(Credential)
        /// The program `docker-credential-<name>` has to be asked for `server`.
        case helper(name: String, server: String)
    }

    private struct Entry: Decodable {
        var auth: String?
        var username: String?
        var password: String?
        var identitytoken: String?
        var registrytoken: String?
    }

    private struct Document: Decodable {
        var auths: [String: Entry]?
        var credHelpers: [String: String]?
        var credsStore: String?
    }

    /// A configuration has a few entries; a larger file is something else (bytes).
    private static let sizeLimit = 4 * 1024 * 1024

    /// Reads a configuration. An empty one says nothing about any registry.
    ///
    /// - Throws: kind `configuration` when it is not JSON or a value has the wrong type.
    package init(parsing bytes: [UInt8], name: String) throws(RegistryError) {
        self.name = name
        do {
            let document = try JSONDecoder().decode(Document.self, from: Data(bytes))
            auths = document.auths ?? [:]
            credHelpers = document.credHelpers ?? [:]
            credsStore = document.credsStore.flatMap { $0.isEmpty ? nil : $0 }
        } catch {
            throw RegistryError(
                .configuration,
                message: "\(name) is not a valid docker configuration: \(DockerConfig.explain(error, bytes))",
                hint: "credentials would be missing, so nothing is done without it")
        }
    }

    /// Reads the first of `paths` that exists.
    ///
    /// - Parameter notice: told about a path that is a directory, as Kubernetes mounts make them; it is passed over.
    /// - Returns: `nil` when none exists.
    /// - Throws: kind `file` when a file is there and cannot be read, `configuration` when it cannot be understood.
    package static func load(
        paths: [FilePath], notice: (String) -> Void
    ) throws(RegistryError) -> DockerConfig? {
        for path in paths {
            let bytes: [UInt8]
            do throws(SystemError) {
                bytes = try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: sizeLimit)
            } catch {
                switch error.errno {
                case .noSuchFileOrDirectory, .notDirectory: continue
                case .isDirectory:
                    notice("\(path.printable) is a directory: it is not used as a docker configuration")
                    continue
                default: throw .file(SystemError(call: error.call, path: path, errno: error.errno))
                }
            }
            return try DockerConfig(parsing: bytes, name: path.printable)
        }
        return nil
    }

    /// What to use for `registry/repository`: a helper for this very host, else the store, else the entry with the longest key that
    /// holds the repository.
    ///
    /// - Throws: kind `configuration` when the entry that answers cannot be understood.
    package func answer(registry: String, repository: String) throws(RegistryError) -> Answer {
        let wanted = ServerKey(registry)
        for key in credHelpers.keys.sorted() where ServerKey(key) == wanted {
            if let helper = credHelpers[key], !helper.isEmpty { return .helper(name: helper, server: key) }
        }
        if let credsStore { return .helper(name: credsStore, server: wanted.storeName) }
        let path = repository.split(separator: "/").map(String.init)
        let candidates = auths.keys.compactMap { key -> (key: String, server: ServerKey)? in
            let server = ServerKey(key)
            guard server.host == wanted.host, path.starts(with: server.path) else { return nil }
            return (key, server)
        }
        // Longest path first; then the key that is written as a reference would be; then any fixed order.
        let best = candidates.sorted { a, b in
            if a.server.path.count != b.server.path.count { return a.server.path.count > b.server.path.count }
            if a.server.isPlain(a.key) != b.server.isPlain(b.key) { return a.server.isPlain(a.key) }
            return a.key < b.key
        }
        for candidate in best {
            guard let entry = auths[candidate.key] else { continue }
            if let found = try credential(of: entry, key: candidate.key) { return .credential(found) }
        }
        return .nothing
    }

    /// Reads one entry; `nil` when it holds no secret, as the place holders of a credentials store do.
    private func credential(of entry: Entry, key: String) throws(RegistryError) -> Credential? {
        let source = CredentialSource.dockerConfig(name: name, key: key)
        if let token = entry.registrytoken, !token.isEmpty { return Credential(.registryToken(token), source: source) }
        var login: (user: String, password: String)?
        if let auth = entry.auth, !auth.isEmpty {
            login = DockerConfig.decode(auth)
        } else if let user = entry.username, !user.isEmpty {
            login = (user, entry.password ?? "")
        }
        if let token = entry.identitytoken, !token.isEmpty {
            return Credential(.identityToken(token, user: login?.user ?? ""), source: source)
        }
        if let auth = entry.auth, !auth.isEmpty, login == nil {
            throw RegistryError(
                .configuration,
                message: "\(name): 'auth' of \"\(printable(key))\" is not the base64 form of user:password",
                hint: "make it with: printf '%s' 'user:password' | base64 -w0")
        }
        guard let login else { return nil }
        if login.user == "<token>" { return Credential(.identityToken(login.password, user: ""), source: source) }
        return Credential(.password(user: login.user, password: login.password), source: source)
    }

    /// Base64 of `user:password`, with or without padding, with the line ends and NULs that tools leave behind.
    private static func decode(_ text: String) -> (user: String, password: String)? {
        var digits = text.utf8.filter { $0 > 0x20 }
        while digits.last == UInt8(ascii: "=") { digits.removeLast() }
        digits += [UInt8](repeating: UInt8(ascii: "="), count: (4 - digits.count % 4) % 4)
        guard var bytes = Data(base64Encoded: Data(digits)) else { return nil }
        while let last = bytes.last, last == 0 || last == 0x0a || last == 0x0d { bytes.removeLast() }
        guard let login = String(validating: bytes, as: UTF8.self), let colon = login.firstIndex(of: ":") else {
            return nil
        }
        let user = String(login[..<colon])
        return user.isEmpty ? nil : (user, String(login[login.index(after: colon)...]))
    }

    private static func explain(_ error: any Error, _ bytes: [UInt8]) -> String {
        guard let error = error as? DecodingError else { return "it cannot be read" }
        switch error {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context):
            let path = context.codingPath.map { printable($0.stringValue, limit: 80) }.joined(separator: ".")
            return path.isEmpty ? "it is not a JSON object" : "the value of '\(path)' has the wrong type"
        case .dataCorrupted:
            guard let place = JSONSyntax.firstError(in: bytes) else { return "it cannot be read" }
            return "it is not JSON at line \(place.line), column \(place.column)"
        @unknown default: return "it cannot be read"
        }
    }
}

/// A key of `auths` or `credHelpers` in one form: `https://index.docker.io/v1/`, `host:5000`, `host/team`.
private struct ServerKey: Hashable {
    let host: String
    let path: [String]

    init(_ key: String) {
        var rest = Substring(key)
        for scheme in ["https://", "http://"] where rest.lowercased().hasPrefix(scheme) {
            rest = rest.dropFirst(scheme.count)
        }
        var parts = rest.split(separator: "/").map(String.init)
        let host = parts.isEmpty ? "" : parts.removeFirst().lowercased()
        if parts.last == "v1" || parts.last == "v2" { parts.removeLast() }
        let isHub = host == "index.docker.io" || host == "registry-1.docker.io"
        self.host = isHub ? ImageHost.hub : host
        path = parts
    }

    /// Whether `key` is written without scheme and trailing slash.
    func isPlain(_ key: String) -> Bool {
        key == ([host] + path).joined(separator: "/")
    }

    /// The name under which credential stores keep a host's login.
    var storeName: String {
        host == ImageHost.hub ? "https://index.docker.io/v1/" : host
    }

    private enum ImageHost {
        static let hub = "docker.io"
    }
}
