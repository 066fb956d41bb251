package import SystemPackage

/// nginx on 127.0.0.1, in front of a server of plain HTTP. Ends with this object.
package final class Nginx: Sendable {
    package let port: UInt16
    /// `127.0.0.1:PORT`.
    package var host: String { "127.0.0.1:\(port)" }

    private let folder: TemporaryDirectory
    private let server: Server

    /// - Parameters:
    ///   - upstream: the port of the other server, which is told the name that clients use.
    ///   - more: directives for its location. There is a cache of the name `cache` for those who want it.
    ///   - identity: its own, for TLS.
    ///   - clients: the authority that has to know who connects.
    ///   - user: who may ask for anything; without one, anybody.
    package init(
        to upstream: UInt16, _ more: String = "", identity: TestAuthority.Identity? = nil, clients: FilePath? = nil,
        user: (name: String, password: String)? = nil
    ) throws {
        let folder = try TemporaryDirectory()
        self.folder = folder
        var directives =
            "location / { proxy_pass http://127.0.0.1:\(upstream); proxy_set_header Host $http_host; \(more) }"
        if let identity {
            directives += "\nssl_certificate \(identity.certificate); ssl_certificate_key \(identity.key);"
        }
        if let clients { directives += "\nssl_client_certificate \(clients); ssl_verify_client on;" }
        if let user {
            let line = try Program.require(
                ["htpasswd", "-niB", "-C", "4", user.name], input: Array(user.password.utf8))
            let file = try folder.write(line.output, to: "htpasswd")
            directives += "\nauth_basic tests; auth_basic_user_file \(file);"
        }
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
            "\($0)_temp_path \(folder.appending($0));"
        }
        (server, port) = try Server.onSomePort(
            isUp: "start worker process ", isTaken: "Address already in use", log: folder.appending("log")
        ) { port in
            let configuration = """
                daemon off;
                pid \(folder.appending("pid"));
                worker_processes 1;
                \(isRoot ? "user root;" : "")
                error_log stderr notice;
                events {}
                http {
                  access_log \(folder.appending("requests"));
                  \(paths.joined(separator: "\n"))
                  proxy_cache_path \(folder.appending("cache")) keys_zone=cache:1m;
                  server {
                    listen 127.0.0.1:\(port)\(identity == nil ? "" : " ssl");
                    \(directives)
                  }
                }

                """
            return ["/usr/sbin/nginx", "-e", "stderr", "-c", try folder.write(configuration, to: "nginx.conf").string]
        }
    }
}

/// A forward proxy on 127.0.0.1, for plain HTTP and CONNECT. Ends with this object.
package final class ForwardProxy: Sendable {
    package let port: UInt16
    private let folder: TemporaryDirectory
    private let server: Server

    /// - Parameter user: who may use it; without one, anybody.
    package init(user: (name: String, password: String)? = nil) throws {
        let folder = try TemporaryDirectory()
        self.folder = folder
        (server, port) = try Server.onSomePort(
            isUp: "done sending stored logs", isTaken: "Could not create listening sockets",
            log: folder.appending("log")
        ) { port in
            let access = user.map { "BasicAuth \($0.name) \($0.password)\n" } ?? ""
            let configuration = "Port \(port)\nListen 127.0.0.1\nTimeout 60\nLogLevel Connect\nMaxClients 50\n\(access)"
            return ["tinyproxy", "-d", "-c", try folder.write(configuration, to: "tinyproxy.conf").string]
        }
    }

    /// What it was asked for, each as `CONNECT 127.0.0.1:5000` or `GET http://127.0.0.1:5000/v2/`.
    package func requests() throws -> [String] {
        // CONNECT   Nov 28 07:39:45.225 [8492]: Request (file descriptor 4): CONNECT 127.0.0.1:1 HTTP/1.1
        try text(of: server.log).split(separator: "\n").compactMap { line in
            guard line.hasPrefix("CONNECT"), let mark = line.firstRange(of: "): "), line.hasSuffix(" HTTP/1.1"),
                line.contains(": Request (")
            else { return nil }
            return String(line[mark.upperBound...].dropLast(" HTTP/1.1".count))
        }
    }
}
