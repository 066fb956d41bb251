/// Answers from a docker configuration.
package struct DockerConfigProvider: CredentialProvider {
    private let config: DockerConfig

    package init(_ config: DockerConfig) {
        self.config = config
    }

    package func credential(registry: String, repository: String) async throws(RegistryError) -> Credential? {
        switch try config.answer(registry: registry, repository: repository) {
        case .nothing: return nil
        case .credential(let credential): return credential
        case .helper(let name, let server):
            // Anonymous access in place of the helper's answer would only fail later, and say less.
            throw RegistryError(
                .configuration,
                message:
                    "\(config.name) leaves the credentials of \(printable(server)) to the helper docker-credential-\(printable(name)), and helper programs are not supported",
                hint: "give a configuration whose 'auths' holds the credentials of this registry")
        }
    }
}
