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
    /// A program that the configuration `config` names.
    case helper(program: String, config: String)
    /// ECR itself, asked with AWS credentials from the place that is named.
    case ecr(awsSource: String)
    /// Something else, in words: `the option --registry-user`.
    case named(String)

    package var description: String {
        switch self {
        case .dockerConfig(let name, let key): "\(name) (key \"\(printable(key))\")"
        case .helper(let program, let config): "the helper \(printable(program)) that \(config) names"
        case .ecr(let source): "Amazon ECR, asked with the AWS credentials from \(source)"
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

    /// Takes notice that the registry refused a credential: from now on it is answered only when there is no other.
    func forget(_ credential: Credential, registry: String)
}

extension CredentialProvider {
    package func forget(_ credential: Credential, registry: String) {}
}
