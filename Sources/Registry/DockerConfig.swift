// https://docs.docker.com/reference/cli/docker/login/#configuration-options

import FoundationEssentials
import Glibc
import SystemIO
import SystemPackage

/// The credentials part of a docker configuration (`config.json`).
package struct DockerConfig: Sendable {
    /// What people call this configuration: its path, or the variable it came in.
    package let name: String
    private let auths: [String: Entry]
    private let credHelpers: [String: String]
    private let credsStore: String?
    /// Keys of the configuration that are none, and look like one that matters: `credStore` and what was meant.
    package let misspelled: [(key: String, meant: String)]

    /// Where a configuration says that a credential is.
    package enum Answer: Sendable, Hashable {
        case credential(Credential)
        /// The program `docker-credential-<name>` has to be asked for `server`. `isForThisHost` tells an entry of `credHelpers`
        /// from `credsStore`, which answers for every host.
        case helper(name: String, server: String, isForThisHost: Bool)
    }

    private struct Entry: Decodable {
        let auth: String?
        let username: String?
        let password: String?
        let identitytoken: String?
        let registrytoken: String?

        init(from decoder: any Decoder) throws {
            let object = try DockerConfig.Object(decoder)
            auth = try object.value("auth")
            username = try object.value("username")
            password = try object.value("password")
            identitytoken = try object.value("identitytoken")
            registrytoken = try object.value("registrytoken")
        }
    }

    private struct Document: Decodable {
        let auths: [String: Entry]?
        let credHelpers: [String: String]?
        let credsStore: String?
        let keys: [String]

        init(from decoder: any Decoder) throws {
            let object = try DockerConfig.Object(decoder)
            auths = try object.value("auths")
            credHelpers = try object.value("credHelpers")
            credsStore = try object.value("credsStore")
            keys = object.keys
        }
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
            misspelled = DockerConfig.misspelled(document.keys)
        } catch {
            throw RegistryError(
                .configuration,
                message: "\(name) is not a valid docker configuration: \(DockerConfig.explain(error, bytes))",
                hint: "credentials would be missing, so nothing is done without it")
        }
    }

    /// Reads the first of `places` that exists.
    ///
    /// - Parameter notice: told about a file that is a directory, as Kubernetes mounts make them, and passed over, and about keys
    ///   that look misspelled.
    /// - Returns: `nil` when none exists.
    /// - Throws: kind `file` when a file is there and cannot be read, `configuration` when it cannot be understood.
    package static func load(
        _ places: [DockerConfigPlace], notice: (String) -> Void
    ) throws(RegistryError) -> DockerConfig? {
        for place in places {
            let path = place.path
            let bytes: [UInt8]
            do throws(SystemError) {
                bytes = try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: sizeLimit)
            } catch {
                switch error.errno {
                case .noSuchFileOrDirectory where !place.mustExist, .notDirectory where !place.mustExist: continue
                case .isDirectory where place.mayBeFolder: continue
                case .isDirectory where !place.mustExist:
                    notice("\(path.printable) is a directory: it is not used as a docker configuration")
                    continue
                default: throw .file(SystemError(call: error.call, path: path, errno: error.errno))
                }
            }
            let config = try DockerConfig(parsing: bytes, name: path.printable)
            config.noteMisspelled(notice)
            return config
        }
        return nil
    }

    /// Tells about keys that look misspelled.
    package func noteMisspelled(_ notice: (String) -> Void) {
        for (key, meant) in misspelled {
            notice("\(name): the key \"\(printable(key, limit: 60))\" has no meaning; is \"\(meant)\" meant?")
        }
    }

    /// Where to look for the credential of `registry/repository`, best first: the helper for this very host, the store, the entry
    /// with the longest key that holds the repository.
    ///
    /// Docker's own tools stop at the first of them; here a helper that has nothing leaves the word to the next.
    /// - Throws: kind `configuration` when the entry that answers cannot be understood.
    package func answers(registry: String, repository: String) throws(RegistryError) -> [Answer] {
        let wanted = ServerKey(registry)
        var answers: [Answer] = []
        // Several spellings of one host: the one that is written as a reference would be comes first.
        let helperKeys = credHelpers.keys.filter { ServerKey($0) == wanted }.sorted { a, b in
            wanted.isPlain(a) != wanted.isPlain(b) ? wanted.isPlain(a) : a < b
        }
        if let key = helperKeys.first, let helper = credHelpers[key], !helper.isEmpty {
            answers.append(.helper(name: helper, server: key, isForThisHost: true))
        }
        if let credsStore { answers.append(.helper(name: credsStore, server: wanted.storeName, isForThisHost: false)) }
        if let entry = try entry(wanted, repository) { answers.append(.credential(entry)) }
        return answers
    }

    private func entry(_ wanted: ServerKey, _ repository: String) throws(RegistryError) -> Credential? {
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
            if let found = try credential(of: entry, key: candidate.key) { return found }
        }
        return nil
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
