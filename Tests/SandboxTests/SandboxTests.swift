import Glibc
import Sandbox
import SystemIO
import SystemPackage
import TestSupport
import Testing

/// What holds in every isolation that can run a command.
@Suite("A command in a root", .enabled(if: !Allowed.isolations.isEmpty, "needs CAP_SYS_CHROOT at least"))
struct SandboxTests {
    @Test("its status is passed exactly", arguments: Allowed.isolations)
    func status(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        let table: [(String, ProcessStatus)] = [
            ("true", .exited(0)), ("exit 3", .exited(3)), ("exit 127", .exited(127)), ("kill -9 $$", .signaled(9)),
            ("kill -TERM $$", .signaled(15)), ("no-such-command", .exited(127)),
        ]
        for (script, expected) in table {
            #expect(try fixture.run(script).outcome.status == expected, "\(script)")
        }
    }

    @Test("it gets its environment and nothing else", arguments: Allowed.isolations)
    func environment(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        var command = Command(["env"], environment: ["PATH=/bin", "A=1", "B=x y=z", "C="])
        #expect(try fixture.run(command).lines == ["PATH=/bin", "A=1", "B=x y=z", "C="])
        command.environment = []
        #expect(try fixture.run(command).lines == [], "without PATH the usual folders are looked through")
    }

    @Test("it runs as its user, with its groups, umask and folder", arguments: Allowed.isolations)
    func user(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        var command = fixture.command(
            "id -u; id -g; id -G; umask; pwd; echo hello > /tmp/file; stat -c %u:%g:%a /tmp/file")
        command.user = UserIdentity(uid: 1000, gid: 100, groups: [100, 5, 7], home: "/home/app")
        command.workingDirectory = "/etc"
        #expect(try fixture.run(command).lines == ["1000", "100", "100 5 7", "0022", "/etc", "1000:100:644"])
    }

    @Test("a working directory that does not exist is named", arguments: Allowed.isolations)
    func workingDirectory(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        var command = fixture.command("true")
        command.workingDirectory = "/no/such"
        let error = #expect(throws: SandboxError.self) { _ = try fixture.run(command) }
        #expect(error?.description == "the working directory '/no/such' does not exist")
    }

    @Test("a program that cannot be executed is told by what is wrong with it", arguments: Allowed.isolations)
    func program(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        try fixture.shell(
            """
            printf '#!/no/interpreter\\n' > tree/bin/script; chmod 755 tree/bin/script
            printf '\\177ELF nonsense' > tree/bin/elf; chmod 755 tree/bin/elf
            echo x > tree/bin/plain
            """)
        let table = [
            ("absent", "executable 'absent' not found in $PATH"),
            (
                "script",
                "cannot execute 'script': the interpreter of its #! line, or its dynamic loader, does not exist"
            ),
            (
                "elf",
                "cannot execute 'elf': exec format error (made for another architecture, or a script without a #! line)"
            ),
            ("plain", "cannot execute 'plain': Permission denied"),
            ("/bin/none", "executable '/bin/none' does not exist"),
        ]
        for (program, message) in table {
            let error = #expect(throws: SandboxError.self) {
                _ = try fixture.run(Command([program], environment: SandboxFixture.environment))
            }
            #expect(error?.description == message)
        }
    }

    @Test("it cannot see the builder's files", arguments: Allowed.isolations)
    func hostFiles(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        #expect(try fixture.output("ls /; cat /../../../var/tmp/* 2>/dev/null | wc -c").contains("var") == false)
        #expect(try fixture.run("cat \(fixture.tree.string)/etc/passwd").outcome.status == .exited(1))
        #expect(try fixture.output("cat /../../etc/passwd") == "root:x:0:0:root:/root:/bin/sh\n")
    }

    @Test("it has Docker's capabilities at most", arguments: Allowed.isolations)
    func capabilities(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        // A copy of /proc/self/status is not to be had in a chroot: the host's is read while the command waits.
        if isolation == .overlay {
            let root = try fixture.output("grep -E '^Cap|^NoNewPrivs' /proc/self/status | tr -d '\\t'")
            #expect(
                root == """
                    CapInh:0000000000000000
                    CapPrm:00000000a80425fb
                    CapEff:00000000a80425fb
                    CapBnd:00000000a80425fb
                    CapAmb:0000000000000000
                    NoNewPrivs:0

                    """)
            var command = fixture.command("grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | tr -d '\\t'")
            command.user = UserIdentity(uid: 1, gid: 1, groups: [1], home: "/")
            #expect(
                try fixture.run(command).lines == [
                    "CapPrm:0000000000000000", "CapEff:0000000000000000", "CapBnd:00000000a80425fb",
                ])
        }
        #expect(try fixture.run("mount -t tmpfs none /tmp").outcome.status != .exited(0))
        #expect(try fixture.run("hostname changed").outcome.status != .exited(0))
    }

    @Test("the devices are there", arguments: Allowed.isolations)
    func devices(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        let output = try fixture.output(
            """
            echo gone > /dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 5 /dev/urandom | wc -c
            echo x 2>/dev/null > /dev/full || echo full; stat -c '%a %t:%T' /dev/null; readlink /dev/stdout
            """)
        #expect(
            output.split(separator: "\n").map { $0.trimming() } == [
                "00 00 00", "5", "full", "666 1:3", "/proc/self/fd/1",
            ])
    }

    @Test("names are looked up as the builder says, and the image keeps its own files", arguments: Allowed.isolations)
    func names(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        let output = try fixture.output("cat /etc/resolv.conf; grep -c localhost /etc/hosts; echo changed > /etc/hosts")
        #expect(output == "nameserver 192.0.2.53\n2\n")
        #expect(try fixture.shell("cat tree/etc/hosts; ls tree/etc") == "image\nhosts\npasswd\n")
        #expect(try fixture.shell("ls tree") == "bin\netc\nroot\ntmp\n", "what was missing is missing again")
    }

    @Test("a daemon that it leaves behind is gone when it returns", arguments: Allowed.isolations)
    func daemon(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        let marker = "86\(UInt32.random(in: 100_000...999_999))"
        _ = try fixture.output(
            "setsid sleep \(marker) & (setsid sh -c 'sleep \(marker) & sleep \(marker)' &) ; exec true")
        #expect(try processes(holding: marker).isEmpty)
    }

    @Test("when it is cancelled it gets SIGTERM, and may end by itself", arguments: Allowed.isolations)
    func cancelled(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        let marker = "88\(UInt32.random(in: 100_000...999_999))"
        let cancellation = Cancellation()
        Self.whenRunning("sleep", marker) { cancellation.cancel() }
        let result = try fixture.run(
            fixture.command("trap 'echo bye; exit 4' TERM; sleep \(marker) & wait"), cancellation: cancellation)
        #expect(result.outcome.status == .exited(4))
        #expect(result.outcome.isCancelled)
        #expect(result.output == "bye\n")
    }

    @Test("when its grace is over it is killed with all that it started", arguments: Allowed.isolations)
    func killed(isolation: Isolation) throws {
        let fixture = try SandboxFixture(isolation)
        fixture.sandbox.grace = .milliseconds(300)
        let marker = "87\(UInt32.random(in: 100_000...999_999))"
        let cancellation = Cancellation()
        Self.whenRunning("sleep", marker) { cancellation.cancel() }
        let result = try fixture.run(
            fixture.command("trap '' TERM; setsid sleep \(marker) & while :; do sleep \(marker); done"),
            cancellation: cancellation)
        #expect(result.outcome.status == .signaled(9))
        #expect(result.outcome.isCancelled)
        #expect(try processes(holding: marker).isEmpty)
    }

    /// Calls `body` when a process `program argument` is at work: what its shell did before it, a trap, is done then.
    static func whenRunning(_ program: String, _ argument: String, _ body: @escaping @Sendable () -> Void) {
        BlockingPool.detach {
            _ = try? eventually { try isRunning(program, argument) }
            body()
        }
    }

    /// Pids whose command line holds the text.
    func processes(holding text: String) throws -> [String] {
        try Directory(opening: "/proc").names().map(\.string).filter { name in
            guard Int(name) != nil else { return false }
            let file = try? OwnedDescriptor.open(FilePath("/proc/\(name)/cmdline"), O_RDONLY)
            guard let bytes = try? file?.readAll(limit: 1 << 20) else { return false }
            return String(decoding: bytes, as: UTF8.self).contains(text)
        }
    }
}

extension Substring {
    func trimming() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
