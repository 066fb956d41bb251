import SystemIO
import SystemPackage

/// The state of one request while it runs; used by the one thread that runs it.
final class CurlTransfer {
    let request: HTTPRequest
    private let cancellation: Cancellation
    private let timeouts: TransportSettings.Timeouts
    private(set) var head = HTTPHead(status: 0, headers: [])
    private(set) var body: [UInt8] = []
    /// Why we ended the transfer ourselves.
    private(set) var failure: RegistryError?
    /// Whether an error answer was longer than anybody wants to read.
    private(set) var isCutShort = false
    /// How much of the request's body was read.
    var position: Int64 = 0
    private var headerBytes = 0
    private var hasBegun = false
    private var traffic: (sent: Int64, received: Int64) = (0, 0)
    private var lastTraffic = ContinuousClock.now

    /// Much more than any registry sends (bytes, over all header blocks of one request).
    private static let headerLimit = 128 * 1024

    init(_ request: HTTPRequest, _ cancellation: Cancellation, _ timeouts: TransportSettings.Timeouts) {
        self.request = request
        self.cancellation = cancellation
        self.timeouts = timeouts
    }

    static func at(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
        context.map { Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue() }
    }

    func takeHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        headerBytes += bytes.count
        guard headerBytes <= CurlTransfer.headerLimit else {
            return fail(.answer, "the answer has more than \(CurlTransfer.headerLimit / 1024) KiB of headers")
        }
        lastTraffic = .now
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // A new block: after 100 Continue, or after the answer of a proxy to CONNECT.
            let fields = line.split(whereSeparator: \.isWhitespace)
            head = HTTPHead(status: fields.count > 1 ? Int(fields[1]) ?? 0 : 0, headers: [])
        } else if let colon = line.firstIndex(of: ":") {
            let value = line[line.index(after: colon)...].trimmingWhitespace()
            head.headers.append((name: String(line[..<colon]), value: value))
        }
        return bytes.count
    }

    func takeBody(_ bytes: UnsafeRawBufferPointer) -> Int {
        let isSuccess = head.status == 200 || head.status == 201 || head.status == 206
        switch request.sink {
        case .receiver(let receiver) where head.status == 200 || head.status == 206:
            do throws(RegistryError) {
                if !hasBegun {
                    hasBegun = true
                    try receiver.begin(head)
                }
                try receiver.receive(bytes)
            } catch {
                failure = error.with(request: request.summary)
                return 0
            }
        case .bytes(let limit) where isSuccess:
            guard body.count + bytes.count <= limit else {
                return fail(.answer, "the answer is longer than \(limit) bytes")
            }
            body += bytes
        default:
            // A long error page has said enough: the transfer ends here, and its status counts.
            let room = HTTPRequest.errorBodyLimit - body.count
            body += bytes.prefix(room)
            if bytes.count > room {
                isCutShort = true
                return 0
            }
        }
        return bytes.count
    }

    /// Fills `buffer` with the next bytes of the body and returns how many; `nil` when they cannot be read.
    func giveBody(_ buffer: UnsafeMutableRawBufferPointer) -> Int? {
        switch request.body {
        case .none: return 0
        case .bytes(let bytes):
            let count = min(buffer.count, bytes.count - Int(position))
            buffer.copyBytes(from: bytes[Int(position)..<(Int(position) + count)])
            position += Int64(count)
            return count
        case .file(let range):
            let count = Int(min(Int64(buffer.count), range.count - position))
            guard count > 0 else { return 0 }
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            do throws(SystemError) {
                let read = try range.descriptor.read(into: part, at: range.offset + position)
                guard read > 0 else {
                    failure = RegistryError(
                        .content, request: request.summary,
                        message: "'\(range.path.printable)' became shorter while it was sent")
                    return nil
                }
                position += Int64(read)
                return read
            } catch {
                failure = .file(SystemError(call: error.call, path: range.path, errno: error.errno))
                return nil
            }
        }
    }

    /// Looks at the clock and at cancellation; libcurl asks about once a second, and after each piece of traffic.
    func mayGoOn(sent: Int64, received: Int64) -> Bool {
        if cancellation.isCancelled {
            failure = .cancelled()
            return false
        }
        let now = ContinuousClock.now
        if sent != traffic.sent || received != traffic.received {
            if sent != traffic.sent { request.onSent?(sent) }
            traffic = (sent, received)
            lastTraffic = now
            return true
        }
        var limit = timeouts.stall
        if case .file(let range) = request.body, sent >= range.count { limit = timeouts.answerAfterUpload }
        guard now - lastTraffic <= limit else {
            failure = RegistryError(
                .connection(.timedOut), request: request.summary,
                message: "nothing was heard from \(request.url.authority) for \(limit.components.seconds) s",
                isTemporary: true)
            return false
        }
        return true
    }

    private func fail(_ kind: RegistryError.Kind, _ message: String) -> Int {
        failure = RegistryError(kind, request: request.summary, message: message)
        return 0
    }
}

extension Substring {
    fileprivate func trimmingWhitespace() -> String {
        var rest = self.drop { $0.isWhitespace }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
