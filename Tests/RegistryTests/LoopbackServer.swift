import Glibc
import Synchronization
import SystemIO

/// An HTTP/1.1 server on 127.0.0.1 whose every answer a test writes; one thread a connection.
final class LoopbackServer: Sendable {
    struct Request: Sendable {
        var method: String
        var target: String
        var headers: [String: String]
        var body: [UInt8]

        var path: String { String(target.prefix { $0 != "?" }) }
    }

    enum Reply: Sendable {
        case answer(Int, [String: String] = [:], body: [UInt8] = [])
        /// These bytes and nothing else; then the connection ends.
        case raw([UInt8])
        /// The connection ends without an answer.
        case hangUp
        /// Nothing comes until the client is tired.
        case silence

        static func text(_ status: Int, _ text: String, _ headers: [String: String] = [:]) -> Reply {
            .answer(status, headers, body: Array(text.utf8))
        }
    }

    let port: UInt16
    private let listener: Int32
    private let handler: @Sendable (Request, Int) -> Reply
    private let seen = Mutex<[Request]>([])
    /// Requests for which the connection is cut after so many bytes of the body: `METHOD path-prefix` to bytes, used once.
    private let cuts: Mutex<[String: Int]>

    /// - Parameter handler: given the request, and how many requests with the same method and path came before.
    init(cutting cuts: [String: Int] = [:], handler: @escaping @Sendable (Request, Int) -> Reply) throws {
        self.handler = handler
        self.cuts = Mutex(cuts)
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = listener
        let isReady = withUnsafeMutablePointer(to: &address) { pointer in
            // The C library's socket calls take a union of pointers when GNU's names are visible.
            bind(descriptor, __CONST_SOCKADDR_ARG(__sockaddr_in__: pointer), length) == 0 && listen(descriptor, 64) == 0
                && getsockname(descriptor, __SOCKADDR_ARG(__sockaddr_in__: pointer), &length) == 0
        }
        guard isReady else { throw SystemError.last("bind") }
        port = UInt16(bigEndian: address.sin_port)
        BlockingPool.detach { [weak self] in
            while true {
                // A program that another test starts would keep the connection open.
                let connection = accept4(
                    descriptor, __SOCKADDR_ARG(__sockaddr_in__: nil), nil, Int32(SOCK_CLOEXEC.rawValue))
                guard connection >= 0 else { return }
                BlockingPool.detach { [weak self] in
                    self?.serve(connection)
                    close(connection)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    var authority: String { "127.0.0.1:\(port)" }
    var requests: [Request] { seen.withLock { $0 } }

    func count(_ method: String, _ part: String = "") -> Int {
        requests.filter { $0.method == method && $0.target.contains(part) }.count
    }

    private func serve(_ connection: Int32) {
        var buffer: [UInt8] = []
        func fill() -> Bool {
            var chunk = [UInt8](repeating: 0, count: 65536)
            let count = recv(connection, &chunk, chunk.count, 0)
            guard count > 0 else { return false }
            buffer += chunk[..<count]
            return true
        }
        while true {
            var end: Int?
            while end == nil {
                end = headEnd(buffer)
                if end == nil, !fill() { return }
            }
            guard let end else { return }
            var request = parse(buffer[..<end])
            buffer.removeSubrange(..<end)
            let length = Int(request.headers["content-length"] ?? "") ?? 0
            let cut = cuts.withLock { cuts -> Int? in
                let key = cuts.keys.first { key in
                    let words = key.split(separator: " ")
                    return request.method == words[0] && request.path.hasPrefix(words[1])
                }
                return key.flatMap { cuts.removeValue(forKey: $0) }
            }
            if request.headers["expect"] != nil { write("HTTP/1.1 100 Continue\r\n\r\n", connection) }
            while buffer.count < min(length, cut ?? length), fill() {}
            if cut != nil {
                seen.withLock { $0.append(request) }
                reset(connection)
                return
            }
            request.body = Array(buffer.prefix(length))
            buffer.removeFirst(min(length, buffer.count))
            let before = seen.withLock { seen in
                seen.append(request)
                return seen.filter { $0.method == request.method && $0.path == request.path }.count - 1
            }
            switch handler(request, before) {
            case .hangUp: return reset(connection)
            case .silence:
                while fill() {}
                return
            case .raw(let bytes):
                send(bytes, connection)
                shutdown(connection, Int32(SHUT_WR))
                return
            case .answer(let status, var headers, let body):
                if headers["Content-Length"] == nil { headers["Content-Length"] = String(body.count) }
                let lines = headers.map { "\($0.key): \($0.value)\r\n" }.joined()
                write("HTTP/1.1 \(status) X\r\n\(lines)\r\n", connection)
                if request.method != "HEAD" { send(body, connection) }
            }
        }
    }

    private func headEnd(_ buffer: [UInt8]) -> Int? {
        let mark = Array("\r\n\r\n".utf8)
        guard buffer.count >= 4 else { return nil }
        return (0...(buffer.count - 4)).first { buffer[$0..<($0 + 4)].elementsEqual(mark) }.map { $0 + 4 }
    }

    private func parse(_ head: ArraySlice<UInt8>) -> Request {
        let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
        let words = (lines.first ?? "").split(separator: " ")
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        return Request(
            method: words.first.map(String.init) ?? "", target: words.count > 1 ? String(words[1]) : "",
            headers: headers, body: [])
    }

    /// Ends the connection with RST, as a broken network does.
    private func reset(_ connection: Int32) {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }

    private func write(_ text: String, _ connection: Int32) {
        send(Array(text.utf8), connection)
    }

    private func send(_ bytes: [UInt8], _ connection: Int32) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }
}
