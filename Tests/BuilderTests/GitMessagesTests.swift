import Testing

@testable import Builder

@Suite struct GitMessagesTests {
    private func receive(_ text: String, pause: Duration, events: Events = Events()) -> (kept: String, told: String) {
        var messages = GitMessages(hiding: ["s3cret"], pause: pause) { events.add($0) }
        // In pieces, as a pipe gives them.
        for byte in text.utf8 { withUnsafeBytes(of: byte) { messages.receive($0) } }
        return (messages.finish(), events.text)
    }

    private static let text = [
        "remote: Enumerating objects: 9, done.        \nremote: Counting objects:  50% (1/2)        \r",
        "Receiving objects: 100% (9/9), 1.2 MiB | 3 MiB/s, done.\nReceiving objects: of s3cret\r",
        "remote: not progress\nfatal: early EOF\nfatal: the end",
    ].joined()

    @Test("progress is told without secrets, and only the rest is kept as the reason of a failure")
    func progress() {
        let (kept, told) = receive(Self.text, pause: .zero)
        #expect(kept == "remote: not progress\nfatal: early EOF\nfatal: the end")
        #expect(
            told.split(separator: "\n") == [
                #"note("git: remote: Enumerating objects: 9, done.")"#,
                #"note("git: remote: Counting objects:  50% (1/2)")"#,
                #"note("git: Receiving objects: 100% (9/9), 1.2 MiB | 3 MiB/s, done.")"#,
                #"note("git: Receiving objects: of ***")"#,
            ])
    }

    @Test("a fetch that is over soon tells no progress")
    func quick() {
        #expect(receive(Self.text, pause: .seconds(3600)).told == "")
    }

    @Test("however much a server says, little of it is kept")
    func bounded() {
        let line = String(repeating: "x", count: 10_000)
        let kept = receive((1...1000).map { "\($0) \(line)" }.joined(separator: "\n"), pause: .zero).kept
        #expect(kept.utf8.count < 500_000 && kept.hasPrefix("901 "))
    }

    @Test(
        "what git, ssh and servers say is understood",
        arguments: [
            ("fatal: repository 'http://h/r/' not found", GitFailure.Kind.notFound),
            ("fatal: could not read Username for 'http://h': terminal prompts disabled", .wantsCredentials),
            ("fatal: unable to access 'http://h/r/': The requested URL returned error: 403", .isForbidden),
            ("fatal: unable to access 'http://h/r/': The requested URL returned error: 429", .overload),
            ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", .overload),
            ("error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec\nfatal: early EOF", .network),
            ("fatal: unable to access 'https://h/r/': Could not resolve host: h", .network),
            (
                "fatal: unable to access 'https://h/r/': server certificate verification failed. CAfile: none",
                .certificate
            ),
            ("fatal: couldn't find remote ref refs/heads/x", .missingRef),
            ("error: Server does not allow request for unadvertised object 1", .refusesObject(isKnownMissing: false)),
            ("fatal: remote error: upload-pack: not our ref 1", .refusesObject(isKnownMissing: true)),
            ("No ED25519 host key is known for h\nHost key verification failed.", .sshUnknownHost),
            ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nHost key verification failed.", .sshChangedHost),
            ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", .sshDenied),
            ("error: cannot run ssh: No such file or directory\nfatal: unable to fork", .sshMissing),
            ("ssh: connect to host h port 22: Connection timed out", .network),
            ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", .notFound),
            ("fatal: detected dubious ownership in repository at '/r'", .foreignOwner),
            ("fatal: write error: No space left on device\nfatal: early EOF", .noSpace),
            ("fatal: something new", .other),
        ])
    func reasons(_ text: String, _ kind: GitFailure.Kind) {
        #expect(GitFailure(reading: text, timedOut: false, hiding: []).kind == kind)
    }

    @Test("a reason is short, says nothing twice, and has no secret")
    func reason() {
        let text = "remote: a s3cret\nfatal: Could not read from remote repository.\n\nfatal: the end of it"
        #expect(GitFailure(reading: text, timedOut: false, hiding: ["s3cret"]).reason == "remote: a ***; the end of it")
        #expect(GitFailure(reading: "", timedOut: false, hiding: [""]).reason == "it gave no reason")
    }
}
