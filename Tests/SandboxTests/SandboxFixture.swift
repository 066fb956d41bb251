import Glibc
import Sandbox
import Synchronization
import SystemIO
import SystemPackage
import Testing

/// A state folder on a real file system with one busybox tree, removed with the value.
final class SandboxFixture {
    let folder: FilePath
    let tree: FilePath
    var root: RootFileSystem
    var sandbox = Sandbox(hostFiles: HostFiles(resolver: Array("nameserver 192.0.2.53\n".utf8)))

    var upper: FilePath { folder.appending("upper") }
    var scratch: FilePath { folder.appending("scratch") }

    static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]

    init(_ isolation: Isolation) throws {
        var template = Array("/var/tmp/imgbuild-sandbox-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { mkdtemp($0) != nil } ?? false
        }
        guard made else { throw SystemError.last("mkdtemp", "/var/tmp") }
        folder = FilePath(bytes: template.dropLast().map { UInt8(bitPattern: $0) })
        tree = folder.appending("tree")
        root =
            isolation == .overlay
            ? .overlay(layers: [tree], upper: folder.appending("upper"), work: folder.appending("work")) : .flat(tree)
        try shell(
            """
            chmod 755 . && mkdir -p tree/bin tree/etc tree/tmp tree/root && chmod 1777 tree/tmp && cp /bin/busybox tree/bin/
            echo 'root:x:0:0:root:/root:/bin/sh' > tree/etc/passwd
            echo 'image' > tree/etc/hosts
            """)
        let bin = try Directory(opening: tree.appending("bin"))
        for name in try shell("busybox --list").split(separator: "\n") where name != "busybox" {
            try bin.makeSymlink(FilePath(String(name)), to: "busybox")
        }
    }

    deinit {
        if let name = folder.lastComponent {
            try? Directory(opening: "/var/tmp").removeTree(FilePath(root: nil, [name]))
        }
    }

    /// Runs a host shell in the state folder.
    @discardableResult
    func shell(_ script: String) throws -> String {
        let plan = ProcessPlan(
            ["sh", "-ec", script], environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"],
            workingDirectory: folder)
        let result = try ChildProcess.run(plan, capturing: 1 << 20)
        try #require(
            result.ending.status == .exited(0), "\(script): \(String(decoding: result.error, as: UTF8.self))")
        return String(decoding: result.output, as: UTF8.self)
    }

    func command(_ script: String) -> Command {
        Command(["sh", "-c", script], environment: Self.environment)
    }

    struct Result {
        let outcome: RunOutcome
        let output: String
        let error: String
        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    func run(_ command: Command, cancellation: Cancellation = Cancellation()) throws -> Result {
        var output: [UInt8] = []
        var error: [UInt8] = []
        let outcome = try sandbox.run(command, in: root, scratch: scratch, cancellation: cancellation) {
            stream, bytes in
            switch stream {
            case .output: output += bytes
            case .error: error += bytes
            }
        }
        return Result(
            outcome: outcome, output: String(decoding: output, as: UTF8.self),
            error: String(decoding: error, as: UTF8.self))
    }

    func run(_ script: String) throws -> Result { try run(command(script)) }

    /// What a run prints when it must succeed.
    func output(_ script: String) throws -> String {
        let result = try run(script)
        #expect(result.outcome.status == .exited(0), "\(result.error)")
        return result.output
    }
}

/// What this machine lets us do, found once.
enum Allowed {
    static let isolations: [Isolation] = [Isolation.overlay, .chroot].filter { isolation in
        let folder = FilePath("/var/tmp/imgbuild-sandbox-probe-\(getpid())-\(isolation.rawValue)")
        return (try? isolation.refusal(in: folder)) == .some(nil)
    }
    static let overlay = isolations.contains(.overlay)
    static let chroot = isolations.contains(.chroot)
}
