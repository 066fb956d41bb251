package import SystemPackage

/// OpenSSH's sshd on a free port of 127.0.0.1, with keys of its own, that lets this user in with one key. Ends with this object.
package final class SSHServer: Sendable {
    package let port: UInt16
    /// `user@127.0.0.1:PORT`, as it stands in `ssh://` addresses.
    package let authority: String
    /// A private key that the server takes, mode 0600.
    package var key: FilePath { folder.appending("user") }
    /// A private key that the server does not take.
    package var strangeKey: FilePath { folder.appending("stranger") }
    /// The server's key, as `known_hosts` has it.
    package var knownHosts: FilePath { folder.appending("known_hosts") }

    private let folder: TemporaryDirectory
    private let server: Server

    package init() throws {
        folder = try TemporaryDirectory()
        for name in ["host", "user", "stranger"] {
            try Program.require(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder.appending(name).string])
        }
        // Where sshd, started as root, shuts in the part of it that speaks with strangers.
        if isRoot { try Program.require(["mkdir", "-p", "-m", "0755", "/run/sshd"]) }
        let configuration = """
            HostKey \(folder.appending("host"))
            PidFile none
            UsePAM no
            StrictModes no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin prohibit-password
            AuthorizedKeysFile \(folder.appending("authorized"))

            """
        try folder.write(text(of: folder.appending("user.pub")), to: "authorized")
        let file = try folder.write(configuration, to: "sshd_config")
        (server, port) = try Server.onSomePort(
            isUp: "Server listening on", isTaken: "Address already in use", log: folder.appending("log")
        ) { ["/usr/sbin/sshd", "-D", "-e", "-f", file.string, "-o", "ListenAddress=127.0.0.1:\($0)"] }
        let user = try Program.require(["id", "-un"]).text.split(separator: "\n").first.map(String.init) ?? ""
        authority = "\(user)@127.0.0.1:\(port)"
        let host = try text(of: folder.appending("host.pub"))
        try folder.write("[127.0.0.1]:\(port) \(host)", to: "known_hosts")
    }

    /// Writes a `known_hosts` that has another key for this server, and returns its path.
    package func makeWrongKnownHosts() throws -> FilePath {
        let key = try text(of: folder.appending("stranger.pub"))
        return try folder.write("[127.0.0.1]:\(port) \(key)", to: "wrong_known_hosts")
    }

    /// Lets in whoever has the private key of the public key in this file, and nobody else from now on.
    package func admit(_ publicKey: FilePath) throws {
        try folder.write(text(of: publicKey), to: "authorized")
    }

    /// Ends the server.
    package func stop() { server.stop() }
}
