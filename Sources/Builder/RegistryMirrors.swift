package import OCI

/// Where images are looked for in place of the registry that their names say.
package struct RegistryMirrors: Sendable {
    /// Whether the registry itself is asked after its mirrors.
    package var fallsBack = true
    /// By the registry of references; in the order in which they are asked.
    private var mirrors: [String: [Mirror]] = [:]

    private struct Mirror: Sendable {
        let registry: String
        /// Put before the repository, with a slash at its end; or empty.
        let prefix: String
    }

    package init() {}

    /// Adds a mirror of Docker Hub: `host[:port][/path]`.
    package mutating func add(mirror text: String) throws(OCIError) {
        try add(text, for: ImageReference.dockerHub)
    }

    /// Adds mirrors as Kaniko writes them: `registry=host[/path]`, several separated by `;`. More than one for the same registry are asked
    /// in their order.
    package mutating func add(map text: String) throws(OCIError) {
        for entry in text.split(separator: ";") {
            guard let equals = entry.firstIndex(of: "="), equals != entry.startIndex else {
                throw OCIError("'\(entry)': expected REGISTRY=HOST[/PATH]")
            }
            // The same name as in references, whatever alias of Docker Hub was written.
            let origin = try RegistryMirrors.place(String(entry[..<equals])).registry
            try add(String(entry[entry.index(after: equals)...]), for: origin)
        }
    }

    private mutating func add(_ text: String, for origin: String) throws(OCIError) {
        let place = try RegistryMirrors.place(text)
        mirrors[origin, default: []].append(Mirror(registry: place.registry, prefix: place.prefix))
    }

    /// Takes `host[:port][/path]` apart, by the grammar of references.
    private static func place(_ text: String) throws(OCIError) -> (registry: String, prefix: String) {
        var text = Substring(text)
        while text.last == "/" { text.removeLast() }
        let image = "image"
        let reference = try ImageReference(parsing: "\(text)/\(image)")
        let host = text.prefix { $0 != "/" }
        // A first word that is no host would become a repository of Docker Hub.
        guard reference.registry == host || ImageReference.isDockerHub(String(host)) else {
            throw OCIError("'\(text)' does not begin with a registry's host")
        }
        var prefix = text.dropFirst(host.count).drop { $0 == "/" }
        if !prefix.isEmpty { prefix += "/" }
        return (reference.registry, String(prefix))
    }

    /// The places of an image, in the order in which they are asked; the last failure is the one that counts.
    func candidates(for reference: ImageReference) -> [ImageReference] {
        guard let mirrors = mirrors[reference.registry] else { return [reference] }
        let mirrored = mirrors.map {
            ImageReference(
                registry: $0.registry, repository: $0.prefix + reference.repository, tag: reference.tag,
                digest: reference.digest)
        }
        return fallsBack ? mirrored + [reference] : mirrored
    }
}
