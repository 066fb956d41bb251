import Glibc
import SystemIO
package import SystemPackage

extension BuildRequest {
    /// Where the value of `RUN --mount=type=secret` comes from. No description shows a value.
    package enum Secret: Sendable, CustomStringConvertible {
        case file(FilePath)
        case value([UInt8])

        package var description: String {
            switch self {
            case .file(let path): "the file \(path.printable)"
            case .value: "a value"
            }
        }
    }
}

/// The secrets and agents that this build may lend to its RUNs.
struct BuildSecrets: Sendable {
    private let values: [String: Value]
    /// Sockets of SSH agents by id.
    let agents: [String: FilePath]

    /// A secret's bytes, which print as nothing.
    struct Value: Sendable, CustomStringConvertible {
        let bytes: [UInt8]
        var description: String { "(secret)" }
    }

    /// Bytes: what Docker takes. A larger one is a file given by mistake.
    static let limit = 500 * 1024

    /// Reads every secret. Blocks.
    ///
    /// - Throws: for a file that cannot be read or is too large, and for an agent that does not answer.
    init(reading request: BuildRequest) throws {
        var values: [String: Value] = [:]
        for (id, secret) in request.secrets {
            values[id] = Value(bytes: try BuildSecrets.read(secret, id: id))
        }
        self.values = values
        for (id, socket) in request.agents { try BuildSecrets.check(socket, id: id) }
        agents = request.agents
    }

    subscript(id: String) -> Value? { values[id] }

    /// The bytes of every secret.
    var all: [[UInt8]] { values.values.map(\.bytes) }

    private static func read(_ secret: BuildRequest.Secret, id: String) throws -> [UInt8] {
        switch secret {
        case .value(let bytes):
            guard bytes.count <= limit else { throw tooLarge(id) }
            return bytes
        case .file(let path):
            do throws(SystemError) {
                return try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: limit)
            } catch {
                if error.errno == .fileTooLarge { throw tooLarge(id) }
                throw BuildError("the secret '\(id)' cannot be read from '\(path.printable)': \(error)")
            }
        }
    }

    private static func tooLarge(_ id: String) -> BuildError {
        BuildError(
            "the secret '\(id)' has more than \(limit) bytes",
            hint: "a RUN can mount larger files with --mount=type=bind")
    }

    private static func check(_ socket: FilePath, id: String) throws {
        let raw = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw SystemError.last("socket") }
        defer { close(raw) }
        let result = try AgentForwarder.withAddress(of: socket) { connect(raw, $0, $1) }
        guard result == 0 else {
            throw BuildError(
                "no SSH agent answers for --ssh \(id): \(SystemError.last("connect", socket))",
                hint: "start ssh-agent and set SSH_AUTH_SOCK; a key file must be added to an agent (ssh-add)")
        }
    }
}
