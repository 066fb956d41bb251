/// What is shown to a registry, and where it came from.
package struct Credential: Sendable, Hashable {
    package enum Secret: Sendable, Hashable {
        case password(user: String, password: String)
        /// A refresh token of OAuth2, exchanged for bearer tokens. `user` may be empty.
        case identityToken(String, user: String)
        /// A bearer token that is shown as it is.
        case registryToken(String)
    }

    package let secret: Secret
    package let source: CredentialSource

    package init(_ secret: Secret, source: CredentialSource) {
        self.secret = secret
        self.source = source
    }
}

/// A credential never prints its secret.
extension Credential: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "credentials from \(source)" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: ["source": source]) }
}

/// Where a credential came from, for error texts.
package enum CredentialSource: Sendable, Hashable, CustomStringConvertible {
    /// An entry of `auths` in a docker configuration; `name` is its path or what else people call it.
    case dockerConfig(name: String, key: String)
    /// Something else, in words: `the option --registry-user`.
    case named(String)

    package var description: String {
        switch self {
        case .dockerConfig(let name, let key): "\(name) (key \"\(printable(key))\")"
        case .named(let name): name
        }
    }
}

/// Finds the credential for a repository.
package protocol CredentialProvider: Sendable {
    /// - Parameters:
    ///   - registry: host or host:port as in a reference, `docker.io` for Docker Hub.
    ///   - repository: the path without the registry.
    /// - Returns: `nil` when this provider has nothing to say about the registry. A provider that should know but fails throws:
    ///   a failure never becomes anonymous access.
    func credential(registry: String, repository: String) async throws(RegistryError) -> Credential?
}

/// Several providers, asked in order; the first answer counts.
package struct Keychain: CredentialProvider {
    private let providers: [any CredentialProvider]

    package init(_ providers: [any CredentialProvider]) {
        self.providers = providers
    }

    package func credential(registry: String, repository: String) async throws(RegistryError) -> Credential? {
        for provider in providers {
            if let found = try await provider.credential(registry: registry, repository: repository) { return found }
        }
        return nil
    }
}
