import Glibc
import SystemIO
import SystemPackage
import TestSupport
import Testing

@Suite("Folders")
struct DirectoryTests {
    let temporary: TemporaryDirectory

    init() throws {
        temporary = try TemporaryDirectory()
    }

    private func sh(_ script: String) throws -> String {
        try Program.require(["sh", "-euc", "cd '\(temporary.path.string)'; \(script)"]).text
    }

    @Test("as a root, a folder cannot be left by links, dots or slashes")
    func inRoot() throws {
        _ = try sh(
            "mkdir -p root/etc; echo inside > root/etc/name; echo outside > name; ln -s /etc/name root/absolute; ln -s ../../../etc/name root/dots; ln -s /proc/self/exe root/magic"
        )
        let root = try Directory(opening: temporary.appending("root"))
        for path in ["absolute", "dots", "/etc/name", "../../etc/name", "etc/../../etc/name"] as [FilePath] {
            let file = try root.open(path, O_RDONLY, .inRoot)
            #expect(try file.readAll(limit: 100) == Array("inside\n".utf8), "\(path)")
        }
        #expect(throws: SystemError(call: "openat2", path: "magic", errno: .noSuchFileOrDirectory)) {
            _ = try root.open("magic", O_RDONLY, .inRoot)
        }
    }

    @Test(
        "without symlinks, no link is followed anywhere and no name leads out",
        arguments: ["link/file", "link", "..", "/etc", "dir/../../x"])
    func noSymlinks(_ path: String) throws {
        _ = try sh("mkdir -p root/dir; touch root/dir/file; ln -s dir root/link")
        let root = try Directory(opening: temporary.appending("root"))
        #expect(throws: SystemError.self) { _ = try root.open(FilePath(path), O_RDONLY, .noSymlinks) }
        _ = try root.open("dir/file", O_RDONLY, .noSymlinks)
    }

    @Test("a tree is removed whole, links are removed and not followed, and a missing one is a success")
    func removal() throws {
        _ = try sh(
            "mkdir -p outside tree/a/b tree/locked; touch outside/kept tree/a/b/f tree/locked/f; chmod 0 tree/locked; ln -s ../outside tree/link; mkfifo tree/fifo"
        )
        // Deeper than a recursion would want, and than one path may be long.
        _ = try sh(
            "cd tree; i=0; while [ $i -lt 300 ]; do mkdir dddddddddddddddd; cd -P dddddddddddddddd; i=$((i+1)); done")
        let folder = try Directory(opening: temporary.path)
        try folder.removeTree("tree")
        #expect(try sh("ls; ls outside") == "outside\nkept\n")
        try folder.removeTree("tree")
    }

    @Test("names that are not UTF-8 are kept as they are, and printed with escapes")
    func byteNames() throws {
        let folder = try Directory(opening: temporary.path)
        let name = FilePath(bytes: [0x66, 0xff, 0x0a])
        try folder.makeDirectory(name, mode: 0o700)
        #expect(try folder.names() == [name])
        #expect(name.printable == #"f\xff\x0a"# && FilePath("grün").printable == "grün")
    }

    @Test("extended attributes come back sorted, long ones too", .enabled(if: isRoot))
    func attributes() throws {
        let folder = try Directory(opening: temporary.path)
        _ = try sh("touch f; ln -s f l")
        let long = ExtendedAttribute(name: "user.long", value: [UInt8](repeating: 7, count: 3000))
        try folder.setAttribute(ExtendedAttribute(name: "user.z", value: []), on: "f")
        try folder.setAttribute(long, on: "f")
        try folder.setAttribute(ExtendedAttribute(name: "trusted.on-link", value: [1]), on: "l")
        #expect(try folder.attributes(of: "f").map(\.name) == ["user.long", "user.z"])
        #expect(try folder.attributes(of: "f").first == long)
        #expect(try folder.attributes(of: "l").map(\.name) == ["trusted.on-link"])
    }

    @Test("reading stops at the limit that the caller sets")
    func readLimit() throws {
        _ = try sh("head -c 100001 /dev/zero > f")
        let folder = try Directory(opening: temporary.path)
        #expect(throws: SystemError(call: "read", errno: .fileTooLarge)) {
            _ = try folder.open("f", O_RDONLY, .noSymlinks).readAll(limit: 100_000)
        }
        #expect(try folder.open("f", O_RDONLY, .noSymlinks).readAll(limit: 100_001).count == 100_001)
    }

    @Test("a write to a full device is an error that names it")
    func fullDevice() throws {
        let file = try OwnedDescriptor.open("/dev/full", O_WRONLY)
        #expect(throws: SystemError(call: "write", errno: .noSpace)) { try file.writeAll([1]) }
    }
}
