import Glibc
import Layers
import OCI
import SystemIO
import SystemPackage
import Testing

/// Changes of a RUN, found in the upper directory of a real overlay mount and by comparing snapshots of a flat tree.
@Suite struct ChangesTests {
    let bench: Workbench

    init() throws {
        bench = try Workbench()
        try bench.sh(
            """
            mkdir -p base/{etc,usr/bin,var/cache/a/b,home}; cd base; printf root > etc/passwd; printf conf > etc/conf
            printf tool > usr/bin/tool; chmod 755 usr/bin/tool; ln -s tool usr/bin/alias; printf 1 > var/cache/a/one; printf 2 > var/cache/a/b/two
            mkdir proc; printf x > home/one; ln home/one home/two; setfattr -n user.k -v v home; chmod 1777 var/cache
            """)
    }

    func overlay(_ script: String, lower: [String] = ["base"], ignoring: Set<[UInt8]> = []) throws -> TreeChanges {
        try bench.sh("mkdir -p upper work merged; chmod --reference=\(lower[0]) upper")
        let layers = lower.joined(separator: ":")
        try bench.sh(
            "unshare -m bash -euc 'mount -t overlay -o lowerdir=\(layers),upperdir=upper,workdir=work,redirect_dir=off,metacopy=off overlay merged; cd merged; \(script)'"
        )
        let upper = try bench.folder("upper")
        return try OverlayChanges.read(
            upper: upper, lower: UnionTree(layers: lower.map { .overlay(try bench.folder($0)) }), ignoring: ignoring,
            cancellation: Cancellation())
    }

    func flat(_ script: String, excluding: Set<[UInt8]> = []) throws -> TreeChanges {
        try bench.sh("cp -a base flat")
        let root = try bench.folder("flat")
        var before = try TreeSnapshot.capture(root, excluding: excluding, cancellation: Cancellation())
        try bench.sh("cd flat; \(script)")
        return try before.changes(in: root, cancellation: Cancellation())
    }

    /// One line a change: kind, path, mode, owner, and what else there is.
    static func line(_ change: LayerChange) -> String {
        let entry = change.entry
        let kind =
            switch entry.kind {
            case .file(let size): "file \(size)"
            case .directory: "dir"
            case .symlink(let target): "link>\(String(decoding: target, as: UTF8.self))"
            case .hardLink(let target): "hard>\(String(decoding: target, as: UTF8.self))"
            case .characterDevice(let number): "char \(number.major):\(number.minor)"
            case .blockDevice(let number): "block \(number.major):\(number.minor)"
            case .fifo: "fifo"
            case .whiteout: "gone"
            case .opaqueMarker: "opaque"
            }
        let path = String(decoding: entry.path, as: UTF8.self)
        guard entry.kind != .whiteout else { return "\(path) gone" }
        let attributes = entry.attributes.map { " \($0.name)=\(String(decoding: $0.value, as: UTF8.self))" }.joined()
        let owner = entry.uid == 0 && entry.gid == 0 ? "" : " \(entry.uid):\(entry.gid)"
        return "\(path) \(kind) \(String(entry.permissions, radix: 8))\(owner)\(attributes)"
    }

    /// The rule: both ways of looking give these changes.
    static let runs: [(String, String, [String])] = [
        ("nothing", "cat etc/passwd > /dev/null", []),
        ("a file made and removed again", "touch etc/x home/y; rm etc/x home/y; mkdir -p d/e; rm -r d", []),
        ("only the time of a folder", "touch etc", []),
        ("a new file", "printf new > etc/new", ["etc dir 755", "etc/new file 3 644"]),
        ("a changed file", "printf more >> etc/conf", ["etc dir 755", "etc/conf file 8 644"]),
        ("a removed file", "rm etc/conf", ["etc dir 755", "etc/conf gone"]),
        ("a removed folder", "rm -r var/cache/a", ["var dir 755", "var/cache dir 1777", "var/cache/a gone"]),
        ("a mode", "chmod 600 etc/passwd", ["etc dir 755", "etc/passwd file 4 600"]),
        ("an owner of a folder", "chown 5:6 home", ["home dir 755 5:6 user.k=v"]),
        ("an attribute of a folder", "setfattr -x user.k home", ["home dir 755"]),
        (
            "an attribute of a file", "setfattr -n user.z -v 1 etc/conf",
            ["etc dir 755", "etc/conf file 4 644 user.z=1"]
        ),
        ("the root's mode", "chmod 700 .", [" dir 700"]),
        (
            "whiteouts come first in their folder, and names sort bytewise",
            "rm etc/passwd etc/conf; mkdir etc/b; touch etc/A etc/b/x etc/b.a",
            [
                "etc dir 755", "etc/conf gone", "etc/passwd gone", "etc/A file 0 644", "etc/b dir 755",
                "etc/b/x file 0 644",
                "etc/b.a file 0 644",
            ]
        ),
        (
            "a folder made anew", "rm -r var/cache/a; mkdir -p var/cache/a/b; printf 3 > var/cache/a/three",
            [
                "var dir 755", "var/cache dir 1777", "var/cache/a dir 755", "var/cache/a/one gone",
                "var/cache/a/b dir 755",
                "var/cache/a/b/two gone", "var/cache/a/three file 1 644",
            ]
        ),
        (
            "a file becomes a folder, a folder a link",
            "rm etc/conf; mkdir etc/conf; touch etc/conf/x; rm -r usr/bin; ln -s /bin usr/bin",
            ["etc dir 755", "etc/conf dir 755", "etc/conf/x file 0 644", "usr dir 755", "usr/bin link>/bin 777"]
        ),
        (
            "names of one file are linked", "printf n > usr/n; ln usr/n etc/m; ln usr/n usr/o",
            ["etc dir 755", "etc/m file 1 644", "usr dir 755", "usr/n hard>etc/m 644", "usr/o hard>etc/m 644"]
        ),
        (
            "a link to an old file tells the file too", "ln etc/passwd etc/zz",
            ["etc dir 755", "etc/passwd file 4 644", "etc/zz hard>etc/passwd 644"]
        ),
        (
            "nodes are kept, sockets are not",
            "mkfifo etc/pipe; mknod etc/null c 1 3; mknod etc/disk b 259 70000; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind(\\\"etc/sock\\\")\"",
            ["etc dir 755", "etc/disk block 259:70000 644", "etc/null char 1:3 644", "etc/pipe fifo 644"]
        ),
        (
            "an owner of a file, and nothing else", "chown 7:8 usr/bin/tool",
            ["usr dir 755", "usr/bin dir 755", "usr/bin/tool file 4 755 7:8"]
        ),
        (
            "an owner of a link", "chown -h 7:8 usr/bin/alias",
            ["usr dir 755", "usr/bin dir 755", "usr/bin/alias link>tool 777 7:8"]
        ),
        ("setuid", "chmod 4755 usr/bin/tool", ["usr dir 755", "usr/bin dir 755", "usr/bin/tool file 4 4755"]),
        (
            "content under the old size and time",
            "touch -r etc/conf home/t; printf FNOC > etc/conf; touch -r home/t etc/conf; rm home/t",
            ["etc dir 755", "etc/conf file 4 644"]
        ),
        (
            "a file removed and made again", "rm etc/conf; printf again > etc/conf",
            ["etc dir 755", "etc/conf file 5 644"]
        ),
        (
            "a file deep down", "rm var/cache/a/b/two",
            [
                "var dir 755", "var/cache dir 1777", "var/cache/a dir 755", "var/cache/a/b dir 755",
                "var/cache/a/b/two gone",
            ]
        ),
        (
            "an emptied folder", "rm -r var/cache/a/one var/cache/a/b",
            ["var dir 755", "var/cache dir 1777", "var/cache/a dir 755", "var/cache/a/b gone", "var/cache/a/one gone"]
        ),
        ("a file that was unlinked while it was open", "exec 3> etc/open; rm etc/open; echo x >&3", []),
        ("a sparse file", "truncate -s 3000000 etc/sparse", ["etc dir 755", "etc/sparse file 3000000 644"]),
        (
            "a socket alone", "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind(\\\"etc/sock\\\")\"", []
        ),
        (
            "a socket in the place of a file and of a folder",
            "rm etc/conf; rm -r home; python3 -c \"import socket; [socket.socket(socket.AF_UNIX).bind(n) for n in (\\\"etc/conf\\\", \\\"home\\\")]\"",
            ["home gone", "etc dir 755", "etc/conf gone"]
        ),
        (
            "a file becomes a fifo, a link a device",
            "rm etc/conf usr/bin/alias; mkfifo etc/conf; mknod usr/bin/alias c 1 3",
            [
                "etc dir 755", "etc/conf fifo 644", "usr dir 755", "usr/bin dir 755", "usr/bin/alias char 1:3 644",
            ]
        ),
        (
            "a folder becomes a file and a folder again",
            "rm -r var/cache/a; touch var/cache/a; rm var/cache/a; mkdir var/cache/a; touch var/cache/a/one",
            [
                "var dir 755", "var/cache dir 1777", "var/cache/a dir 755", "var/cache/a/b gone",
                "var/cache/a/one file 0 644",
            ]
        ),
        (
            "a name that is no text", "touch $(printf \"etc/caf\\\\351\")",
            ["etc dir 755", "etc/caf\u{fffd} file 0 644"]
        ),
        ("what lies on ignored paths", "touch proc/1; mkdir proc/2; chmod 700 proc", []),
        (
            "a renamed folder",
            "mv var/cache/a var/moved 2>/dev/null || { cp -a var/cache/a var/moved; rm -r var/cache/a; }",
            [
                "var dir 755", "var/cache dir 1777", "var/cache/a gone", "var/moved dir 755", "var/moved/b dir 755",
                "var/moved/b/two file 1 644", "var/moved/one file 1 644",
            ]
        ),
    ]

    /// The layer of these changes, all times set back to one: two runs are not at the same time.
    func layer(_ changes: TreeChanges, from root: String) throws -> Digest {
        let file = try OwnedDescriptor.open(
            bench.directory.path.appending("\(root).layer"), O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
        var writer = try LayerWriter(
            to: file, compression: .none, threads: 1, latest: Timestamp(seconds: 1), cancellation: Cancellation())
        try writer.add(changes, from: bench.folder(root))
        return try writer.finish().diffID
    }

    @Test("an upper directory and a snapshot tell the same changes, and make the same bytes of them", arguments: runs)
    func same(story: String, script: String, expected: [String]) throws {
        let ignoring: Set<[UInt8]> = ["proc".bytes]
        try bench.sh("cp -a base copy")
        let fromOverlay = try overlay(script, ignoring: ignoring)
        let fromFlat = try flat(script, excluding: ignoring)
        #expect(fromOverlay.entries.map(ChangesTests.line) == expected, "overlay")
        #expect(fromFlat.entries.map(ChangesTests.line) == expected, "flat")
        try #expect(layer(fromOverlay, from: "upper") == layer(fromFlat, from: "flat"))

        // What the layer makes of the tree before is the tree after, whoever looks at it.
        let latest = Timestamp(seconds: 1)
        try fromFlat.settle(in: bench.folder("flat"), latest: latest)
        try fromOverlay.settle(in: bench.folder("upper"), latest: latest)
        try bench.unpack("flat.layer", .none, into: "copy", .flat)
        let facts =
            "find . -path ./proc -prune -o -printf \"%p %y %m %U:%G %T@ %l\\n\" | sort; find . -path ./proc -prune -o -type f -exec sha256sum {} + | sort"
        let after = try bench.sh("cd flat; \(facts)")
        #expect(try bench.sh("cd copy; \(facts)") == after, "unpacked")
        let mounted = try bench.sh(
            "unshare -m bash -euc 'mount -t overlay -o lowerdir=upper:base overlay merged; cd merged; \(facts)'")
        #expect(mounted == after, "mounted")
    }

    @Test("one snapshot serves RUN after RUN: what one has left is what the next began with")
    func oneAfterTheOther() throws {
        let socket = "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind(\\\"home/sock\\\")\""
        let runs: [(script: String, expected: [String])] = [
            (
                "touch etc/new; mkdir -p deep/er; echo 1 > deep/er/f; ln deep/er/f home/three",
                [
                    "deep dir 755", "deep/er dir 755", "deep/er/f file 2 644", "etc dir 755", "etc/new file 0 644",
                    "home dir 755 user.k=v", "home/three hard>deep/er/f 644",
                ]
            ),
            ("true", []),
            ("touch etc; \(socket)", []),
            (
                "rm -r deep/er; touch var/cache/a/one",
                [
                    "deep dir 755", "deep/er gone", "home dir 755 user.k=v", "home/three file 2 644", "var dir 755",
                    "var/cache dir 1777", "var/cache/a dir 755", "var/cache/a/one file 1 644",
                ]
            ),
            ("rm -r deep; mkdir deep; touch deep/x; chmod 700 .", [" dir 700", "deep dir 755", "deep/x file 0 644"]),
            ("rm -r deep; touch deep; ls -R", ["deep file 0 644"]),
            ("rm deep; mkdir -p deep/er", ["deep dir 755", "deep/er dir 755"]),
            ("touch deep/er/y", ["deep dir 755", "deep/er dir 755", "deep/er/y file 0 644"]),
            ("true", []),
        ]
        try bench.sh("cp -a base flat")
        let root = try bench.folder("flat")
        var snapshot = try TreeSnapshot.capture(root, excluding: [], cancellation: Cancellation())
        for (script, expected) in runs {
            snapshot.waitForTheClock()
            try bench.sh("cd flat; \(script)")
            let changes = try snapshot.changes(in: root, cancellation: Cancellation())
            #expect(changes.entries.map(ChangesTests.line) == expected, "\(script)")
            try changes.settle(in: root, latest: Timestamp(seconds: 1_000_000_000))
            try snapshot.acceptSettled(changes, in: root)
        }
    }

    @Test("a copy that overlayfs made for nothing is no change")
    func copiedUp() throws {
        #expect(try overlay("chmod 644 etc/passwd; chown 0 usr/bin; : >> etc/conf; exec 3<>etc/conf").isEmpty)
    }

    @Test("content that changed under the old size and time is a change")
    func forgedTime() throws {
        let script = "touch -r etc/conf t; printf FNOC > etc/conf; touch -r t etc/conf; rm t"
        #expect(try overlay(script).entries.map(ChangesTests.line) == ["etc dir 755", "etc/conf file 4 644"])
        #expect(try flat(script).entries.map(ChangesTests.line) == ["etc dir 755", "etc/conf file 4 644"])
    }

    @Test("times are kept, and content opens from where the changes were read")
    func content() throws {
        let changes = try overlay("printf new > home/new; touch -d @12.5 home/new; touch -d @99 home")
        #expect(
            changes.entries.map(\.entry.modified) == [
                Timestamp(seconds: 99), Timestamp(seconds: 12, nanoseconds: 500_000_000),
            ])
        #expect(try changes.entries[1].open(in: bench.folder("upper")).readAll(limit: 10) == "new".bytes)
    }

    @Test("deletions see through all layers below")
    func severalLayers() throws {
        try bench.sh("mkdir -p mid/etc; printf mid > mid/etc/mid; mknod mid/home c 0 0")
        let changes = try overlay("rm etc/mid etc/passwd; mkdir home; touch home/one", lower: ["mid", "base"])
        #expect(
            changes.entries.map(ChangesTests.line) == [
                "etc dir 755", "etc/mid gone", "etc/passwd gone", "home dir 755", "home/one file 0 644",
            ])
    }

    @Test("what is mounted in a flat tree is not looked at")
    func mounts() throws {
        try bench.sh("cp -a base flat; mkdir flat/mnt")
        let root = try bench.folder("flat")
        var before = try TreeSnapshot.capture(root, excluding: [], cancellation: Cancellation())
        try bench.sh("mount -t tmpfs none flat/mnt; touch flat/mnt/x flat/seen")
        defer { _ = try? bench.sh("umount flat/mnt") }
        #expect(
            try before.changes(in: root, cancellation: Cancellation()).entries.map(ChangesTests.line) == [
                "seen file 0 644"
            ])
    }

    @Test("the changes of both ways unpack to the tree that the RUN left")
    func changesAreComplete() throws {
        let script =
            "rm -r var/cache/a etc/conf; mkdir -p var/cache/a new/deep; echo x > new/deep/f; ln new/deep/f new/g; chmod 700 usr"
        let changes = try flat(script)
        // Apply by hand: what a layer by layer unpacker would do.
        try bench.sh("cp -a base copy")
        for change in changes.entries {
            let path = String(decoding: change.entry.path, as: UTF8.self)
            switch change.entry.kind {
            case .whiteout: try bench.sh("rm -r 'copy/\(path)'")
            case .directory:
                try bench.sh(
                    "mkdir -p 'copy/\(path)'; chmod \(String(change.entry.permissions, radix: 8)) 'copy/\(path)'")
            case .hardLink(let target):
                try bench.sh("ln -f 'copy/\(String(decoding: target, as: UTF8.self))' 'copy/\(path)'")
            default: try bench.sh("cp -a 'flat/\(path)' 'copy/\(path)'")
            }
        }
        let facts = "find . -printf '%p %y %m %n %l\\n' | sort"
        #expect(try bench.sh("cd copy; \(facts)") == bench.sh("cd flat; \(facts)"))
    }
}
