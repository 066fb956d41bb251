/// Logins in variables, as Kaniko takes them: `KANIKO_REGISTRY_EXAMPLE_COM_USER` and `..._PASSWORD`.
struct KanikoVariables: Sendable {
    private let environment: [String: String]

    init(_ environment: [String: String]) {
        self.environment = environment
    }

    /// The login for a registry: under its own name, else under a shorter one that ends like it, as `EXAMPLE_COM`.
    ///
    /// - Throws: kind `configuration` when only one of the two variables is set.
    func credential(registry: String) throws(RegistryError) -> Credential? {
        // A port is not part of the names.
        let host = registry.split(separator: ":").first ?? ""
        var labels = host.split(separator: ".")
        // A top-level domain alone is nobody's.
        while labels.count > 1 || (labels.count == 1 && labels[0] == host) {
            let name = labels.joined(separator: "_").uppercased().replacing("-", with: "_")
            let user = "KANIKO_\(name)_USER"
            let password = "KANIKO_\(name)_PASSWORD"
            switch (present(user), present(password)) {
            case (nil, nil): labels.removeFirst()
            case (let login?, let secret?):
                return Credential(.password(user: login, password: secret), source: .named("\(user) and \(password)"))
            case (nil, _): throw RegistryError(.configuration, message: "\(password) is set, and \(user) is not")
            case (_, nil): throw RegistryError(.configuration, message: "\(user) is set, and \(password) is not")
            }
        }
        return nil
    }

    private func present(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}
