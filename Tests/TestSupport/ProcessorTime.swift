import Glibc

/// The processor time that the calling thread spends in `body`: what an assertion about speed may look at.
///
/// A wall clock also counts the tests that run beside this one, and a busy machine. `body` must not hand its work to other
/// threads: theirs is not counted.
package func processorTime(of body: () throws -> Void) rethrows -> Duration {
    let start = threadTime()
    try body()
    return threadTime() - start
}

private func threadTime() -> Duration {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}
