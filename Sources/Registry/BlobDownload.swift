// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-blobs

import OCI
import SystemIO

/// One blob on its way in, over as many requests as it takes.
struct BlobDownload: Sendable {
    let descriptor: Descriptor
    let repository: String
    let conversation: Conversation
    let receiver: BlobReceiver

    /// A try that brought this much is not counted against the limit of tries (bytes).
    private static let progress: Int64 = 1024 * 1024

    func run() async throws(RegistryError) {
        let retrier = conversation.retrier
        var start = retrier.pacing.now()
        var attempt = 1
        var mark: Int64 = 0
        var wasDamaged = false
        while true {
            do throws(RegistryError) {
                try await fetchRest()
                guard let actual = receiver.finish() else { return }
                let damage = RegistryError(
                    .content, request: "GET blob \(descriptor.digest) of \(repository)",
                    message: "the registry sent other content, with the digest \(actual)")
                guard !wasDamaged, try receiver.restart() else { throw damage }
                wasDamaged = true
                mark = 0
            } catch {
                let received = receiver.received
                if received - mark >= BlobDownload.progress {
                    start = retrier.pacing.now()
                    attempt = 1
                    mark = received
                }
                try await retrier.recover(from: error, attempt: attempt, since: start)
                attempt += 1
            }
        }
    }

    /// Asks for what is missing. Returns when all bytes were received.
    private func fetchRest() async throws(RegistryError) {
        let received = receiver.received
        var headers: [(name: String, value: String)] = []
        if received > 0 { headers.append((name: "Range", value: "bytes=\(received)-")) }
        let response = try await conversation.send(
            Exchange(
                method: .get, target: .path("blobs/\(descriptor.digest)"), headers: headers,
                sink: .receiver(receiver), repository: repository, scopes: [Scope.pull(repository)]),
            expecting: [200, 206])
        guard receiver.received == descriptor.size else {
            throw RegistryError(
                .connection(.lost), request: "GET \(response.url)",
                message: "the blob ended after \(receiver.received) of \(descriptor.size) bytes", isTemporary: true)
        }
    }
}

/// Takes a blob's bytes, hashes them, and passes them on.
///
/// @unchecked: one transfer at a time uses it, and the `await` between two transfers orders their accesses.
final class BlobReceiver: HTTPReceiver, @unchecked Sendable {
    private let descriptor: Descriptor
    private let destination: BlobDestination
    private let onReceived: (@Sendable (Int64) -> Void)?
    private var hash: SHA256? = SHA256()
    /// Bytes that were hashed and passed on.
    private(set) var received: Int64 = 0
    /// Bytes to pass over, of an answer that starts at the beginning again.
    private var known: Int64 = 0

    init(_ descriptor: Descriptor, _ destination: BlobDestination, _ onReceived: (@Sendable (Int64) -> Void)?) {
        self.descriptor = descriptor
        self.destination = destination
        self.onReceived = onReceived
    }

    func begin(_ head: HTTPHead) throws(RegistryError) {
        if head.status == 206 {
            let written = head["Content-Range"] ?? ""
            guard let range = ContentRange(written), range.start == received,
                range.total == nil || range.total == descriptor.size
            else {
                throw RegistryError(
                    .answer,
                    message: "asked for the bytes from \(received) of \(descriptor.size), "
                        + "the registry sends '\(printable(written, limit: 60))'")
            }
            known = 0
            return
        }
        if let length = head.contentLength, length != descriptor.size {
            throw RegistryError(
                .content,
                message:
                    "the registry has \(length) bytes for \(descriptor.digest), the manifest says \(descriptor.size)")
        }
        known = received
    }

    func receive(_ bytes: UnsafeRawBufferPointer) throws(RegistryError) {
        let skipped = Int(min(known, Int64(bytes.count)))
        known -= Int64(skipped)
        let new = UnsafeRawBufferPointer(rebasing: bytes[skipped...])
        guard received + Int64(new.count) <= descriptor.size else {
            throw RegistryError(
                .content, message: "the registry sends more than the \(descriptor.size) bytes of \(descriptor.digest)")
        }
        try destination.write(new, received)
        hash?.update(new)
        received += Int64(new.count)
        onReceived?(received)
    }

    /// Ends the hash; returns the digest if it is not the right one.
    func finish() -> Digest? {
        guard let hash = hash.take() else { return nil }
        let digest = Digest(sha256: hash.finish())
        return digest == descriptor.digest ? nil : digest
    }

    /// Starts from nothing; false where the destination cannot.
    func restart() throws(RegistryError) -> Bool {
        guard let restart = destination.restart else { return false }
        try restart()
        hash = SHA256()
        received = 0
        known = 0
        return true
    }
}

/// `bytes 10-99/100`, `bytes 10-99/*`. https://www.rfc-editor.org/rfc/rfc9110#section-14.4
struct ContentRange: Hashable {
    let start: Int64
    let total: Int64?

    init?(_ text: String) {
        guard let match = text.wholeMatch(of: /bytes (\d+)-(\d+)\/(\d+|\*)/), let start = Int64(match.1) else {
            return nil
        }
        self.start = start
        total = Int64(match.3)
    }
}
