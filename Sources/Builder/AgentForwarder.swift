import Glibc
import SystemIO
import SystemPackage

/// An SSH agent that a RUN may speak with, and who may open the socket.
struct AgentSocket: Sendable, Hashable {
    /// The agent's own socket, on the builder's side.
    var agent: FilePath
    var permissions: UInt16
    var uid: UInt32
    var gid: UInt32
}

/// A socket whose connections are handed on to an SSH agent.
///
/// The agent's own socket would not do: it answers only its user and root, whatever the socket's mode.
final class AgentForwarder: Sendable {
    private let listener: OwnedDescriptor
    private let stopped: OwnedDescriptor
    private let stopper: OwnedDescriptor
    private let ended = Semaphore()
    private let agent: FilePath

    /// Makes the socket `name` in `folder` and serves it until `stop()`. The socket's name stays: the caller removes it.
    init(to socket: AgentSocket, as name: FilePath, in folder: Directory) throws(SystemError) {
        agent = socket.agent
        let raw = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw .last("socket") }
        listener = OwnedDescriptor(taking: raw)
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { throw .last("pipe2") }
        stopped = OwnedDescriptor(taking: ends[0])
        stopper = OwnedDescriptor(taking: ends[1])
        // A socket's address has 108 bytes; a folder's own path may have more.
        let place = FilePath("/proc/self/fd/\(folder.descriptor.raw)").appending(name.components)
        guard try AgentForwarder.withAddress(of: place, { Glibc.bind(raw, $0, $1) }) == 0 else {
            throw .last("bind", name)
        }
        let owned = name.withCString {
            fchownat(folder.descriptor.raw, $0, socket.uid, socket.gid, AT_SYMLINK_NOFOLLOW)
        }
        guard owned == 0 else { throw .last("fchownat", name) }
        guard name.withCString({ fchmodat(folder.descriptor.raw, $0, mode_t(socket.permissions), 0) }) == 0 else {
            throw .last("fchmodat", name)
        }
        guard listen(raw, 16) == 0 else { throw .last("listen", name) }
        BlockingPool.detach { [self] in
            serve()
            ended.signal()
        }
    }

    /// Ends every connection. Nothing is served when it returns.
    func stop() {
        _ = write(stopper.raw, "x", 1)
        ended.wait()
        ended.signal()
    }

    private struct Pair {
        let client: Int32
        let agent: Int32

        func close() {
            _ = Glibc.close(client)
            _ = Glibc.close(agent)
        }
    }

    /// Connections at the same time; further ones wait.
    private static let limit = 64

    private func serve() {
        var pairs: [Pair] = []
        defer { pairs.forEach { $0.close() } }
        while true {
            let listening = pairs.count < Self.limit ? listener.raw : -1
            var events = [stopped.raw, listening].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            events += pairs.flatMap { [$0.client, $0.agent] }.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&events, nfds_t(events.count), -1) >= 0 || errno == EINTR, events[0].revents == 0 else { return }
            var kept: [Pair] = []
            for (index, pair) in pairs.enumerated() {
                let alive =
                    (events[2 + 2 * index].revents == 0 || AgentForwarder.relay(from: pair.client, to: pair.agent))
                    && (events[3 + 2 * index].revents == 0 || AgentForwarder.relay(from: pair.agent, to: pair.client))
                if alive { kept.append(pair) } else { pair.close() }
            }
            pairs = kept
            if events[1].revents != 0, let pair = accept() { pairs.append(pair) }
        }
    }

    private func accept() -> Pair? {
        let client = accept4(listener.raw, __SOCKADDR_ARG(__sockaddr__: nil), nil, Int32(SOCK_CLOEXEC.rawValue))
        guard client >= 0 else { return nil }
        let server = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        let connected = try? AgentForwarder.withAddress(of: agent) { connect(server, $0, $1) }
        // Seconds: one side that does not read holds the others up no longer.
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        for file in [client, server] {
            setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        let pair = Pair(client: client, agent: server)
        guard server >= 0, connected == 0 else {
            pair.close()
            return nil
        }
        return pair
    }

    /// Hands on what is there; `false` at the end, or when the other side does not take it.
    private static func relay(from source: Int32, to destination: Int32) -> Bool {
        // Bytes: most messages of the agent's protocol are shorter.
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        let count = recv(source, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        var rest = buffer[..<count]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(destination, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 || errno == EINTR else { return false }
            rest = rest.dropFirst(max(0, sent))
        }
        return count > 0
    }

    /// - Throws: ENAMETOOLONG for a path that does not fit into a socket's address.
    static func withAddress(
        of path: FilePath, _ body: (__CONST_SOCKADDR_ARG, socklen_t) -> Int32
    ) throws(SystemError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = path.bytes
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { place in
            guard bytes.count < place.count else { return false }
            place.copyBytes(from: bytes)
            return true
        }
        guard fits else { throw SystemError(call: "connect", path: path, errno: .fileNameTooLong) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body(__CONST_SOCKADDR_ARG(__sockaddr__: $0), socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
