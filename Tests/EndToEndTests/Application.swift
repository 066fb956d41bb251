import SystemPackage
import TestSupport

/// A small application with a Dockerfile of two stages, to be built from a commit of a Git repository.
struct Application {
    /// Files of the work tree, beside those of `copied`.
    let files: [String: String]
    let copied: FilePath?
    /// Further arguments of the build.
    let arguments: [String]
    /// The program in the unpacked image and its arguments, to serve `/health` at a port.
    let server: @Sendable (_ root: FilePath, _ port: Int) -> [String]
    /// What the image's config must have in `Entrypoint`.
    let entrypoint: [String]

    /// Busybox as a web server. Its build writes down all that a RUN can see of the builder.
    static let standIn = Application(
        files: [
            "Dockerfile": """
            FROM busybox AS build
            WORKDIR /out
            COPY www www
            RUN cp /bin/busybox . && env > seen && cat /proc/*/environ /proc/*/cmdline > all 2>/dev/null; tr -d '\\000' < all >> seen && rm all

            FROM scratch
            COPY --from=build /out /srv
            COPY . /source
            EXPOSE 8080
            ENTRYPOINT ["/srv/busybox", "httpd", "-f", "-p", "8080", "-h", "/srv/www"]

            """,
            "www/health": "well\n",
        ],
        copied: nil, arguments: [],
        server: { root, port in
            [
                root.appending("srv/busybox").string, "httpd", "-f", "-p", "127.0.0.1:\(port)", "-h",
                root.appending("srv/www").string,
            ]
        },
        entrypoint: ["/srv/busybox", "httpd", "-f", "-p", "8080", "-h", "/srv/www"])

    /// `testimages/go-todo`, on the base images that the demo makes.
    static let goTodo = Application(
        files: [:], copied: Fixtures.testImages.appending("go-todo"),
        arguments: ["golang:1", "debian:bookworm-slim"].flatMap { name in
            ["--build-context", "\(name)=oci-layout://\(bases)/\(name)"]
        },
        server: { root, port in
            ["env", "PORT=\(port)", root.appending("usr/local/bin/go-todo").string]
        },
        entrypoint: ["/usr/local/bin/go-todo"])

    /// Where the demo keeps its base images.
    static var bases: FilePath {
        let environment = Program.environment(adding: [:])
        let cache = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "/root") + "/.cache"
        return FilePath(cache).appending("imgbuild-demo").appending("bases")
    }

    static var hasBases: Bool {
        exists(bases.appending("golang").appending("index.json"))
            && exists(bases.appending("debian").appending("index.json"))
    }

    /// Lays the work tree into the folder `tree` of `folder`.
    func lay(into folder: TemporaryDirectory) throws -> FilePath {
        let tree = try folder.makeDirectory("tree")
        if let copied { try Program.require(["cp", "-a", "\(copied)/.", tree.string]) }
        for (name, text) in files { try folder.write(text, to: "tree/\(name)") }
        return tree
    }

    /// What the program of an unpacked image answers to `GET /health`; `nil` if it does not answer with 200.
    func health(in root: FilePath) throws -> String? {
        // Another test's server may take the port in between: then the program ends at once, and another port is tried.
        for _ in 0..<5 {
            let port = try freePort()
            let server = try RunningProgram(server(root, port))
            var answer: String?
            _ = try eventually {
                let asked = try Program.run([
                    "curl", "--silent", "--fail", "--max-time", "10", "http://127.0.0.1:\(port)/health",
                ])
                if asked.status == 0 { answer = asked.text }
                return asked.status == 0 || !server.isRunning()
            }
            if server.isRunning(), let answer { return answer }
        }
        return nil
    }
}

/// A port of 127.0.0.1 that nobody listens at.
func freePort() throws -> Int {
    let script = "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); print(s.getsockname()[1])"
    guard let port = Int(try Program.require(["python3", "-c", script]).text.split(separator: "\n").first ?? "") else {
        throw ProgramError(arguments: ["python3"], problem: "named no port")
    }
    return port
}
