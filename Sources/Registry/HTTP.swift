// https://www.rfc-editor.org/rfc/rfc9110

package import SystemIO
package import SystemPackage

/// One request to one address. Redirects are the sender's affair: see `RegistryClient`.
package struct HTTPRequest: Sendable {
    package enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case post = "POST"
        case put = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    package var method: Method
    package var url: HTTPURL
    package var headers: [(name: String, value: String)]
    package var body: HTTPBody
    /// Where a successful body (200 and 206) goes; any other body is kept up to `errorBodyLimit` bytes.
    package var sink: HTTPSink
    /// Told from time to time how many bytes of the body were sent.
    package var onSent: (@Sendable (Int64) -> Void)?

    /// As much of an error answer as is worth showing (bytes).
    package static let errorBodyLimit = 64 * 1024

    package init(
        _ method: Method, _ url: HTTPURL, headers: [(name: String, value: String)] = [], body: HTTPBody = .none,
        sink: HTTPSink = .bytes(limit: errorBodyLimit), onSent: (@Sendable (Int64) -> Void)? = nil
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.sink = sink
        self.onSent = onSent
    }

    /// The request for people, without secrets.
    package var summary: String { "\(method.rawValue) \(url)" }
}

/// What goes out with a request. Each body can be read again from its start, so that any request can be repeated.
package enum HTTPBody: Sendable {
    case none
    case bytes([UInt8])
    case file(FileRange)

    /// Length in bytes.
    var count: Int64 {
        switch self {
        case .none: 0
        case .bytes(let bytes): Int64(bytes.count)
        case .file(let range): range.count
        }
    }
}

/// Some bytes of an open file, read by offset: any number of requests may read them at the same time.
package final class FileRange: Sendable {
    package let descriptor: OwnedDescriptor
    /// First byte of the range in the file.
    package let offset: Int64
    /// Length in bytes.
    package let count: Int64
    package let path: FilePath

    /// Opens `path` for reading `count` bytes from `offset`.
    package init(opening path: FilePath, offset: Int64 = 0, count: Int64) throws(SystemError) {
        descriptor = try OwnedDescriptor.open(path, 0)
        self.path = path
        self.offset = offset
        self.count = count
    }

    /// Takes over a file that is open for reading: its first `count` bytes.
    ///
    /// - Parameter path: for messages.
    package init(taking descriptor: consuming OwnedDescriptor, count: Int64, path: FilePath) {
        self.descriptor = descriptor
        self.path = path
        offset = 0
        self.count = count
    }
}

/// Where the body of a successful answer goes.
package enum HTTPSink: Sendable {
    /// Into memory; a longer body fails the request.
    case bytes(limit: Int)
    /// To a receiver, piece by piece.
    case receiver(any HTTPReceiver)
}

/// Takes a body piece by piece, on one thread at a time, while the request runs.
package protocol HTTPReceiver: Sendable {
    /// Looks at the head of an answer with status 200 or 206 before its body comes.
    func begin(_ head: HTTPHead) throws(RegistryError)
    /// Takes the next bytes; throwing ends the transfer, and the request fails with that error.
    func receive(_ bytes: UnsafeRawBufferPointer) throws(RegistryError)
}

/// Status and headers of an answer.
package struct HTTPHead: Sendable {
    package var status: Int
    package var headers: [(name: String, value: String)]

    package init(status: Int, headers: [(name: String, value: String)]) {
        self.status = status
        self.headers = headers
    }

    /// The first header of this name, in any case.
    package subscript(name: String) -> String? {
        headers.first { $0.name.lowercased() == name.lowercased() }?.value
    }

    package func all(_ name: String) -> [String] {
        headers.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    /// `Content-Length`, when it is there and a length.
    package var contentLength: Int64? {
        guard let text = self["Content-Length"], let count = Int64(text), count >= 0 else { return nil }
        return count
    }
}

/// A whole answer; `body` is empty when a receiver took it.
package struct HTTPResponse: Sendable {
    package var head: HTTPHead
    package var body: [UInt8]
    /// The address that answered.
    package var url: HTTPURL
    /// What the server asked us to wait before another try.
    package var retryAfter: Duration?

    package init(head: HTTPHead, body: [UInt8], url: HTTPURL, retryAfter: Duration? = nil) {
        self.head = head
        self.body = body
        self.url = url
        self.retryAfter = retryAfter
    }

    package var status: Int { head.status }
}

/// Sends single requests.
package protocol HTTPTransport: Sendable {
    /// Sends `request` once and returns what was answered, whatever its status.
    ///
    /// When the surrounding task is cancelled the request ends within about a second, with an error of kind `cancelled`.
    func send(_ request: HTTPRequest) async throws(RegistryError) -> HTTPResponse
}
