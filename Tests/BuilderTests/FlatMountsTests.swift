import Dockerfile
import Layers
import Sandbox
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

/// Mounts that are laid into a tree and taken out again.
@Suite("Mounts without mounting", .enabled(if: isRoot)) struct FlatMountsTests {
    /// A flat tree `root`, a source folder `source`, and a scratch folder.
    private final class Bench {
        let folder: ScratchFolder
        let root: Directory
        let source: Directory
        let scratch: Scratch

        init(_ script: String) throws {
            folder = try ScratchFolder()
            try folder.run("umask 022; mkdir root source scratch cache cache/contents; \(script)")
            root = try folder.directory.openDirectory("root", .noSymlinks)
            source = try folder.directory.openDirectory("source", .noSymlinks)
            scratch = Scratch(
                folder: try folder.directory.openDirectory("scratch", .noSymlinks), name: "scratch",
                parent: folder.directory)
        }

        func place(_ mounts: [(content: PreparedMount.Content, target: String)]) throws -> FlatMounts {
            try FlatMounts(
                placing: mounts.map {
                    PreparedMount(content: $0.content, target: FilePath($0.target), range: SourceRange(line: 1))
                }, in: root, scratch: scratch, cancellation: Cancellation())
        }

        /// All of the source as a mount shows it.
        func tree(_ name: String = "", readOnly: Bool = true) throws -> PreparedMount.Content {
            .tree(
                try MountTree(name, in: .init(source, keepsOwners: true), trees: [source]), readOnly: readOnly)
        }

        func lease() throws -> CacheLease {
            try CacheLease(folder.directory.openDirectory("cache", .noSymlinks))
        }

        /// Names, kinds, modes and contents below `root`, times apart.
        func listing() throws -> String {
            try folder.run(
                #"cd root; find . -mindepth 1 | LC_ALL=C sort | while read -r f; do printf '%s %s ' "$f" "$(stat -c '%F %a %u:%g' "$f")"; [ -L "$f" ] && readlink "$f" | tr '\n' ' '; [ -f "$f" ] && cat "$f" | tr '\n' ' '; echo; done"#
            )
        }
    }

    @Test("every kind of mount is there, and the tree is afterwards as it was before")
    func comesAndGoes() throws {
        let bench = try Bench(
            """
            mkdir -p root/etc root/there/sub root/real; echo image >root/etc/passwd; echo x >root/there/sub/x; ln -s real root/ln
            mkdir source/d; echo s >source/d/s; ln -s d source/l; chown -R 7:8 source/d; chmod 2750 source/d; echo c >cache/contents/c
            """)
        let before = try bench.listing()
        let secret = MemoryFile(contents: Array("secret\n".utf8), permissions: 0o440, uid: 5, gid: 6)
        let mounts = try bench.place([
            (.file(secret), "/etc/passwd"), (bench.tree(), "/there"), (bench.tree("d/s"), "/deep/er/file"),
            (.temporary(size: nil), "/ln/t"), (.cache(bench.lease(), readOnly: false), "/there/c"),
        ])
        #expect(
            try bench.listing() == """
                ./deep directory 755 0:0 
                ./deep/er directory 755 0:0 
                ./deep/er/file regular file 644 7:8 s 
                ./etc directory 755 0:0 
                ./etc/passwd regular file 440 5:6 secret 
                ./ln symbolic link 777 0:0 real 
                ./real directory 755 0:0 
                ./real/t directory 1777 0:0 
                ./there directory 755 0:0 
                ./there/c directory 755 0:0 
                ./there/c/c regular file 644 0:0 c 
                ./there/d directory 2750 7:8 
                ./there/d/s regular file 644 7:8 s 
                ./there/l symbolic link 777 0:0 d 

                """)
        try mounts.leave()
        #expect(try bench.listing() == before)
        #expect(try bench.folder.run("cat cache/contents/c") == "c\n")
    }

    @Test("what a command does to mounts goes with them, what it does beside them stays")
    func changes() throws {
        let bench = try Bench("mkdir root/there source/d; echo mine >root/there/mine; echo s >source/s")
        let mounts = try bench.place([
            (bench.tree(readOnly: false), "/there"), (.cache(bench.lease(), readOnly: false), "/made/cache"),
            (.temporary(size: nil), "/gone/t"), (.temporary(size: nil), "/kept/t"),
        ])
        try bench.folder.run(
            "rm root/there/s; echo n >root/there/new; echo c >root/made/cache/new; rm -r root/gone; echo k >root/kept/k"
        )
        try mounts.leave()
        #expect(
            try bench.listing() == """
                ./kept directory 755 0:0 
                ./kept/k regular file 644 0:0 k 
                ./there directory 755 0:0 
                ./there/mine regular file 644 0:0 mine 

                """)
        #expect(try bench.folder.run("cat cache/contents/new source/s") == "c\ns\n")
    }

    @Test("one cache at two names is one cache; a read-only view of it takes no changes", arguments: [false, true])
    func twice(readOnlyFirst: Bool) throws {
        let bench = try Bench("echo c >cache/contents/c")
        let lease = try bench.lease()
        let targets = readOnlyFirst ? ["/a", "/b", "/c"] : ["/b", "/c", "/a"]
        let mounts = try bench.place([
            (.cache(lease, readOnly: readOnlyFirst), targets[0]), (.cache(lease, readOnly: false), targets[1]),
            (.cache(lease, readOnly: !readOnlyFirst), targets[2]),
        ])
        try bench.folder.run(
            "cat root/a/c root/b/c; cd root && [ \"$(readlink c)\" = /b ] && echo n >b/new && echo lost >a/lost")
        try mounts.leave()
        #expect(try bench.listing() == "")
        #expect(try bench.folder.run("ls cache/contents") == "c\nnew\n")
    }

    @Test("a target that cannot be is told with its place, and all is as it was before")
    func impossible() throws {
        let bench = try Bench("echo f >root/file; ln -s / root/all; mkdir source/d")
        let before = try bench.listing()
        for (target, words) in [("/file/x", "leads through a file"), ("/all", "leads to the root directory")] {
            let error = #expect(throws: BuildError.self) {
                _ = try bench.place([(bench.tree(), "/made/here"), (.temporary(size: nil), target)])
            }
            #expect(error.map { "\($0)".contains(words) } == true, "\(target): \(String(describing: error))")
            #expect(try bench.listing() == before)
        }
    }
}
