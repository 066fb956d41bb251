// https://www.rfc-editor.org/rfc/rfc9110#section-14

import OCI
import SystemIO

/// One file on its way in, over as many requests as it takes.
struct FileTransfer {
    let receiver: FileReceiver
    let retrier: Retrier

    /// A try that brought this much is not counted against the limit of tries (bytes).
    private static let progress: Int64 = 1024 * 1024

    /// Asks for what is missing until all of it is there, or the policy says that it is enough.
    ///
    /// - Parameter fetchRest: one try: sends a request with the headers of `receiver.startTry()`.
    func run(
        _ fetchRest: () async throws(RegistryError) -> FileClient.File
    ) async throws(RegistryError) -> FileClient.File {
        var start = retrier.pacing.now()
        var attempt = 1
        var mark: Int64 = 0
        while true {
            do throws(RegistryError) {
                return try await fetchRest()
            } catch {
                // Only bytes that need not come again are progress.
                if receiver.version != nil, receiver.received - mark >= FileTransfer.progress {
                    start = retrier.pacing.now()
                    attempt = 1
                    mark = receiver.received
                }
                try await retrier.recover(from: error, attempt: attempt, since: start)
                attempt += 1
            }
        }
    }
}

/// Takes a file's bytes, hashes them, and passes them on.
///
/// @unchecked: one transfer at a time uses it, and the `await` between two transfers orders their accesses.
final class FileReceiver: HTTPReceiver, @unchecked Sendable {
    private let destination: BlobDestination
    private var hash = SHA256()
    /// Bytes that were hashed and passed on.
    private(set) var received: Int64 = 0
    private let condition: Condition
    /// The strong ETag of what was received; `nil` where a transfer cannot go on.
    private(set) var version: String?
    private var isRangeAsked = false
    private var hasBegun = false
    /// The length of the whole file, once a server said it.
    private var total: Int64?

    /// How a server is told that the rest of a file is wanted only if the file is still the same.
    enum Condition: String {
        /// A server whose file is another one by now sends all of it.
        case ifRange = "If-Range"
        /// It refuses then (412). S3 knows this one only.
        case ifMatch = "If-Match"
    }

    init(_ destination: BlobDestination, condition: Condition = .ifRange) {
        self.destination = destination
        self.condition = condition
    }

    /// Gets ready for a request, and returns the headers that ask for what is missing.
    func startTry() -> [(name: String, value: String)] {
        hasBegun = false
        isRangeAsked = received > 0 && version != nil
        guard isRangeAsked, let version else { return [] }
        return [(name: "Range", value: "bytes=\(received)-"), (name: condition.rawValue, value: version)]
    }

    /// Has all of the file asked for again, which became another one meanwhile; the error that says so.
    func startAgain(request: String) -> RegistryError {
        version = nil
        return RegistryError(
            .connection(.lost), request: request, message: "the file changed while it was fetched", isTemporary: true)
    }

    func begin(_ head: HTTPHead) throws(RegistryError) {
        hasBegun = true
        guard head.status == 206 else { return try restart(head) }
        guard isRangeAsked, let range = ContentRange(head["Content-Range"] ?? ""), range.start == received else {
            throw RegistryError(.answer, message: "the server sends a part of the file that was not asked for")
        }
        total = range.total ?? total
    }

    private func restart(_ head: HTTPHead) throws(RegistryError) {
        try destination.restart?()
        hash = SHA256()
        received = 0
        total = head.contentLength
        version = head["ETag"].flatMap { $0.hasPrefix("\"") ? $0 : nil }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) throws(RegistryError) {
        try destination.write(bytes, received)
        hash.update(bytes)
        received += Int64(bytes.count)
    }

    /// Ends the file with the answer that brought its last bytes.
    ///
    /// - Parameter request: for error texts.
    func finish(_ response: HTTPResponse, request: String) throws(RegistryError) -> FileClient.File {
        // An answer without a body never comes to `begin`.
        if !hasBegun { try begin(response.head) }
        if let total, total != received {
            throw RegistryError(
                .connection(.lost), request: request,
                message: "the file ended after \(received) of \(total) bytes", isTemporary: true)
        }
        var finished = SHA256()
        swap(&finished, &hash)
        return FileClient.File(
            digest: Digest(sha256: finished.finish()), size: received,
            lastModified: response.head["Last-Modified"].flatMap(HTTPDate.parse), version: FileVersion(response.head))
    }
}
