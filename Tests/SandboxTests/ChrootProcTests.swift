import Glibc
import Sandbox
import SystemIO
import SystemPackage
import TestSupport
import Testing

/// What a command in a chroot finds at `/proc` and `/dev`, where nothing can be mounted.
@Suite(
    "The /proc of a command in a chroot",
    .enabled(if: Allowed.chroot && Sandbox.procRefusal == nil, "needs CAP_SYS_CHROOT and a seccomp listener"))
struct ChrootProcTests {
    /// Shell commands, and what they print. Each is run as root and as an ordinary user.
    static let table: [(script: String, output: String)] = [
        // Standard streams and open files by name.
        ("bash -c 'cat <(echo one) <(echo two)'", "one\ntwo\n"),
        ("echo out > /dev/stdout", "out\n"),
        ("bash -c 'echo err > /dev/stderr' 2>&1", "err\n"),
        ("echo in | cat /dev/stdin", "in\n"),
        ("echo in | cat /dev/fd/0 /proc/self/fd/0", "in\n"),
        ("readlink /proc/self/fd/0", "/dev/null\n"),
        // Who the process is.
        ("readlink /proc/self/exe; realpath /proc/self/exe", "/usr/bin/readlink\n/usr/bin/realpath\n"),
        ("bash -c 'exec /proc/self/exe -c \"echo again\"'", "again\n"),
        ("bash -c '/proc/self/exe -c \"readlink /proc/\\$\\$/exe; true\"'", "/usr/bin/bash\n"),
        ("test $(readlink /proc/self) -gt 1 && echo number", "number\n"),
        ("cat /proc/self/comm /proc/thread-self/comm", "cat\ncat\n"),
        ("sh -c 'cat /proc/$$/comm; true'", "sh\n"),
        // Busybox executes itself by this name for every command of its own.
        ("sh -c 'cat /proc/self/comm; busybox readlink /proc/self/exe'", "cat\n/bin/busybox\n"),
        ("grep -c '^State:' /proc/self/status", "1\n"),
        ("tr '\\000' ' ' < /proc/self/cmdline", "tr \\000   "),
        ("A=5 bash -c 'tr \"\\000\" \"\\n\" < /proc/$$/environ | grep ^A='", "A=5\n"),
        ("head -c 4 /proc/self/exe | tail -c 3", "ELF"),
        ("grep -o ' /usr/bin/grep' /proc/self/maps | head -1", " /usr/bin/grep\n"),
        ("echo 100 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj", "100\n"),
        // Paths that lead through links of /proc, and around.
        ("cat /proc/self/root/etc/hosts /proc/self/cwd/etc/hosts | grep -c localhost", "4\n"),
        ("cat /proc/self/root/../../../etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("cat /proc/self/root/proc/self/comm", "cat\n"),
        ("cd /proc/self && cat comm && cat ./stat | cut -d ' ' -f 2", "cat\n(cat)\n"),
        ("cd /usr/bin && cat ../../proc/self/comm", "cat\n"),
        ("cat //proc//self/./comm", "cat\n"),
        // The system.
        ("cat /proc/sys/kernel/ostype; head -1 /proc/net/dev | cut -c 1-6", "Linux\nInter-\n"),
        ("echo x 2>/dev/null > /proc/sys/kernel/hostname || echo refused", "refused\n"),
        (
            "cat /proc/mounts",
            "overlay / overlay rw,relatime 0 0\nproc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n"
        ),
        ("readlink /proc/mounts; cmp /proc/mounts /etc/mtab && echo same", "self/mounts\nsame\n"),
        ("df -P / | tail -1 | cut -d ' ' -f 1", "overlay\n"),
        ("stat -f -c %T /proc", "proc\n"),
        // What is asked by stat alone, and lists.
        ("test -e /proc/cpuinfo -a -d /proc/self -a -h /proc/self/exe -a -c /dev/null && echo there", "there\n"),
        ("ls /proc | grep -c -x -e self -e cpuinfo", "2\n"),
        ("ls /proc/self/task | wc -l", "1\n"),
        ("ls -l /proc/version | cut -c 1-10", "-r--r--r--\n"),
        // Its own only.
        ("cat /proc/1/comm 2>/dev/null || echo none", "none\n"),
        ("test -w /dev/shm && echo writable", "writable\n"),
        // A terminal, by TIOCGPTN.
        (
            "perl -e 'open(F, \"+<\", \"/dev/ptmx\") or print $!; $n = pack(\"i\", 0); print ioctl(F, 0x80045430, $n) ? \"yes\" : $!'",
            "yes"
        ),
    ]

    static let tools = [
        "bash", "cat", "cmp", "cut", "df", "grep", "head", "ls", "perl", "readlink", "realpath", "setpriv", "stat",
        "tail",
        "tr", "wc",
    ]

    @Test("sees /proc as a container would", arguments: [0, 1000] as [UInt32])
    func functions(user: UInt32) throws {
        let fixture = try SandboxFixture(.chroot)
        try fixture.addTools(Self.tools)
        for (script, output) in Self.table {
            var command = Command(["bash", "-c", script], environment: SandboxFixture.environment)
            if user != 0 { command.user = UserIdentity(uid: user, gid: user, groups: [user], home: "/") }
            let result = try fixture.run(command)
            #expect(result.output == output, "\(script): \(result.error)")
        }
    }

    @Test("leaves no trace of it, whatever it did there, and the image keeps its own")
    func traces() throws {
        let fixture = try SandboxFixture(.chroot)
        try fixture.shell("mkdir -m 700 tree/proc; echo kept > tree/proc/image")
        _ = try fixture.output("echo x > /proc/new; rm -rf /proc/cpuinfo; mkdir /proc/a; cat /proc/image 2>&1 || true")
        #expect(try fixture.shell("cd tree; stat -c %a proc; ls proc; ls dev 2>&1 || true").hasPrefix("700\nimage\n"))
        try fixture.shell("rm -r tree/proc")
        #expect(try fixture.run("rm -rf /proc; exit 4").outcome.status == .exited(4))
        #expect(try fixture.shell("ls tree") == "bin\netc\nroot\ntmp\n")
    }

    @Test("keeps its /proc when it becomes another user, with and without an exec")
    func users() throws {
        let fixture = try SandboxFixture(.chroot)
        try fixture.addTools(Self.tools)
        let table = [
            ("setpriv --reuid 1000 --regid 1000 --clear-groups cat /proc/self/comm", "cat\n"),
            ("setpriv --reuid 1000 --regid 1000 --clear-groups readlink /proc/self/exe", "/usr/bin/readlink\n"),
            ("cat /proc/self/comm; setpriv --reuid 5 cat /proc/self/comm; cat /proc/self/comm", "cat\ncat\ncat\n"),
            // Closed to all others by the kernel from the change on.
            (
                "perl -e '$( = $) = 1000; $< = $> = 1000; open(F, \"/proc/self/comm\") or die $!; print <F>; print \"$<\\n\"'",
                "perl\n1000\n"
            ),
        ]
        for (script, output) in table {
            let result = try fixture.run(Command(["bash", "-c", script], environment: SandboxFixture.environment))
            #expect(result.output == output, "\(script): \(result.error)")
        }
    }

    /// Paths below `/proc/PID` of a process that is not the command's, and system calls on it, as perl does them in a real `/proc`
    /// that it was handed as an open folder.
    static let secrets = ["environ", "mem", "maps", "root/etc/passwd", "cwd/.", "exe", "fd/0", "auxv"]

    @Test("cannot look into the builder, or another process of the pod, by path or through a folder that it has open")
    func leaks() throws {
        let fixture = try SandboxFixture(.chroot)
        try fixture.addTools(Self.tools)
        let other = try RunningProgram(["sleep", "1000"], environment: ["SECRET": "of the pod"])
        for process in [getpid(), other.pid] {
            for name in Self.secrets {
                let byPath = try fixture.run(
                    "perl -e 'open(F, \"</proc/\(process)/\(name)\") and print \"open\"; print $!'")
                #expect(byPath.output == "No such file or directory", "\(name)")
                let byFolder = try fixture.run(
                    "perl -e 'opendir(D, \"/proc\"); chdir(D); open(F, \"<\(process)/\(name)\") and print \"open\"; print $!'"
                )
                #expect(byFolder.output == "Permission denied", "\(name)")
            }
            // PTRACE_ATTACH, and process_vm_readv.
            #if arch(x86_64)
                let (ptrace, read) = (101, 310)
            #else
                let (ptrace, read) = (117, 270)
            #endif
            let attach = try fixture.run("perl -e 'print syscall(\(ptrace), 16, \(process), 0, 0), \" $!\"'")
            #expect(attach.output == "-1 Operation not permitted")
            let memory = try fixture.run(
                "perl -e '$b = \" \" x 8; $i = pack(\"PQ\", $b, 8); $o = pack(\"QQ\", 4096, 8); print syscall(\(read), \(process), $i, 1, $o, 1, 0), \" $!\"'"
            )
            #expect(memory.output == "-1 Operation not permitted")
        }
        #expect(other.isRunning())
    }

    @Test("remembers a program that relies on its set-uid bit as it gets nothing by it")
    func setID() throws {
        let fixture = try SandboxFixture(.chroot)
        try fixture.shell("cp tree/bin/busybox tree/tmp/busybox; chmod 4755 tree/tmp/busybox")
        var command = fixture.command("/tmp/busybox id -u")
        #expect(try fixture.run(command).outcome.supervision?.setIDProgram == nil, "root is what it becomes")
        command.user = UserIdentity(uid: 1000, gid: 1000, groups: [1000], home: "/")
        let result = try fixture.run(command)
        #expect(result.output == "1000\n")
        #expect(result.outcome.supervision?.setIDProgram == "/tmp/busybox")
    }

    @Test("without a supervisor it finds an empty /proc, and all else works")
    func plain() throws {
        let fixture = try SandboxFixture(.chroot)
        fixture.sandbox.servesProc = false
        #expect(try fixture.output("ls /proc 2>/dev/null; test -c /dev/null && echo device") == "device\n")
    }

    @Test(
        "starts a JVM",
        .enabled(if: access("/usr/bin/java", X_OK) == 0, "no Java runtime is installed"))
    func java() throws {
        let fixture = try SandboxFixture(.chroot)
        try fixture.shell(
            """
            java=$(readlink -f /usr/bin/java); home=${java%/bin/java}
            mkdir -p tree${home%/*} tree/usr/bin; cp -alT $home tree$home 2>/dev/null || cp -aT $home tree$home
            cp -rL /etc/java-* tree/etc/
            ldd $java $(find $home -name '*.so') | grep -o '/[^ ]*' | sort -u | grep -v $home | while read -r library; do
                [ -e tree$library ] || { mkdir -p tree${library%/*}; cp -L $library tree$library; }
            done
            ln -s $java tree/usr/bin/java
            """)
        let result = try fixture.run("java -version 2>&1")
        #expect(result.outcome.status == .exited(0))
        #expect(result.output.contains("Runtime Environment"), "\(result.output)")
    }
}

extension SandboxFixture {
    /// Puts programs of this machine into the tree's `/usr/bin`, with the libraries that they load.
    func addTools(_ names: [String]) throws {
        try shell(
            """
            mkdir -p tree/usr/bin
            for name in \(names.joined(separator: " ")); do
                program=$(readlink -f "$(command -v $name)"); cp $program tree/usr/bin/$name
                ldd $program | grep -o '/[^ ]*' | while read -r library; do
                    [ -e tree$library ] || { mkdir -p tree${library%/*}; cp -L $library tree$library; }
                done
            done
            """)
    }
}
