import Glibc
import Synchronization

/// Threads for work that blocks: files, codecs, child processes, libcurl.
///
/// The one bridge from `async` code: every crossing reads `await pool.run { ... }`. Threads start when they are needed, up to
/// the width, and live as long as the process; work beyond the width waits in order.
package final class BlockingPool: Sendable {
    private let state: Mutex<State>
    private let width: Int
    private let wakeUp = Semaphore()

    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var next = 0
        var threads = 0
        var idle = 0
    }

    /// - Parameter width: how many jobs run at the same time, at least 1.
    package init(width: Int) {
        self.width = max(1, width)
        state = Mutex(State())
    }

    /// Runs `body` on a thread of the pool and returns what it returns or throws.
    package func run<T: Sendable, E: Error>(_ body: @escaping @Sendable () throws(E) -> T) async throws(E) -> T {
        try await BlockingPool.result(of: body, startedBy: enqueue)
    }

    /// Runs `body` on a thread of its own, and returns what it returns or throws: for work that waits for work of the pool, which
    /// might be behind it in the queue.
    package static func runAside<T: Sendable, E: Error>(
        _ body: @escaping @Sendable () throws(E) -> T
    ) async throws(E) -> T {
        try await result(of: body, startedBy: detach)
    }

    private static func result<T: Sendable, E: Error>(
        of body: @escaping @Sendable () throws(E) -> T, startedBy start: (@escaping @Sendable () -> Void) -> Void
    ) async throws(E) -> T {
        let result: Result<T, E> = await withCheckedContinuation { continuation in
            start {
                do throws(E) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func enqueue(_ job: @escaping @Sendable () -> Void) {
        let start = state.withLock { state in
            state.jobs.append(job)
            let waiting = state.jobs.count - state.next
            guard waiting > state.idle, state.threads < width else { return false }
            state.threads += 1
            return true
        }
        if start { startThread() }
        wakeUp.signal()
    }

    private func startThread() {
        BlockingPool.detach { [self] in
            while true {
                state.withLock { $0.idle += 1 }
                wakeUp.wait()
                let job = state.withLock { state -> (@Sendable () -> Void)? in
                    state.idle -= 1
                    guard state.next < state.jobs.count else { return nil }
                    let job = state.jobs[state.next]
                    state.next += 1
                    if state.next == state.jobs.count {
                        state.jobs.removeAll(keepingCapacity: true)
                        state.next = 0
                    }
                    return job
                }
                job?()
            }
        }
    }

    /// Starts a thread that runs `body` once, with every signal blocked so that signals reach the main thread.
    package static func detach(_ body: @escaping @Sendable () -> Void) {
        final class Box {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // 1 MiB: libarchive and libcurl keep their buffers on the heap; address space only, until it is touched.
        pthread_attr_setstacksize(&attributes, 1024 * 1024)
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Box(body))
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, box.toOpaque())
        guard result == 0 else { fatalError("pthread_create: \(String(cString: strerror(result)))") }
    }
}

/// A counting semaphore of the C library, for threads of our own (never awaited from `async` code).
package final class Semaphore: @unchecked Sendable {
    // sem_t must not move: it lives on the heap from init to deinit, and its calls are thread-safe.
    private let semaphore: UnsafeMutablePointer<sem_t>

    package init(value: UInt32 = 0) {
        semaphore = .allocate(capacity: 1)
        sem_init(semaphore, 0, value)
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    package func signal() {
        sem_post(semaphore)
    }

    package func wait() {
        while sem_wait(semaphore) != 0 && errno == EINTR {}
    }
}
