import ArgumentParser
import Builder
import Glibc
import SystemIO
import SystemPackage

extension BuildOptions {
    /// What `--secret` names, by id. Without `src` and `env` the id is the variable's name, or else the file's, as with Docker.
    func requestedSecrets(_ environment: [String: String]) throws -> [String: BuildRequest.Secret] {
        var found: [String: BuildRequest.Secret] = [:]
        for text in secrets {
            let (id, secret) = try Self.secret(text, environment)
            guard found.updateValue(secret, forKey: id) == nil else {
                throw ValidationError("--secret names the id '\(id)' twice")
            }
        }
        return found
    }

    private static func secret(
        _ text: String, _ environment: [String: String]
    ) throws -> (id: String, BuildRequest.Secret) {
        // The text is not repeated in errors: people write values where names belong.
        var values: [String: String] = [:]
        for field in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let key = ["source": "src"][parts[0]] ?? parts[0]
            guard ["id", "src", "env", "type"].contains(key) else {
                throw ValidationError(
                    "--secret has an unknown option: expected id=ID with src=FILE, env=NAME or type=file|env")
            }
            guard parts.count == 2, !parts[1].isEmpty else { throw ValidationError("--secret: '\(key)' needs a value") }
            guard values.updateValue(parts[1], forKey: key) == nil else {
                throw ValidationError("--secret: '\(key)' is given twice")
            }
        }
        guard let id = values["id"] else {
            throw ValidationError("--secret needs an id: write id=ID,src=FILE or id=ID,env=NAME")
        }
        let type = values["type"]
        guard type == nil || type == "file" || type == "env" else {
            throw ValidationError("--secret id=\(id): the type is file or env")
        }
        guard values["src"] == nil || values["env"] == nil else {
            throw ValidationError("--secret id=\(id): name either a file (src) or a variable (env)")
        }
        guard type != "file" || values["env"] == nil else {
            throw ValidationError("--secret id=\(id): type=file takes src, not env")
        }
        let variable = values["env"] ?? (type == "env" ? values["src"] ?? id : nil)
        if let variable {
            guard let value = environment[variable] else {
                throw ValidationError("--secret id=\(id): the variable is not set: \(variable)")
            }
            return (id, .value(Array(value.utf8)))
        }
        if let file = values["src"] { return (id, .file(FilePath(file))) }
        if type == nil, let value = environment[id] { return (id, .value(Array(value.utf8))) }
        return (id, .file(FilePath(id)))
    }

    /// The agents that `--ssh` names, by id.
    func requestedAgents(_ environment: [String: String]) throws -> [String: FilePath] {
        var found: [String: FilePath] = [:]
        for text in agents {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard !parts[0].isEmpty, parts.count == 1 || !parts[1].isEmpty else {
                throw ValidationError("--ssh '\(text)': expected default or ID=SOCKET")
            }
            let path = parts.count == 2 ? parts[1] : environment["SSH_AUTH_SOCK"] ?? ""
            guard !path.isEmpty else {
                throw ValidationError(
                    "--ssh \(parts[0]): SSH_AUTH_SOCK is not set: start ssh-agent, or write --ssh \(parts[0])=SOCKET")
            }
            try Self.requireSocket(path, parts[0])
            guard found.updateValue(FilePath(path), forKey: parts[0]) == nil else {
                throw ValidationError("--ssh names the id '\(parts[0])' twice")
            }
        }
        return found
    }

    private static func requireSocket(_ path: String, _ id: String) throws {
        let kind: FileStatus.Kind
        do throws(SystemError) { kind = try OwnedDescriptor.open(FilePath(path), O_PATH).status().kind } catch {
            throw ValidationError("--ssh \(id): \(error)")
        }
        guard kind == .socket else {
            throw ValidationError(
                "--ssh \(id)=\(path): key files are not supported, only the socket of an agent: ssh-add \(path), then --ssh \(id)"
            )
        }
    }
}
