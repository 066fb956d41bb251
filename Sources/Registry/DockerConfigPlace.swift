// https://docs.docker.com/reference/cli/docker/#environment-variables
// https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md

package import SystemPackage

/// A path where a docker configuration may be.
package struct DockerConfigPlace: Sendable, Hashable {
    package let path: FilePath
    /// Whether the build cannot go on without it.
    package let mustExist: Bool
    /// Whether a folder of this name is nothing to speak of.
    package let mayBeFolder: Bool

    package init(_ path: FilePath, mustExist: Bool = false, mayBeFolder: Bool = false) {
        self.path = path
        self.mustExist = mustExist
        self.mayBeFolder = mayBeFolder
    }

    /// Where docker, podman and Kaniko keep theirs, in the order in which they are looked at. The first that exists is used alone.
    package static func usual(_ environment: [String: String]) -> [DockerConfigPlace] {
        func value(_ name: String) -> FilePath? {
            environment[name].flatMap { $0.isEmpty ? nil : FilePath($0) }
        }
        var places: [DockerConfigPlace] = []
        if let folder = value("DOCKER_CONFIG") {
            places.append(DockerConfigPlace(folder.appending("config.json")))
            // Kaniko's users give it the file itself, too.
            places.append(DockerConfigPlace(folder, mayBeFolder: true))
        }
        let home = value("HOME")
        if let home { places.append(DockerConfigPlace(home.appending(".docker").appending("config.json"))) }
        if let file = value("REGISTRY_AUTH_FILE") { places.append(DockerConfigPlace(file)) }
        for folder in [value("XDG_RUNTIME_DIR"), value("XDG_CONFIG_HOME") ?? home?.appending(".config")] {
            guard let folder else { continue }
            places.append(DockerConfigPlace(folder.appending("containers").appending("auth.json")))
        }
        // Where Kaniko's image had it: old mounts keep working.
        places.append(DockerConfigPlace("/kaniko/.docker/config.json"))
        return places
    }
}
