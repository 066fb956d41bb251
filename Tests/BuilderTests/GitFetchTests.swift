import Glibc
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

/// A part of a Git context, and what it stands for in `GitFetchTests`' repository; names in capitals are commits there.
private struct Selection: CustomTestStringConvertible, Sendable {
    /// What follows the address.
    let text: String
    let commit: String
    var testDescription: String { text.isEmpty ? "(nothing)" : text }

    init(_ text: String, _ commit: String) {
        self.text = text
        self.commit = commit
    }

    /// What every server gives out, one that refuses objects by their names as well.
    static let all = [
        Selection("", "FOUR"), Selection("#", "FOUR"), Selection("##", "FOUR"), Selection("#HEAD#HEAD", "FOUR"),
        Selection("#refs/heads/main", "FOUR"), Selection("#refs/heads/main#", "FOUR"),
        Selection("#refs/heads/main#HEAD", "FOUR"), Selection("#main", "FOUR"), Selection("#heads/main", "FOUR"),
        // Tags, light and annotated, by their names and by the name of the tag object.
        Selection("#refs/tags/light", "ONE"), Selection("#light", "ONE"), Selection("#tags/light", "ONE"),
        Selection("#refs/tags/annotated", "TWO"), Selection("#annotated", "TWO"),
        Selection("#refs/tags/annotated#TAG", "TWO"),
        // A name that both have is the branch's.
        Selection("#same", "THREE"), Selection("#refs/tags/same", "ONE"),
        Selection("#refs/pull/7/head", "PULL"), Selection("#pull/7/head", "PULL"),
        Selection("#refs/pull/7/head#PULL", "PULL"), Selection("#pull/7/head#PARENT", "PARENT"),
        // Commits: in the history of the ref, on another ref, short, in upper case, in place of the ref.
        Selection("#refs/heads/main#FOUR", "FOUR"), Selection("#refs/heads/main#TWO", "TWO"),
        Selection("#refs/heads/main#SIDE", "SIDE"), Selection("##ONE", "ONE"), Selection("#ONE", "ONE"),
        Selection("#SHORT-TWO", "TWO"), Selection("##SHORT-TWO", "TWO"), Selection("#main#SHORT-ONE", "ONE"),
        Selection("#main#SHORT-SIDE", "SIDE"), Selection("#UPPER-TWO", "TWO"),
        // The branch was deleted, its commit is on another.
        Selection("#refs/heads/deleted#TWO", "TWO"),
        // A branch may look like the beginning of a commit.
        Selection("#deadbee", "THREE"), Selection("#deadbee#ONE", "ONE"),
    ]

    func fill(_ commits: [String: String]) -> String {
        var text = text
        for (name, commit) in commits {
            text = text.replacing("SHORT-\(name)", with: commit.prefix(9))
                .replacing("UPPER-\(name)", with: commit.uppercased())
        }
        for (name, commit) in commits where name != "FORCED" { text = text.replacing("#\(name)", with: "#\(commit)") }
        return text
    }
}

@Suite("Fetching a commit")
struct GitFetchTests {
    /// Four commits on main, a branch beside it, tags, and a pull request.
    private final class Fixture: Sendable {
        let server: GitServer
        let commits: [String: String]

        init(speaksOldProtocol: Bool = false, configuration: [String: String] = [:]) throws {
            server = try GitServer(speaksOldProtocol: speaksOldProtocol)
            let folder = try TemporaryDirectory()
            var commits: [String: String] = [:]
            try folder.write("1", to: "tree/file")
            let repository = try server.makeRepository(
                "app.git", from: folder.appending("tree"), configuration: configuration)
            commits["ONE"] = try repository.git(["rev-parse", "main"])
            for (number, name) in ["TWO", "THREE", "FOUR"].enumerated() {
                try folder.write("\(number + 2)", to: "tree/file")
                commits[name] = try repository.commit(folder.appending("tree"))
            }
            func point(_ ref: String, to name: String) throws {
                try repository.git(["update-ref", ref, commits[name] ?? ""])
            }
            for (branch, name) in [("side", "SIDE"), ("pull", "PARENT"), ("pull", "PULL"), ("forced", "FORCED")] {
                try folder.write(name, to: "tree/file")
                commits[name] = try repository.commit(folder.appending("tree"), to: branch)
            }
            try point("refs/pull/7/head", to: "PULL")
            try repository.git(["update-ref", "-d", "refs/heads/pull"])
            // A force-push took this commit off its branch; nothing has collected it yet.
            try point("refs/heads/forced", to: "ONE")
            try point("refs/tags/light", to: "ONE")
            try point("refs/tags/same", to: "ONE")
            try point("refs/heads/same", to: "THREE")
            try point("refs/heads/deadbee", to: "THREE")
            try repository.git(["tag", "-a", "-m", "a tag", "annotated", commits["TWO"] ?? ""])
            commits["TAG"] = try repository.git(["rev-parse", "refs/tags/annotated"])
            self.commits = commits
        }

        var url: String { "http://\(server.host)/app.git" }
    }

    /// Short time-outs and pauses.
    private static var patience: GitPatience {
        var patience = GitPatience()
        patience.pauses = [.milliseconds(10), .milliseconds(10)]
        return patience
    }

    private struct Found: Sendable {
        let commit: String
        /// What `file` says.
        let file: String
        /// Commits that were fetched.
        let count: String
    }

    private func checkOut(
        _ context: String, depth: Int = 1, patience: GitPatience = Self.patience,
        cancellation: Cancellation = Cancellation(),
        report: @escaping EventSink = { _ in }
    ) throws -> Found {
        let folder = try TemporaryDirectory()
        let scratch = try StateDirectory(opening: folder.appending("state")).makeScratch()
        let location = try GitLocation(parsing: context)
        let git = try GitProgram(
            environment: Program.environment(adding: ["HOME": folder.path.string]).map { "\($0.key)=\($0.value)" },
            credentials: .none, for: location, patience: patience, cancellation: cancellation, report: report)
        let checkout = try GitCheckout.make(location, with: git, in: scratch, depth: depth)
        let file = try checkout.folder.open("file", O_RDONLY, .inRoot).readAll(limit: 99)
        return Found(
            commit: checkout.commit, file: String(decoding: file, as: UTF8.self),
            count: try git.line(["rev-list", "--count", "HEAD"], in: checkout.folder))
    }

    private func failure(_ context: String, patience: GitPatience = Self.patience) -> String {
        do {
            return "checked out \(try checkOut(context, patience: patience))"
        } catch let error as BuildError {
            return error.message + (error.hint.map { "\nhint: \($0)" } ?? "")
        } catch {
            return "\(error)"
        }
    }

    @Test(
        "refs, tags, pull requests and commits are found, whether the server gives out objects by their names or not",
        arguments: [false, true])
    func selections(speaksOldProtocol: Bool) throws {
        let fixture = try Fixture(speaksOldProtocol: speaksOldProtocol)
        for selection in Selection.all {
            let context = fixture.url + selection.fill(fixture.commits)
            let found = Result { try checkOut(context).commit }
            let expected = try #require(fixture.commits[selection.commit])
            #expect((try? found.get()) == expected, "\(selection): \(found)")
        }
    }

    @Test("a commit that a force-push took off its branch is found by its name, where the server gives it out")
    func forcePushed() throws {
        let open = try Fixture()
        let commit = try #require(open.commits["FORCED"])
        #expect(try checkOut("\(open.url)#refs/heads/forced#\(commit)").file == "FORCED")
        #expect(try checkOut("\(open.url)#\(commit)").commit == commit)

        for configuration in [[:], ["uploadpack.allowTipSHA1InWant": "true"]] {
            let closed = try Fixture(speaksOldProtocol: true, configuration: configuration)
            let text = failure("\(closed.url)#refs/heads/forced#\(commit)")
            #expect(text.contains("the commit \(commit) is not in the history of refs/heads/forced"), "\(text)")
            #expect(text.contains("hint: it may have been replaced by a force-push"))
        }
        let asked = try Fixture(
            speaksOldProtocol: true, configuration: ["uploadpack.allowAnySHA1InWant": "true"])
        #expect(try checkOut("\(asked.url)##\(commit)").file == "FORCED")
    }

    @Test("one commit is fetched without its history, or with as much of it as is wanted")
    func depth() throws {
        let fixture = try Fixture()
        for context in ["\(fixture.url)#refs/heads/main", "\(fixture.url)##\(try #require(fixture.commits["FOUR"]))"] {
            for (depth, count) in [(1, "1"), (2, "2"), (0, "4")] {
                #expect(try checkOut(context, depth: depth).count == count)
            }
        }
    }

    @Test("what cannot be found is named, and each reason has words and advice of its own")
    func failures() throws {
        let fixture = try Fixture()
        let url = fixture.url
        let nobody = "http://127.0.0.1:1/app.git"
        let cases: [(String, [String])] = [
            ("\(url)#refs/heads/gone", ["the ref refs/heads/gone does not exist in \(url)", "hint: write it in full"]),
            ("\(url)#gone", ["the ref gone does not exist"]),
            ("\(url)#0123abc", ["neither a ref nor a commit '0123abc'"]),
            ("\(url)#refs/heads/gone##", ["more than two '#'"]),
            (
                "\(url)#refs/heads/gone#1234567890123456789012345678901234567890",
                [
                    "the commit 1234567890123456789012345678901234567890 is not in \(url), whose ref refs/heads/gone does not exist"
                ]
            ),
            (
                "http://\(fixture.server.host)/none.git",
                ["there is no Git repository at", "or it is private", "GIT_TOKEN"]
            ),
            (nobody, ["127.0.0.1:1 cannot be reached for \(nobody)", "hint: check the network"]),
            (
                "https://nowhere.invalid/app.git",
                ["nowhere.invalid cannot be reached", "hint: check the spelling of the host"]
            ),
        ]
        for (context, parts) in cases {
            let text = failure(context)
            for part in parts { #expect(text.contains(part), "\(context): \(text)") }
        }
        // Of a repository on this machine nobody needs to hear of tokens.
        let local = failure("file:///nonexistent/app.git")
        #expect(
            local.contains("there is no Git repository at file:///nonexistent/app.git\nhint: check the path"),
            "\(local)")
        #expect(!local.contains("TOKEN"))
    }

    @Test("a server that refuses a user, or forbids him the repository, is told apart")
    func refusals() throws {
        for (forbids, words) in [(false, "refused the credentials from a test"), (true, "may not read the repository")]
        {
            let server = try GitServer(user: ("ann", "right"), forbids: forbids)
            let location = try GitLocation(parsing: "http://\(server.host)/app.git")
            let folder = try TemporaryDirectory()
            let git = try GitProgram(
                environment: Program.environment().map { "\($0.key)=\($0.value)" },
                credentials: GitCredentials(username: "ann", password: "wrong-secret", origin: "a test"), for: location,
                patience: Self.patience, cancellation: Cancellation())
            let scratch = try StateDirectory(opening: folder.appending("state")).makeScratch()
            let error = #expect(throws: BuildError.self) { _ = try GitCheckout.make(location, with: git, in: scratch) }
            #expect(error?.message.contains(words) == true, "\(String(describing: error))")
            #expect(error.map { "\($0)".contains("wrong-secret") } == false)
        }
    }

    @Test("failures of the network and of the server are tried again, and told", arguments: ["503", "cut"])
    func retries(kind: String) throws {
        let events = Events()
        let server = try GitServer(failures: (2, kind == "cut" ? .cut : .status(503)))
        let folder = try TemporaryDirectory()
        try folder.write("1", to: "tree/file")
        _ = try server.makeRepository("app.git", from: folder.appending("tree"))
        #expect(try checkOut("http://\(server.host)/app.git") { events.add($0) }.file == "1")
        #expect(events.text.contains("try 2 of 3") && events.text.contains("try 3 of 3"), "\(events.text)")

        let broken = try GitServer(failures: (100, kind == "cut" ? .cut : .status(503)))
        let text = failure("http://\(broken.host)/app.git")
        #expect(text.contains(kind == "cut" ? "cannot be reached" : "a failure of its own"), "\(text)")
        #expect(try broken.requests().count == (kind == "cut" ? 0 : 3))
    }

    @Test("a server that falls silent ends the fetch, not the patience of those who wait")
    func silence() throws {
        var patience = Self.patience
        patience.silence = .milliseconds(500)
        patience.pauses = []
        let server = try GitServer(failures: (100, .silence))
        let text = failure("http://\(server.host)/app.git", patience: patience)
        #expect(text.contains("sent nothing for too long"), "\(text)")

        // git itself gives up a transfer over which nothing comes.
        patience = Self.patience
        patience.stall = .seconds(1)
        patience.pauses = []
        let stalled = failure("http://\(server.host)/app.git", patience: patience)
        #expect(stalled.contains("cannot be reached") && stalled.contains("too slow"), "\(stalled)")
    }

    @Test("a build that is interrupted does not wait for a silent server")
    func cancelled() throws {
        let server = try GitServer(failures: (100, .silence))
        let cancellation = Cancellation()
        cancellation.cancel()
        #expect(throws: BuildError.self) {
            try checkOut("http://\(server.host)/app.git", cancellation: cancellation)
        }
    }
}
