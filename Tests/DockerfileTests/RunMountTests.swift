import Testing

@testable import Dockerfile

@Suite("RUN mounts")
struct RunMountTests {
    static func resolved(_ text: String) throws -> RunMount.Resolved? {
        try run("RUN --mount=\(text) x")?.mounts.first?.resolved()
    }

    @Test(
        "options have defaults by type",
        arguments: [
            ("target=/x", String?.some("/x"), RunMount.Kind.bind(from: nil, source: nil, readOnly: true)),
            ("TYPE=bind,from=Img:1,src=a,dst=b,rw", "b", .bind(from: "Img:1", source: "a", readOnly: false)),
            ("destination=/x,readwrite=false", "/x", .bind(from: nil, source: nil, readOnly: true)),
            ("target=/x,ro=0", "/x", .bind(from: nil, source: nil, readOnly: false)),
            (
                "type=cache,target=/a//b/", "/a//b/",
                .cache(.init(id: "/a/b", sharing: .shared, readOnly: false, owner: .init(mode: 0o755)))
            ),
            (
                "type=cache,target=c,id=i,sharing=locked,ro,from=s,source=/d,mode=0700,uid=1,gid=2", "c",
                .cache(
                    .init(
                        id: "i", sharing: .locked, readOnly: true, from: "s", source: "/d",
                        owner: .init(uid: 1, gid: 2, mode: 0o700)))
            ),
            ("type=tmpfs,target=/t", "/t", .tmpfs(size: nil)),
            ("type=tmpfs,target=/t,size=64m", "/t", .tmpfs(size: 64 << 20)),
            (
                "type=secret,id=a/b", "/run/secrets/b",
                .secret(.init(id: "a/b", required: false, owner: .init(mode: 0o400)))
            ),
            (
                "type=secret,target=/x/y,required", "/x/y",
                .secret(.init(id: "y", required: true, owner: .init(mode: 0o400)))
            ),
            (
                "type=secret,id=a,env=E", nil,
                .secret(.init(id: "a", environment: "E", required: false, owner: .init(mode: 0o400)))
            ),
            ("type=ssh", nil, .ssh(.init(id: "default", required: false, owner: .init(mode: 0o600)))),
            ("'type=bind,\"target=/a,b\"'", "/a,b", .bind(from: nil, source: nil, readOnly: true)),
        ])
    func defaults(text: String, target: String?, kind: RunMount.Kind) throws {
        let mount = try Self.resolved(text)
        #expect(mount?.target == target)
        #expect(mount?.kind == kind)
    }

    @Test("a flag's place is that of its value, and other flags are typed")
    func flags() throws {
        let run = try run("RUN --network=none --security=insecure --device=a --device=b,required --mount=target=/x y")
        #expect(run?.network?.value == RunInstruction.Network.none)
        #expect(run?.network?.range == SourceRange(line: 2, columns: 15..<19))
        #expect(run?.security?.value == .insecure)
        #expect(run?.devices.map(\.text) == ["a", "b,required"])
        #expect(run?.mounts.count == 1)
    }
}
