import Glibc

/// The address space that the process may use (`ulimit -v`).
enum AddressSpace {
    /// Bytes: libraries, stacks and heaps reserve more than they touch. A build takes 150 MB at the least, and 700 MB if it can have
    /// them (measured 2026-11); what makes its threads waits for ever and says nothing where there is no memory for one.
    private static let needed: rlim_t = 256 * 1024 * 1024

    /// Ends the process with an error where it cannot work.
    static func check() {
        var limit = rlimit()
        guard getrlimit(.init(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur < needed else { return }
        let text = "imgbuild: the limit on address space, \(limit.rlim_cur / 1024) kB, is below \(needed / 1024) kB\n"
        let hint = "hint: raise it with 'ulimit -v', or limit the memory of the container instead\n"
        (text + hint).withCString { _ = write(STDERR_FILENO, $0, strlen($0)) }
        exit(1)
    }
}
