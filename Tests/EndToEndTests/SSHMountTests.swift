import Glibc
import SystemPackage
import TestSupport
import Testing

/// RUN --mount=type=ssh, with real agents and OpenSSH's own programs on both sides.
@Suite("SSH agents of RUN", .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
struct SSHMountTests {
    @Test("a RUN lists and uses the keys of the agents that it names, each by its id", arguments: RunIsolation.possible)
    func conversation(isolation: RunIsolation) throws {
        let (one, other) = (try SSHAgent(), try SSHAgent())
        let site = try BuildSite(
            """
            FROM busybox
            COPY tools /
            RUN --mount=type=ssh echo "default: $(ssh-add -l) at $SSH_AUTH_SOCK"
            RUN --mount=type=ssh,id=other,target=/agent,mode=0666 echo "other: $(ssh-add -l), $(stat -c %a /agent)"
            RUN --mount=type=ssh,id=other --mount=type=ssh \\
                echo "first: $(ssh-add -l); second: $(SSH_AUTH_SOCK=/run/buildkit/ssh_agent.1 ssh-add -l)"
            RUN --mount=type=ssh,id=absent test -z "$SSH_AUTH_SOCK" && test ! -e /run/buildkit
            COPY key.pub /tmp/
            USER app
            RUN --mount=type=ssh,uid=1000,gid=2000,required \\
                echo text >/tmp/text && ssh-keygen -q -Y sign -f /tmp/key.pub -n file /tmp/text
            RUN --mount=type=ssh ssh-add -l && exit 3; echo "refused: not the owner"

            """, files: ["key.pub": try text(of: one.publicKey)])
        try SSHAgent.copyPrograms(["ssh-add", "ssh-keygen"], to: site.context.appending("tools"))
        let build = try site.require(
            [
                "--dest", "run:latest", "--no-push", "--oci-layout-path", site.layout.string, "--ssh", "default",
                "--ssh",
                "other=\(other.socket)", isolation.flag,
            ], environment: ["SSH_AUTH_SOCK": one.socket.string])
        let (first, second) = ("256 \(one.fingerprint) a tester", "256 \(other.fingerprint) a tester")
        for line in [
            "default: \(first) (ED25519) at /run/buildkit/ssh_agent.0\n", "other: \(second) (ED25519), 666\n",
            "first: \(second) (ED25519); second: \(first) (ED25519)\n", "refused: not the owner\n",
        ] { #expect(build.log.contains(line), "\(build.log)") }

        let image = try Umoci.unpack(site.layout, tag: "latest", into: site.folder.appending("bundle"))
        #expect(image.entries["/run"] == nil && image.entries["/agent"] == nil)
        // The agent's answer was the right one.
        let signers = try site.folder.write("tester \(try text(of: one.publicKey))", to: "signers")
        try Program.require(
            [
                "ssh-keygen", "-Y", "verify", "-f", signers.string, "-I", "tester", "-n", "file", "-s",
                image.root.appending("tmp/text.sig").string,
            ], input: Array("text\n".utf8))
        let secret = try one.privateKey().split(separator: "\n")[2]
        #expect(try Program.run(["grep", "-rlaF", String(secret), site.folder.path.string]).status == 1)
        try site.expectClean()
    }

    @Test("a required agent that was not given is told with its place before anything runs")
    func required() throws {
        let site = try BuildSite("FROM busybox\nRUN echo r''an\nRUN --mount=type=ssh,id=deploy,required true\n")
        let build = try site.build()
        #expect(build.status == 1)
        #expect(
            build.log.contains("Dockerfile:3: the SSH agent 'deploy' is required and was not given"), "\(build.log)")
        #expect(build.log.contains("hint: forward one with --ssh deploy=SOCKET"))
        #expect(!build.log.contains("ran\n"))
    }

    @Test("an agent that is gone is told before anything runs")
    func gone() throws {
        let agent = try SSHAgent()
        agent.stop()
        let site = try BuildSite("FROM busybox\nRUN echo r''an\n")
        // A stopped agent takes its socket with it; one that was killed does not.
        try Program.require(
            [
                "python3", "-c", "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])",
                site.folder.appending("dead").string,
            ])
        let build = try site.build(["--no-push", "--ssh", "default=\(site.folder.appending("dead"))"])
        #expect(build.status == 1)
        #expect(build.log.contains("no SSH agent answers for --ssh default"), "\(build.log)")
        #expect(!build.log.contains("ran\n"))
        let missing = try site.build(["--no-push", "--ssh", "default=\(agent.socket)"])
        #expect(missing.status == 64)
        #expect(missing.log.contains("--ssh default: "), "\(missing.log)")
    }

    @Test("a key file in the place of an agent is refused with the way that works")
    func keyFile() throws {
        let agent = try SSHAgent()
        let key = agent.publicKey.string.dropLast(".pub".count)
        let build = try BuildSite("FROM busybox\n").build(["--no-push", "--ssh", "deploy=\(key)"])
        #expect(build.status == 64)
        #expect(build.log.contains("key files are not supported"), "\(build.log)")
        #expect(build.log.contains("ssh-add \(key), then --ssh deploy"), "\(build.log)")
    }
}
