import Sandbox
import SystemPackage
import Testing

@Suite("Users and groups of an image")
struct UserDatabaseTests {
    let database = UserDatabase(
        passwd: Array(
            """
            root:x:0:0:root:/root:/bin/sh
            # a comment
            +nis
            app:x:1000:1001:App:/home/app:/bin/sh
            12:x:77:77::/digits:/bin/sh
            bare:x:5:6
            broken:x:what:0::/:/bin/sh
            app:x:2000:2000::/second:/bin/sh
            """.utf8),
        group: Array(
            """
            root:x:0:
            docker:x:999:other,app
            wheel:x:10:app
            staff:x:50:application
            again:x:999:app

            """.utf8))

    /// USER of a RUN: text, uid, gid, groups, home.
    @Test(
        "USER is resolved as Docker does",
        arguments: [
            ("", 0, 0, [0], "/root"),
            ("root", 0, 0, [0], "/root"),
            ("0", 0, 0, [0], "/root"),
            ("app", 1000, 1001, [1001, 999, 10], "/home/app"),
            ("1000", 1000, 1001, [1001, 999, 10], "/home/app"),
            ("app:docker", 1000, 999, [999], "/home/app"),
            ("app:50", 1000, 50, [50], "/home/app"),
            ("1000:1000", 1000, 1000, [1000], "/home/app"),
            ("4242", 4242, 0, [0], "/"),
            ("4242:4243", 4242, 4243, [4243], "/"),
            ("12", 12, 0, [0], "/"),
            ("bare", 5, 6, [6], "/"),
        ] as [(String, UInt32, UInt32, [UInt32], String)])
    func user(text: String, uid: UInt32, gid: UInt32, groups: [UInt32], home: String) throws {
        let identity = try database.identity(of: text)
        #expect(identity.uid == uid)
        #expect(identity.gid == gid)
        #expect(identity.groups == groups)
        #expect(identity.home.string == home)
    }

    @Test(
        "what cannot be resolved is an error that names it",
        arguments: [
            ("nobody", UserError.unknownUser("nobody")), ("broken", .unknownUser("broken")),
            ("app:nogroup", .unknownGroup("nogroup")), (":docker", .malformed(":docker")), ("app:", .malformed("app:")),
            ("4294967295", .idOutOfRange("4294967295")), ("99999999999", .idOutOfRange("99999999999")),
        ])
    func unknown(text: String, expected: UserError) {
        #expect(throws: expected) { _ = try database.identity(of: text) }
        #expect(throws: expected) { _ = try database.owner(of: text) }
    }

    @Test(
        "--chown takes a number as both ids, and a name with its primary group",
        arguments: [
            ("5", 5, 5), ("1000", 1000, 1000), ("app", 1000, 1001), ("app:wheel", 1000, 10), ("7:wheel", 7, 10),
            ("7:8", 7, 8), ("root", 0, 0),
        ] as [(String, UInt32, UInt32)])
    func owner(text: String, uid: UInt32, gid: UInt32) throws {
        let owner = try database.owner(of: text)
        #expect(owner.uid == uid)
        #expect(owner.gid == gid)
    }

    @Test("root is 0 in an image without files, and nobody else is known")
    func noFiles() throws {
        let empty = UserDatabase(passwd: [], group: [])
        #expect(try empty.identity(of: "root") == .root)
        #expect(try empty.identity(of: "root:root").gid == 0)
        #expect(throws: UserError.unknownUser("app")) { _ = try empty.identity(of: "app") }
    }
}
