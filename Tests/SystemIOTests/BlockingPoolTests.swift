import Glibc
import Synchronization
import SystemIO
import SystemPackage
import Testing

/// How many jobs run, and how many ran at most.
private final class Running: Sendable {
    private let state = Mutex((now: 0, most: 0))

    func begin() {
        state.withLock {
            $0.now += 1
            $0.most = max($0.most, $0.now)
        }
    }

    func end() { state.withLock { $0.now -= 1 } }

    var counts: [Int] { state.withLock { [$0.now, $0.most] } }
}

@Suite("Blocking work")
struct BlockingPoolTests {
    @Test("jobs run at the same time up to the width, and never more")
    func width() async throws {
        let pool = BlockingPool(width: 3)
        let running = Running()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<12 {
                group.addTask {
                    await pool.run {
                        running.begin()
                        usleep(20_000)
                        running.end()
                    }
                }
            }
        }
        #expect(running.counts == [0, 3])
    }

    @Test("what a job throws and returns reaches who waits for it")
    func results() async throws {
        let pool = BlockingPool(width: 1)
        #expect(await pool.run { 42 } == 42)
        let error = SystemError(call: "x", errno: .ioError)
        await #expect(throws: error) { try await pool.run { () throws(SystemError) in throw error } }
        #expect(await pool.run { 43 } == 43)
    }

    @Test("a job may block for long without holding up others")
    func independence() async throws {
        let pool = BlockingPool(width: 2)
        let gate = Semaphore()
        async let blocked: Void = pool.run { gate.wait() }
        #expect(await pool.run { true })
        gate.signal()
        await blocked
    }

    @Test("SHA-256 is that of sha256sum, whatever the pieces")
    func hashing() {
        var hasher = SHA256()
        for byte in "abc".utf8 { hasher.update([byte]) }
        let hex = hasher.finish().map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        // FIPS 180-4, the example of one block.
        #expect(hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test(
        "times are written as image documents have them",
        arguments: [
            (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (4_102_444_799, "2099-12-31T23:59:59Z"),
        ])
    func rfc3339(_ seconds: Int64, _ text: String) {
        #expect(Timestamp(seconds: seconds).rfc3339 == text)
    }
}
