import Glibc
import SystemPackage
import TestSupport
import Testing

/// One test's place to build in: a context, a state folder, a home of its own, and what builds write. Removed with this
/// object.
final class BuildSite: Sendable {
    let folder: TemporaryDirectory

    /// The context's folder; empty at first but for what `init` was given.
    var context: FilePath { folder.appending("context") }
    var state: FilePath { folder.appending("state") }
    var home: FilePath { folder.appending("home") }
    var layout: FilePath { folder.appending("layout") }
    var digestFile: FilePath { folder.appending("digest") }

    init(_ dockerfile: String? = nil, files: [String: String] = [:]) throws {
        folder = try TemporaryDirectory()
        for name in ["context", "home", "temporary"] { try folder.makeDirectory(name) }
        if let dockerfile { try folder.write(dockerfile, to: "context/Dockerfile") }
        for (name, text) in files { try folder.write(text, to: "context/\(name)") }
    }

    /// The program as `swift build` made it, beside the tests.
    static let program: FilePath = {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        // The bundle is an argument where a helper of SwiftPM loads it, and the process itself elsewhere.
        let bundle = CommandLine.arguments.drop { $0 != "--test-bundle-path" }.dropFirst().first
        if let bundle { return FilePath(bundle).removingLastComponent().appending("imgbuild") }
        _ = readlink("/proc/self/exe", &buffer, Int(PATH_MAX))
        return FilePath(platformString: buffer).removingLastComponent().appending("imgbuild")
    }()

    /// The environment of builds: nothing of the user's own but where programs are.
    func environment(adding changes: [String: String] = [:]) -> [String: String] {
        let inherited = Program.environment(adding: [:]).filter { ["PATH", "LD_LIBRARY_PATH"].contains($0.key) }
        return inherited.merging(["HOME": home.string, "TMPDIR": folder.appending("temporary").string]) { $1 }
            .merging(changes) { $1 }
    }

    /// The arguments that builds here have in common: the context, the state folder, and busybox as an image on disk.
    ///
    /// - Parameter cached: whether steps may be taken from earlier builds; most tests are about what steps do.
    func arguments(context: String? = nil, state: FilePath? = nil, cached: Bool = false) throws -> [String] {
        (cached ? [] : ["--no-cache"]) + [
            "--context", context ?? self.context.string, "--state-dir", (state ?? self.state).string, "--build-context",
            try BusyboxImage.shared().buildContext,
        ]
    }

    /// Builds and waits. A failing build is a result.
    func build(
        _ more: [String] = ["--no-push"], context: String? = nil, state: FilePath? = nil, cached: Bool = false,
        environment: [String: String] = [:]
    ) throws -> Build {
        Build(
            try Program.run(
                [Self.program.string] + arguments(context: context, state: state, cached: cached) + more,
                environment: self.environment(adding: environment), in: folder.path))
    }

    /// Builds, and demands that it succeeds.
    @discardableResult
    func require(
        _ more: [String] = ["--no-push"], context: String? = nil, state: FilePath? = nil, cached: Bool = false,
        environment: [String: String] = [:], sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> Build {
        let build = try build(more, context: context, state: state, cached: cached, environment: environment)
        try #require(build.status == 0, "\(build.log)", sourceLocation: sourceLocation)
        return build
    }

    /// Starts a build and returns at once.
    func start(_ more: [String], context: String? = nil, environment: [String: String] = [:]) throws -> RunningProgram {
        try RunningProgram(
            [Self.program.string] + arguments(context: context) + more,
            environment: self.environment(adding: environment), in: folder.path)
    }

    // MARK: What builds leave

    /// The scratch folders below the state folder: none, when no build is at work.
    func scratch() throws -> [String] {
        guard exists(state.appending("work")) else { return [] }
        return try Program.require(["ls", "-A", state.appending("work").string]).text.split(separator: "\n").map(
            String.init)
    }

    /// The mounts at or below this site.
    func mounts() throws -> [String] {
        try text(of: "/proc/self/mountinfo").split(separator: "\n").map(String.init).filter {
            $0.contains(folder.path.string)
        }
    }

    /// Expects that a build that ended left no scratch, no mount, no temporary file, and nothing in the user's home.
    func expectClean(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try scratch() == [], sourceLocation: sourceLocation)
        #expect(try mounts() == [], sourceLocation: sourceLocation)
        for empty in [home, folder.appending("temporary")] {
            #expect(try FileTree(listing: empty).entries.count == 1, sourceLocation: sourceLocation)
        }
    }
}

/// How a build ended.
struct Build {
    let status: Int32
    /// All of standard output.
    let output: String
    /// All of standard error output.
    let log: String

    init(_ outcome: Program.Outcome) {
        status = outcome.status
        output = outcome.text
        log = outcome.errorText
        for secret in Build.secrets {
            #expect(!(log + output).contains(secret), "\(secret)... is in what the build said")
        }
    }

    /// How the passwords and tokens of all tests begin, and what is secret of addresses that registries and storages make.
    private static let secrets = ["s3cret", "hunter2", MotoServer.password, "_state=", "X-Amz-Signature="]

    /// The digest, if standard output is one line with a digest and nothing else.
    var digest: String? {
        guard output.hasPrefix("sha256:"), output.hasSuffix("\n") else { return nil }
        let digits = output.dropFirst("sha256:".count).dropLast()
        return digits.utf8.count == 64 && digits.allSatisfy(\.isHexDigit) ? String(output.dropLast()) : nil
    }
}

/// Whether something has that name.
func exists(_ path: FilePath) -> Bool {
    path.withPlatformString { access($0, F_OK) } == 0
}

/// The isolations that can run commands on this machine, as this user.
enum RunIsolation: String, CaseIterable, CustomTestStringConvertible {
    case overlay, chroot

    var testDescription: String { rawValue }
    var flag: String { "--isolation=\(rawValue)" }

    /// Asked of the program itself: a build with a forced isolation that has nothing to do.
    static let possible: [RunIsolation] = allCases.filter { isolation in
        guard let site = try? BuildSite("FROM busybox\nRUN true\n") else { return false }
        return (try? site.build(["--no-push", isolation.flag]).status) == 0
    }

    /// Why a test is left out, where one is.
    static let none: Comment = "RUN needs root, or user namespaces that may mount: neither is here"
}
