import FoundationEssentials
import SystemPackage

/// A proxy in front of a server on this machine, which breaks the requests that rules name. Ends with this object.
package final class FaultProxy: Sendable {
    /// What is broken, and how: `Tests/Fixtures/fault-proxy.py` tells of each.
    package struct Fault: Sendable, Encodable {
        package enum End: String, Sendable, Encodable {
            case reset, close, chunk
        }

        private var method: String
        private var path: String
        private var skip = 0
        private var times = 1
        private var `do`: String
        private var status: Int?
        private var headers: [String: String?]?
        private var body: String?
        private var bytes: Int?
        private var end: End?

        private init(_ request: String, _ action: String) {
            let words = request.split(separator: " ", maxSplits: 1)
            method = String(words[0])
            path = words.count > 1 ? String(words[1]) : ""
            self.do = action
        }

        // In all of them `request` is a method, and after a space a regular expression for the path with its query.

        package static func answer(
            _ request: String, _ status: Int, _ body: String = "", headers: [String: String?] = [:]
        ) -> Fault {
            var fault = Fault(request, "answer")
            (fault.status, fault.body, fault.headers) = (status, body, headers)
            return fault
        }

        package static func rewrite(
            _ request: String, _ status: Int? = nil, headers: [String: String?] = [:]
        ) -> Fault {
            var fault = Fault(request, "rewrite")
            (fault.status, fault.headers) = (status, headers)
            return fault
        }

        package static func reset(_ request: String) -> Fault { Fault(request, "reset") }
        package static func loseAnswer(_ request: String) -> Fault { Fault(request, "lose-answer") }

        package static func cutRequest(_ request: String, after bytes: Int) -> Fault {
            var fault = Fault(request, "cut-request")
            fault.bytes = bytes
            return fault
        }

        package static func cutAnswer(_ request: String, after bytes: Int, by end: End) -> Fault {
            var fault = Fault(request, "cut-answer")
            (fault.bytes, fault.end) = (bytes, end)
            return fault
        }

        package static func corrupt(_ request: String, at byte: Int) -> Fault {
            var fault = Fault(request, "corrupt")
            fault.bytes = byte
            return fault
        }

        /// The same for every request, not just for the first.
        package var always: Fault { changed { $0.times = 0 } }
        /// The same for so many requests.
        package func repeated(_ count: Int) -> Fault { changed { $0.times = count } }
        /// The same for requests that name this repository.
        package func of(_ repository: String) -> Fault { changed { $0.path = "^/v2/\(repository)/.*\($0.path)" } }

        /// Whether this is what a request would be broken by, the first one or any other.
        package func matches(_ request: Request) -> Bool {
            guard let path = try? Regex(path) else { return false }
            return request.method == method && request.path.contains(path)
        }

        private func changed(_ change: (inout Fault) -> Void) -> Fault {
            var fault = self
            change(&fault)
            return fault
        }
    }

    /// A request whose end is known.
    package struct Request: Sendable, Decodable {
        package let method: String
        /// The path with its query.
        package let path: String
        /// Of the answer that the client got; 0 for none.
        package let status: Int
        /// The scheme of `Authorization`, empty without one.
        package let authorization: String
        package let range: String
        /// How much of the request's body came.
        package let bytes: Int
    }

    package let port: UInt16
    /// `127.0.0.1:PORT`.
    package var host: String { "127.0.0.1:\(port)" }

    private let folder: TemporaryDirectory
    private let server: Server

    package init(to upstream: UInt16) throws {
        folder = try TemporaryDirectory()
        let program = Fixtures.programs.appending("fault-proxy.py")
        server = try Server(
            ["python3", program.string, "\(upstream)", folder.appending("requests").string],
            log: folder.appending("log"))
        port = try server.wait(for: "the port of the fault proxy") { log in
            log.split(separator: "\n").first.flatMap { UInt16($0) }
        }
    }

    /// Breaks requests from now on, in addition to what was to be broken before.
    package func add(_ faults: [Fault]) throws {
        let rules = try JSONEncoder().encode(faults)
        try Program.require(
            [
                "curl", "--silent", "--fail", "--noproxy", "*", "--request", "PUT", "--data-binary", "@-",
                "http://\(host)/-/rules",
            ], input: Array(rules))
    }

    /// The requests so far that name `repository`, in the order of their ends.
    package func requests(of repository: String) throws -> [Request] {
        guard let log = try? text(of: folder.appending("requests")) else { return [] }
        return try log.split(separator: "\n").map { try JSONDecoder().decode(Request.self, from: Data($0.utf8)) }
            .filter { $0.path.hasPrefix("/v2/\(repository)/") }
    }
}
