import SystemPackage
import TestSupport
import Testing

extension BuildSite {
    /// A Dockerfile that copies all of the context.
    static let copyAll = "FROM scratch\nCOPY . /\n"

    /// Builds from a context with the Dockerfile `copyAll`, and lists the image's files: contents of those that are files,
    /// `-> target` for symlinks, `/` for folders.
    func copied(
        _ context: String, _ more: [String] = [], environment: [String: String] = [:], input: [UInt8] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> (files: [String: String], build: Build) {
        let build = try build(context, more, environment: environment, input: input)
        try #require(build.status == 0, "\(build.log)", sourceLocation: sourceLocation)
        let bundle = try TemporaryDirectory()
        let tree = try Umoci.unpack(layout, tag: "1", into: bundle.appending("bundle"))
        var files: [String: String] = [:]
        for (path, entry) in tree.entries where path != "/" {
            switch entry.kind {
            case .file: files[path.string] = String(decoding: try tree.contents(of: path), as: UTF8.self)
            case .symlink: files[path.string] = "-> \(entry.target?.string ?? "")"
            case .dir, .other: files[path.string] = "/"
            }
        }
        return (files, build)
    }

    /// Builds into a new layout, with something on standard input.
    func build(
        _ context: String, _ more: [String], environment: [String: String] = [:], input: [UInt8] = []
    ) throws -> Build {
        try Program.require(["rm", "-rf", layout.string])
        return Build(
            try Program.run(
                [
                    Self.program.string, "--context", context, "--state-dir", state.string, "--no-push", "--dest",
                    "app:1", "--oci-layout-path", layout.string,
                ] + more, environment: self.environment(adding: environment), in: folder.path, input: input))
    }

    /// Expects that a secret is in nothing that is left below this site, nor in what the build said.
    func expectNowhere(_ secret: String, _ build: Build, sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(!build.log.contains(secret) && !build.output.contains(secret), sourceLocation: sourceLocation)
        let found = try Program.run(
            [
                "grep", "--recursive", "--text", "--files-with-matches", "--exclude-dir=secrets", secret,
                folder.path.string,
            ])
        #expect(found.text == "" && found.status == 1, sourceLocation: sourceLocation)
        // Layers are compressed: what is in them shows only when they are unpacked.
        guard exists(layout) else { return }
        let bundle = try TemporaryDirectory()
        _ = try Umoci.unpack(layout, tag: "1", into: bundle.appending("bundle"))
        #expect(
            try Program.run(["grep", "-r", "-a", "-l", secret, bundle.path.string]).text == "",
            sourceLocation: sourceLocation)
    }
}
