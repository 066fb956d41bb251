package import SystemPackage

/// A real ssh-agent with one key, without a passphrase. Ends with this object.
package final class SSHAgent: Sendable {
    package let socket: FilePath
    /// The file with the public key; the private one is beside it.
    package let publicKey: FilePath
    /// `SHA256:...`
    package let fingerprint: String

    private let key: FilePath
    private let folder: TemporaryDirectory
    private let server: Server

    /// Starts an agent with `given`, a private key whose public half is beside it, or with a new key.
    package init(holding given: FilePath? = nil) throws {
        folder = try TemporaryDirectory()
        socket = folder.appending("agent")
        server = try Server(["ssh-agent", "-D", "-a", socket.string], log: folder.appending("log"))
        // It names the socket once that is there.
        _ = try server.wait(for: "the socket of ssh-agent") { $0.contains("SSH_AUTH_SOCK") ? true : nil }
        key = given ?? folder.appending("key")
        publicKey = FilePath("\(key).pub")
        if given == nil {
            try Program.require(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a tester", "-f", key.string])
        }
        try Program.require(
            ["ssh-add", "-q", key.string], environment: Program.environment(adding: ["SSH_AUTH_SOCK": socket.string]))
        let words = try Program.require(["ssh-keygen", "-l", "-f", publicKey.string]).text.split(separator: " ")
        fingerprint = words.count > 1 ? String(words[1]) : ""
    }

    /// The private key as it stands in its file.
    package func privateKey() throws -> String { try text(of: key) }

    /// Ends the agent; its socket's name stays.
    package func stop() { server.stop() }

    /// Lays programs of this machine, with the libraries that they need, into a folder as they lie below `/`.
    package static func copyPrograms(_ names: [String], to folder: FilePath) throws {
        let script = """
            mkdir -p "$1"
            folder=$1
            shift
            for name; do
                program=$(command -v "$name")
                for file in "$program" $(ldd "$program" | grep -o '/[^ ]*'); do
                    cp --parents --dereference --no-clobber "$file" "$folder"
                done
            done
            """
        try Program.require(["sh", "-ec", script, "copy", folder.string] + names)
    }
}
