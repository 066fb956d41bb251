import OCI
import Synchronization
import Testing

@testable import Builder

@Suite("progress of transfers")
struct TransferProgressTests {
    @Test("a blob that takes long is told of every ten seconds, one that does not is not")
    func interval() throws {
        let digest = try Digest(parsing: "sha256:" + String(repeating: "a", count: 64))
        let blob = Descriptor(mediaType: .ociLayer, digest: digest, size: 1000)
        let events = Events()
        let start = ContinuousClock.now
        let clock = Mutex(start)
        let progress = TransferProgress(of: blob, .to("r.io/app"), now: { clock.withLock { $0 } }, report: events.add)
        for (second, bytes) in [(1.0, 10), (9.9, 20), (10, 30), (11, 40), (19.9, 50), (25, 60), (26, 70), (36, 80)] {
            clock.withLock { $0 = start + .seconds(second) }
            progress.note(Int64(bytes))
        }
        let told = events.text.matches(of: /bytes: (\d+)/).compactMap { Int($0.1) }
        #expect(told == [30, 60, 80])
    }
}
