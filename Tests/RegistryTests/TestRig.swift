import Glibc
import OCI
import Synchronization
import SystemIO
import SystemPackage
import Testing

import enum TestSupport.Secrecy

@testable import Registry

/// A directory that is gone with the last reference to it.
final class ScratchDirectory: Sendable {
    let path: FilePath

    init() throws {
        var template = Array("/tmp/imgbuild-registry-test.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
        path = FilePath(bytes: template.dropLast().map { UInt8(bitPattern: $0) })
    }

    deinit {
        _ = try? Program.run("/bin/rm", ["-rf", path.string])
    }

    func write(_ name: String, _ bytes: [UInt8]) throws -> FilePath {
        let file = path.appending(name)
        let descriptor = try OwnedDescriptor.open(file, O_WRONLY | O_CREAT | O_TRUNC)
        try descriptor.writeAll(bytes)
        try descriptor.close()
        return file
    }

    func read(_ name: String) throws -> [UInt8] {
        try OwnedDescriptor.open(path.appending(name), O_RDONLY).readAll(limit: 1 << 30)
    }
}

/// Child processes of tests, addressed by their pid only.
enum Program {
    struct Failure: Error { let text: String }

    static func start(_ program: String, _ arguments: [String], output: FilePath) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output.string, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var arguments: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        var environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), strdup("HOME=/nonexistent"), nil,
        ]
        defer { for variable in environment { free(variable) } }
        let code = posix_spawnp(&pid, program, &actions, nil, &arguments, &environment)
        guard code == 0 else { throw Failure(text: "cannot start \(program): \(code)") }
        return pid
    }

    @discardableResult
    static func wait(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
    }

    @discardableResult
    static func run(_ program: String, _ arguments: [String]) throws -> String {
        var template = Array("/tmp/imgbuild-registry-output.XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw SystemError.last("mkstemp") }
        let file = OwnedDescriptor(taking: descriptor)
        let path = FilePath(bytes: template.dropLast().map { UInt8(bitPattern: $0) })
        defer { unlink(path.string) }
        let status = wait(try start(program, arguments, output: path))
        let output = String(decoding: try file.readAll(limit: 1 << 20), as: UTF8.self)
        guard status == 0 else { throw Failure(text: "\(program) ended with \(status): \(output)") }
        return output
    }
}

/// A real docker-registry on a free port of 127.0.0.1, stopped with the last reference to it.
final class RegistryProcess: Sendable {
    let port: Int
    private let pid: pid_t
    private let directory: ScratchDirectory

    /// The certificate for 127.0.0.1 that signs itself, with `withTLS`.
    var certificate: FilePath { directory.path.appending("server.crt") }

    init(withPasswords: Bool = false, readOnly: Bool = false, withTLS: Bool = false) throws {
        directory = try ScratchDirectory()
        var config = """
            version: 0.1
            log: {level: info, accesslog: {disabled: true}}
            storage:
              filesystem: {rootdirectory: "\(directory.path.string)/data"}
              delete: {enabled: true}
              maintenance: {uploadpurging: {enabled: false}, readonly: {enabled: \(readOnly)}}
            http:
              addr: "127.0.0.1:0"
              secret: test-secret

            """
        if withTLS {
            let key = directory.path.appending("server.key").string
            let certificate = directory.path.appending("server.crt").string
            try Program.run(
                "openssl",
                [
                    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=registry.test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                    certificate,
                ])
            config += "  tls: {certificate: \"\(certificate)\", key: \"\(key)\"}\n"
        }
        if withPasswords {
            let hashes = try Program.run(
                "perl", ["-e", #"print "tester:",crypt("s3cret","\$2y\$05\$abcdefghijklmnopqrstuu"),"\n""#])
            let file = try directory.write("htpasswd", Array(hashes.utf8))
            config += "auth: {htpasswd: {realm: imgbuild-test, path: \"\(file.string)\"}}\n"
        }
        let file = try directory.write("config.yml", Array(config.utf8))
        let log = directory.path.appending("log")
        pid = try Program.start("docker-registry", ["serve", file.string], output: log)
        var found: Int?
        for _ in 0..<6000 where found == nil {
            usleep(20_000)
            let text = String(decoding: (try? directory.read("log")) ?? [], as: UTF8.self)
            found = text.firstMatch(of: /listening on [^ "]*:(\d+)/).flatMap { Int($0.1) }
        }
        guard let found else {
            kill(pid, SIGKILL)
            Program.wait(pid)
            throw Program.Failure(text: "docker-registry did not start")
        }
        port = found
    }

    deinit {
        kill(pid, SIGKILL)
        Program.wait(pid)
    }

    var authority: String { "127.0.0.1:\(port)" }
}

/// Whatever is told to people passes by here: each note, and each error that a test waits for.
func expectNoSecret(in text: String) {
    if let secret = Secrecy.leak(in: text) { Issue.record("a secret is told, '\(secret)': \(text)") }
}

/// Always the same answer.
struct FixedCredentials: CredentialProvider {
    var credential: Credential?

    func credential(registry: String, repository: String) async throws(RegistryError) -> Credential? { credential }

    static let none = FixedCredentials(credential: nil)
    static func password(_ user: String, _ password: String) -> FixedCredentials {
        FixedCredentials(
            credential: Credential(
                .password(user: user, password: password),
                source: .dockerConfig(name: "/root/.docker/config.json", key: "reg")))
    }
}

/// What the user was told, and how long was waited.
final class Notes: Sendable {
    private let lines = Mutex<[String]>([])
    private let waits = Mutex<[Duration]>([])

    var texts: [String] { lines.withLock { $0 } }
    var delays: [Duration] { waits.withLock { $0 } }
    func note(_ line: String) {
        expectNoSecret(in: line)
        lines.withLock { $0.append(line) }
    }

    /// Waits are written down, not waited for.
    var pacing: Pacing {
        Pacing(
            now: { .now }, sleep: { delay in self.waits.withLock { $0.append(delay) } }, random: { 1 })
    }
}

/// Made before any transport, so that every test would notice a proxy taken from the environment.
let testPool: BlockingPool = {
    setenv("http_proxy", "http://127.0.0.1:1", 1)
    setenv("https_proxy", "http://127.0.0.1:1", 1)
    return BlockingPool(width: 8)
}()

func transport(_ change: (inout TransportSettings) -> Void = { _ in }) -> CurlTransport {
    var settings = TransportSettings(userAgent: "imgbuild/test")
    change(&settings)
    return CurlTransport(pool: testPool, settings: settings)
}

func client(
    _ authority: String, plainHTTP: Bool = true, credentials: FixedCredentials = .none, notes: Notes = Notes(),
    transport: CurlTransport = transport()
) -> RegistryClient {
    RegistryClient(
        registry: authority, plainHTTP: plainHTTP, transport: transport, credentials: credentials,
        pacing: notes.pacing, notice: notes.note)
}

/// Runs `body` and returns the error it has to throw.
func failure(_ body: () async throws -> Void) async throws -> RegistryError {
    do {
        try await body()
    } catch let error as RegistryError {
        expectNoSecret(in: "\(error) \(error.hint ?? "")")
        return error
    }
    throw Program.Failure(text: "this should have failed")
}

func descriptor(_ bytes: [UInt8], _ type: MediaType = .ociLayer) -> Descriptor {
    Descriptor(mediaType: type, digest: Digest(sha256: SHA256.hash(bytes)), size: Int64(bytes.count))
}

/// Bytes that do not repeat, the same each time.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
        while used < count {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            (buffer.baseAddress.map { $0 + used })?.initialize(to: UInt8(truncatingIfNeeded: state))
            used += 1
        }
    }
}

/// 3 MB, made once.
let bigNoise = noise(3_000_000)
