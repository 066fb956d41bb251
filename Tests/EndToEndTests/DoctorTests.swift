import SystemPackage
import TestSupport
import Testing

/// What `imgbuild doctor` says of the place where it is started.
@Suite("imgbuild doctor")
struct DoctorTests {
    private static let secret = "s3cret-of-the-doctor"

    private func examine(
        _ site: BuildSite, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> Program.Outcome {
        try Program.run(
            [BuildSite.program.string, "doctor", "--state-dir", site.state.string] + arguments,
            environment: site.environment(adding: environment), in: site.folder.path)
    }

    @Test("where all is well it says how RUN is isolated, who asks, and that the image may be pushed; nothing is left")
    func well() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /\n", files: ["file": "text\n"])
        let registry = try DockerRegistry(user: ("ann", Self.secret))
        let config = "{\"auths\": {\"\(registry.host)\": {\"username\": \"ann\", \"password\": \"\(Self.secret)\"}}}"
        try site.folder.write(config, to: "docker/config.json")
        let outcome = try examine(
            site, ["--dest", "\(registry.host)/acme/app:1", "--context", site.context.string],
            environment: ["DOCKER_CONFIG": site.folder.appending("docker").string])
        #expect(outcome.status == 0, "\(outcome.text)\(outcome.errorText)")
        let lines = outcome.text.split(separator: "\n")
        #expect(lines.allSatisfy { $0.hasPrefix("ok     ") }, "\(outcome.text)")
        for beginning in [
            "ok     state folder: ", "ok     isolation: ",
            "ok     registry \(registry.host): credentials from \(site.folder.appending("docker/config.json"))",
            "ok     registry \(registry.host): acme/app may be pushed to", "ok     context: it can be read",
        ] {
            #expect(lines.contains { $0.hasPrefix(beginning) }, "\(beginning) is not in\n\(outcome.text)")
        }
        #expect(!(outcome.text + outcome.errorText).contains(Self.secret))
        #expect(try registry.requests().contains { $0.method == "DELETE" && $0.status == 204 })
        try site.expectClean()
    }

    @Test("everything that is wrong is told, each with its reason, and the exit code is 1")
    func unwell() throws {
        let site = try BuildSite()
        let closed = try DockerRegistry(user: ("ann", Self.secret))
        let outcome = try examine(
            site,
            [
                "--dest", "\(closed.host)/acme/app:1", "--context", "file://\(site.folder.appending("none.git"))#main",
            ])
        #expect(outcome.status == 1)
        #expect(
            outcome.text.contains("ok     registry \(closed.host): no credentials were found: requests go without\n"))
        #expect(outcome.text.contains("FAILED registry \(closed.host): "))
        #expect(outcome.text.contains("a request without credentials"), "\(outcome.text)")
        #expect(outcome.text.contains("FAILED context: "), "\(outcome.text)")
        try site.expectClean()
    }

    @Test("a state folder that cannot be made is the finding, not the end")
    func stateFolder() throws {
        let site = try BuildSite()
        try site.folder.write("", to: "state")
        let outcome = try examine(site, ["--no-push"])
        #expect(outcome.status == 1 && outcome.text.hasPrefix("FAILED state folder: "), "\(outcome.text)")
    }
}
