import Glibc
import SystemPackage

/// A port of 127.0.0.1 that takes connections and never says a word. Closed with this object.
package final class SilentServer: Sendable {
    package let port: UInt16
    private let listener: CInt

    package init() throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (listener, size) = (listener, length)
        // The kernel completes connections that nobody accepts.
        let failed = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, __CONST_SOCKADDR_ARG(__sockaddr__: $0), size) != 0 || listen(listener, 16) != 0
                    || getsockname(listener, __SOCKADDR_ARG(__sockaddr__: $0), &length) != 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        guard !failed else { throw Errno(rawValue: errno) }
    }

    deinit { close(listener) }
}
