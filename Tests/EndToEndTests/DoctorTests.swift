import SystemPackage
import TestSupport
import Testing

/// What `imgbuild doctor` says of the place where it is started.
@Suite("imgbuild doctor")
struct DoctorTests {
    private static let secret = "s3cret-of-the-doctor"

    private func examine(
        _ site: BuildSite, _ arguments: [String], environment: [String: String] = [:], input: [UInt8] = []
    ) throws -> Program.Outcome {
        try Program.run(
            [BuildSite.program.string, "doctor", "--state-dir", site.state.string] + arguments,
            environment: site.environment(adding: environment), in: site.folder.path, input: input)
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

    @Test(
        "a context of every kind is looked at, and where it cannot be read that is told",
        .enabled(if: MotoServer.isInstalled && isRoot, "moto is not installed (scripts/install-moto.sh), or no root"))
    func contexts() throws {
        let site = try BuildSite("FROM scratch\nCOPY file /\n", files: ["file": "text\n"])
        try Program.require(["tar", "-czf", "context.tar.gz", "-C", "context", "."], in: site.folder.path)
        let archive = site.folder.appending("context.tar.gz")
        let (moto, files, git) = (try MotoServer.shared(), try FileServer(), try GitServer())
        try moto.put(archive, as: "doctor/context.tar.gz")
        try files.write(try contents(of: archive), to: "context.tar.gz")
        _ = try git.makeRepository("app.git", from: site.context)
        let environment = [
            "AWS_ENDPOINT_URL": moto.url, "AWS_ACCESS_KEY_ID": moto.accessKeyID,
            "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey, "AWS_EC2_METADATA_DISABLED": "true",
        ]
        let bucket = "s3://\(MotoServer.bucket)/doctor"
        for (context, wrong, says) in [
            (site.context.string, "none", "No such file"), ("dir://\(site.context)", "dir://none", "No such file"),
            ("tar://\(archive)", "tar://context/file", "a context is a tar"),
            ("tar://stdin", "tar://", "names no path"), ("-", "tar://none.tar", "No such file"),
            ("http://\(files.host)/context.tar.gz", "http://\(files.host)/none.tar.gz", "the server answered 404"),
            ("\(bucket)/context.tar.gz", "\(bucket)/none.tar.gz", "NoSuchKey"),
            (
                "http://\(git.host)/app.git#refs/heads/main", "http://\(git.host)/app.git#refs/heads/none",
                "does not exist"
            ),
        ] {
            let well = try examine(
                site, ["--no-push", "--context", context], environment: environment, input: contents(of: archive))
            #expect(well.status == 0, "\(context): \(well.text)\(well.errorText)")
            #expect(well.text.contains("ok     context: it can be read, and has a Dockerfile\n"), "\(well.text)")
            let unwell = try examine(site, ["--no-push", "--context", wrong], environment: environment)
            let text = unwell.text + unwell.errorText
            #expect(unwell.status != 0 && text.contains(says), "\(wrong): \(text)")
            #expect(unwell.status == 64 || text.contains("FAILED context: "), "\(wrong): \(text)")
        }
        try site.expectClean()
    }

    // MARK: Amazon ECR

    private func examine(
        _ site: BuildSite, _ moto: MotoServer, _ arguments: [String], _ more: [String: String] = [:]
    ) throws -> Program.Outcome {
        let known = [
            "AWS_ENDPOINT_URL": moto.url, "AWS_ACCESS_KEY_ID": moto.accessKeyID,
            "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey, "AWS_EC2_METADATA_DISABLED": "true",
        ]
        let outcome = try examine(
            site, ["--dest", "\(LoopbackECR.host)/team/app:1", "--context", site.context.string] + arguments,
            environment: known.merging(more) { $1 })
        for secret in [moto.secretAccessKey, MotoServer.password, "QVdTOjEyMzQ1Njc4OTAxMi1hdXRoLXRva2Vu"] {
            #expect(!(outcome.text + outcome.errorText).contains(secret))
        }
        return outcome
    }

    @Test(
        "for Amazon ECR it says as which AWS identity, and that the repository may be pushed to",
        .enabled(if: MotoServer.isInstalled, "moto is not installed: scripts/install-moto.sh"))
    func identity() throws {
        let moto = try MotoServer.shared()
        let ecr = try LoopbackECR()
        let site = try BuildSite("FROM scratch\nCOPY file /\n", files: ["file": "text\n"])
        let registry = "registry \(LoopbackECR.host): "
        let connected = ["--connect-to", ecr.connection]
        let trusting = ["SSL_CERT_FILE": ecr.certificate.string]
        let well = try examine(site, moto, connected, trusting)
        #expect(well.status == 0, "\(well.text)")
        #expect(
            well.text.contains(
                "ok     \(registry)credentials from Amazon ECR, asked with the AWS credentials from the environment "
                    + "(AWS_ACCESS_KEY_ID), in AWS as arn:aws:iam::\(MotoServer.account):user/builder (account \(MotoServer.account))\n"
            ), "\(well.text)")
        #expect(well.text.contains("ok     \(registry)team/app may be pushed to\n"))
        // Where STS is out of reach the login works all the same.
        let unreachable = ["AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"]
        let nameless = try examine(site, moto, connected, trusting.merging(unreachable) { $1 })
        #expect(nameless.status == 0 && nameless.text.contains("in AWS as whom, is not known: "), "\(nameless.text)")
        let wrong = try examine(
            site, moto, connected, trusting.merging(["AWS_SECRET_ACCESS_KEY": "wrong-s3cret"]) { $1 })
        #expect(wrong.status == 1 && wrong.text.contains("FAILED \(registry)"), "\(wrong.text)")
        #expect(wrong.text.contains("SignatureDoesNotMatch") && !wrong.text.contains("wrong-s3cret"))
        let nobody = try examine(
            site, moto, connected,
            trusting.merging(["AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""]) { $1 })
        #expect(nobody.status == 1 && nobody.text.contains("no AWS credentials were found. Tried: "))
        try site.expectClean()
    }

    @Test(
        "what ECR refuses is told with what to do; a repository that is missing is not made by asking",
        .enabled(if: MotoServer.isInstalled, "moto is not installed: scripts/install-moto.sh"))
    func refusals() throws {
        let moto = try MotoServer.shared()
        let site = try BuildSite("FROM scratch\nCOPY file /\n", files: ["file": "text\n"])
        func flags(_ registry: RefusingRegistry) -> [String] {
            ["--insecure-registry", LoopbackECR.host, "--connect-to", "\(LoopbackECR.host):80:\(registry.host)"]
        }
        let unknown =
            #"{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name 'team/app' does not exist in the registry"}]}"#
        let missing = try RefusingRegistry(404, unknown)
        let told = try examine(site, moto, flags(missing))
        #expect(
            told.status == 1 && told.text.contains("FAILED registry \(LoopbackECR.host): team/app cannot be pushed to"))
        for part in [
            "hint: create it: aws ecr create-repository --repository-name team/app --region eu-west-2",
            #"resource "aws_ecr_repository" "team_app""#, "--create-repository",
        ] {
            #expect(told.text.contains(part), "\(part) is not in \(told.text)")
        }
        let wanted = try examine(site, moto, flags(missing) + ["--create-repository"])
        #expect(
            wanted.status == 0 && wanted.text.contains("team/app does not exist; a push makes it"), "\(wanted.text)")
        #expect(try !moto.hasRepository("team/app"))

        let denied = try RefusingRegistry(
            403,
            #"{"errors":[{"code":"DENIED","message":"User: arn:aws:iam::123456789012:user/builder is not authorized to perform: ecr:InitiateLayerUpload on resource: x"}]}"#
        )
        let forbidden = try examine(site, moto, flags(denied))
        #expect(forbidden.status == 1)
        #expect(
            forbidden.text.contains("hint: allow ecr:InitiateLayerUpload on the repository 'team/app'"),
            "\(forbidden.text)")
        try site.expectClean()
    }
}
