import Dispatch

/// The descriptors that libdispatch, which tasks run on, waits with.
enum EventLoop {
    /// Returns when they are open.
    ///
    /// libdispatch opens an epoll and an event descriptor on a thread of its own, at some moment after the start, and traps if it gets
    /// none. Where a process may have few, the first ones must be these: then every one that is missing later is an error.
    static func open() async {
        await withCheckedContinuation { continuation in
            // A timer comes through the event loop.
            let timer = DispatchSource.makeTimerSource()
            timer.setEventHandler {
                timer.cancel()
                continuation.resume()
            }
            timer.schedule(deadline: .now())
            timer.activate()
        }
    }
}
