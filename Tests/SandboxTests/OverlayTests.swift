import Glibc
import Sandbox
import SystemIO
import SystemPackage
import Testing

/// What namespaces and mounts add.
@Suite("A command in an overlay", .enabled(if: Allowed.overlay, "needs CAP_SYS_ADMIN"))
struct OverlayTests {
    @Test("the upper folder holds what the command wrote, and nothing else")
    func upper() throws {
        let fixture = try SandboxFixture(.overlay)
        _ = try fixture.output("echo a > /new; rm /etc/passwd; mkdir /d; chmod 700 /tmp; echo x > /etc/hosts")
        let listing = try fixture.shell("cd upper; find . -mindepth 1 -printf '%P %y %m\\n' | sort")
        #expect(listing == "d d 755\netc d 755\netc/passwd c 0\nnew f 644\ntmp d 700\n")
        #expect(try fixture.shell("stat -c %a upper") == "755\n")
    }

    @Test("a command that writes nothing leaves an empty upper folder, even of an empty image")
    func nothing() throws {
        let fixture = try SandboxFixture(.overlay)
        _ = try fixture.output("true")
        #expect(try fixture.shell("find upper -mindepth 1") == "")
        let empty = RootFileSystem.overlay(
            layers: [], upper: fixture.upper, work: fixture.folder.appending("work"))
        let error = #expect(throws: SandboxError.self) {
            _ = try fixture.sandbox.run(
                Command(["/x"], environment: []), in: empty, scratch: fixture.scratch, cancellation: Cancellation())
        }
        #expect(error?.description == "executable '/x' does not exist")
        #expect(try fixture.shell("find upper -mindepth 1") == "")
    }

    @Test("a second run sees what the first wrote")
    func again() throws {
        let fixture = try SandboxFixture(.overlay)
        _ = try fixture.output("echo one > /file")
        #expect(try fixture.output("cat /file; rm /file") == "one\n")
        #expect(try fixture.run("cat /file").outcome.status == .exited(1))
    }

    @Test("layers are stacked topmost first, more than a page of paths")
    func manyLayers() throws {
        let fixture = try SandboxFixture(.overlay)
        try fixture.shell(
            "for i in $(seq 300); do mkdir -p \"layers/$i, a:b\"; echo $i > \"layers/$i, a:b/number\"; done")
        let layers = (1...300).map { fixture.folder.appending("layers").appending("\($0), a:b") }
        fixture.root = .overlay(
            layers: layers + [fixture.tree], upper: fixture.upper, work: fixture.folder.appending("work"))
        #expect(try fixture.output("cat /number") == "1\n")

        let tooMany = Array(repeating: fixture.tree, count: RootFileSystem.layerLimit + 1)
        fixture.root = .overlay(layers: tooMany, upper: fixture.upper, work: fixture.folder.appending("work"))
        let error = #expect(throws: SandboxError.self) { _ = try fixture.run("true") }
        #expect(error?.description == "500 layers cannot be stacked (overlayfs takes at most 499)")
    }

    @Test("it has its own processes, ipc and host name, and no descriptor of the builder's")
    func namespaces() throws {
        let fixture = try SandboxFixture(.overlay)
        let leak = open("/dev/null", O_RDONLY)
        defer { close(leak) }
        // 3 is the folder that ls reads.
        #expect(try fixture.output("ls /proc/self/fd | tr '\\n' ' '") == "0 1 2 3 ")
        #expect(try fixture.output("echo $$; hostname; cat /etc/hostname") == "2\nimgbuild\nimgbuild\n")
        #expect(try fixture.output("ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm").hasSuffix("imgbuild-init\n"))
        for name in ["ipc", "uts", "pid", "mnt"] {
            let inside = try fixture.output("readlink /proc/self/ns/\(name)")
            #expect(inside != (try fixture.shell("readlink /proc/self/ns/\(name)")))
        }
        #expect(try fixture.output("readlink /proc/self/ns/net") == (try fixture.shell("readlink /proc/self/ns/net")))
    }

    @Test("the builder's memory, environment and command line do not show in its first process")
    func initIsClosed() throws {
        let fixture = try SandboxFixture(.overlay)
        for name in ["environ", "mem", "maps", "auxv"] {
            #expect(try fixture.run("head -c1 /proc/1/\(name) | grep -q .").outcome.status != .exited(0), "\(name)")
        }
        for name in ["exe", "cwd", "root", "fd/*", "ns/*"] {
            let script = "for link in /proc/1/\(name); do readlink $link && exit 0; done; exit 1"
            #expect(try fixture.run(script).outcome.status == .exited(1), "\(name)")
        }
        #expect(try fixture.output("tr -d '\\0' < /proc/1/cmdline") == "")
    }

    @Test("orphans are reaped while it runs")
    func zombies() throws {
        let fixture = try SandboxFixture(.overlay)
        let output = try fixture.output(
            "for i in 1 2 3 4 5; do (sleep 0 &); done; sleep 0.3; grep -l '^State:.*Z' /proc/[0-9]*/status | wc -l")
        #expect(output == "0\n")
    }

    @Test("nothing is mounted for the builder, before, while or after")
    func hostMounts() throws {
        let fixture = try SandboxFixture(.overlay)
        let before = try fixture.shell("cat /proc/self/mountinfo")
        #expect(try fixture.output("grep -c overlay /proc/self/mountinfo") == "1\n")
        #expect(try fixture.shell("cat /proc/self/mountinfo") == before)
        #expect(try fixture.shell("ls -A scratch/root/merged") == "")
    }

    @Test("/proc/sys and /sys are read-only, kernel files are hidden, foreign device nodes are dead")
    func kernelFiles() throws {
        let fixture = try SandboxFixture(.overlay)
        #expect(try fixture.run("echo x > /proc/sys/kernel/hostname").error.contains("Read-only file system"))
        for folder in ["bus", "fs", "irq", "sys"] {
            #expect(
                try fixture.output("[ ! -e /proc/\(folder) ] || grep -c ' /proc/\(folder) ro,' /proc/self/mountinfo")
                    != "0\n")
        }
        #expect(try fixture.run("mkdir /sys/kernel/x").outcome.status == .exited(1))
        #expect(try fixture.output("cat /proc/kcore /proc/keys /proc/timer_list | wc -c; ls /sys/firmware") == "0\n")
        for folder in ["/tmp", "/dev", "/dev/shm"] {
            let result = try fixture.run("mknod \(folder)/zero2 c 1 5 && head -c1 \(folder)/zero2")
            #expect(result.error.contains("Permission denied"), "\(folder)")
        }
    }

    @Test("pseudo-terminals and shared memory work")
    func terminals() throws {
        let fixture = try SandboxFixture(.overlay)
        #expect(
            try fixture.output("stat -c %a /dev/shm; readlink /dev/ptmx; exec 3<>/dev/ptmx; ls /dev/pts")
                == "1777\npts/ptmx\n0\nptmx\n")
    }

    @Test("without network there is a loopback device, and it is up")
    func network() throws {
        let fixture = try SandboxFixture(.overlay)
        var command = fixture.command(
            "ls /sys/class/net; cat /sys/class/net/lo/flags; ping -c1 -W1 127.0.0.1 >/dev/null && echo pong")
        command.network = .none
        #expect(try fixture.run(command).lines.suffix(2) == ["0x9", "pong"])
    }

    @Test("mounts are there while it runs and leave no trace")
    func mounts() throws {
        let fixture = try SandboxFixture(.overlay)
        try fixture.shell("mkdir data; echo secret > data/file; echo one > single; mknod data/zero c 1 5")
        var command = fixture.command(
            """
            cat /mnt/data/file /run/secrets/one; echo x > /mnt/data/new; echo 2 > /run/secrets/one
            echo y > /var/cache/deep/file; df /var/cache/deep | tail -1 | awk '{print $1, $2}'; head -c1 /mnt/data/zero
            """)
        let single = try OwnedDescriptor.open(fixture.folder.appending("single"), O_RDONLY)
        command.mounts = [
            .bind(.path(fixture.folder.appending("data")), target: "/mnt/data", readOnly: true),
            .bind(.descriptor(single.raw), target: "/run/secrets/one", readOnly: false),
            .tmpfs(target: "/var/cache/deep", size: 1 << 20),
        ]
        let result = try fixture.run(command)
        #expect(result.lines == ["secret", "one", "tmpfs 1024"])
        #expect(result.error.contains("can't create /mnt/data/new: Read-only file system"))
        #expect(result.error.contains("/mnt/data/zero: Permission denied"))
        #expect(result.outcome.createdMountPoints == [])
        #expect(try fixture.shell("cat single; ls data; find upper -mindepth 1") == "2\nfile\nzero\n")
    }

    @Test("a dangling resolv.conf of the image is followed inside the image, and its target is not left behind")
    func dangling() throws {
        let fixture = try SandboxFixture(.overlay)
        try fixture.shell(
            "ln -s ../../../run/systemd/stub.conf tree/etc/resolv.conf; rm tree/etc/hosts; ln -s /etc/hosts2 tree/etc/hosts"
        )
        let result = try fixture.run("cat /etc/resolv.conf; ls /run/systemd")
        #expect(result.lines == ["nameserver 192.0.2.53", "stub.conf"])
        #expect(result.outcome.createdMountPoints == [])
        #expect(try fixture.shell("find upper -mindepth 1 ! -type d; test ! -e /run/systemd/stub.conf") == "")
    }

    @Test("a mount point that the command has filled stays, and is told")
    func filledMountPoint() throws {
        let fixture = try SandboxFixture(.overlay)
        try fixture.shell("mkdir -p tree/real data; ln -s real tree/link")
        var command = fixture.command("echo x > /real/sub/beside; echo y > /real/other")
        command.mounts = [.tmpfs(target: "/link/sub/mount", size: nil)]
        let result = try fixture.run(command)
        #expect(result.outcome.createdMountPoints == ["/real/sub"])
        #expect(
            try fixture.shell("cd upper; find . -type f | sort; find . -name mount")
                == "./real/other\n./real/sub/beside\n")
    }

    @Test("links of a hostile image lead nowhere outside it")
    func hostile() throws {
        let fixture = try SandboxFixture(.overlay)
        try fixture.shell(
            "rm -r tree/etc; ln -s \(fixture.folder.string)/outside tree/etc; mkdir outside; ln -s ../../../../../../var/tmp tree/sys; ln -s / tree/proc"
        )
        let result = Swift.Result { try fixture.run("true") }
        // Whatever the sandbox makes of it, the builder's files are as they were.
        #expect(try fixture.shell("ls -A outside") == "")
        if case .failure(let error) = result { #expect(error is SandboxError) }
    }

    @Test("a step that fails is named, with what can be done")
    func failingStep() throws {
        let fixture = try SandboxFixture(.overlay)
        fixture.root = .overlay(
            layers: [fixture.folder.appending("absent")], upper: fixture.upper, work: fixture.folder.appending("work"))
        try fixture.shell("mkdir upper")
        let error = #expect(throws: SandboxError.self) { _ = try fixture.run("true") }
        #expect(
            error?.description
                == "mount overlay on \(fixture.scratch.string)/root/merged: mount: No such file or directory")
        #expect(SandboxError.spawn(SpawnError(stage: .clone, call: "clone", errno: .notPermitted)).hint != nil)
    }
}

@Suite("A command in a chroot", .enabled(if: Allowed.chroot, "needs CAP_SYS_CHROOT"))
struct ChrootTests {
    @Test("what overlay alone can do is refused")
    func refusals() throws {
        let fixture = try SandboxFixture(.chroot)
        var command = fixture.command("true")
        command.network = .none
        #expect(throws: SandboxError.needsOverlay("a network of its own")) { _ = try fixture.run(command) }
        command.network = .host
        command.mounts = [.tmpfs(target: "/x", size: nil)]
        #expect(throws: SandboxError.needsOverlay("a mount")) { _ = try fixture.run(command) }
    }

    @Test("it writes into the tree, and the lent names are told")
    func tree() throws {
        let fixture = try SandboxFixture(.chroot)
        let result = try fixture.run(
            "echo a > /new; echo b > /etc/resolv.conf; rm /dev/null; mkdir /dev/null; echo c > /dev/own")
        #expect(result.outcome.status == .exited(0))
        #expect(result.outcome.placed.contains("etc/resolv.conf"))
        #expect(result.outcome.placed.contains("dev/null"))
        #expect(
            try fixture.shell("cat tree/new; ls tree/etc tree/dev") == "a\ntree/dev:\nown\n\ntree/etc:\nhosts\npasswd\n"
        )
    }
}

@Suite("The probe of isolations")
struct IsolationTests {
    @Test("finds what works here, leaves nothing, and says why not")
    func probe() throws {
        let folder = FilePath("/var/tmp/imgbuild-sandbox-probe-\(getpid())")
        let probe = try Isolation.probe(in: folder)
        #expect(probe.isolation == Allowed.isolations.first ?? .none)
        #expect(probe.refusals.count == Isolation.allCases.firstIndex(of: probe.isolation))
        #expect(folder.withCString { access($0, F_OK) } != 0)
    }

    @Test("an upper folder on a file system that cannot be one is a refusal, not an error")
    func refusal() throws {
        // /proc cannot be written, by anybody.
        let refusal = Swift.Result { try Isolation.overlay.refusal(in: "/proc/imgbuild") }
        switch refusal {
        case .success(let text): #expect(text?.contains("/proc/imgbuild") == true)
        case .failure(let error): Issue.record(error)
        }
    }
}
