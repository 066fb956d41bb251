import Glibc
import SystemPackage
import TestSupport
import Testing

@Suite(
    "a build for Amazon ECR",
    .enabled(if: MotoServer.isInstalled, "moto is not installed: scripts/install-moto.sh"))
struct ECRTests {
    private static let dockerfile = "FROM scratch\nCOPY file /file\n"

    private func site() throws -> BuildSite { try BuildSite(Self.dockerfile, files: ["file": "content\n"]) }

    private func arguments(_ ecr: LoopbackECR, _ more: [String] = []) -> [String] {
        ["--dest", "\(LoopbackECR.host)/team/app:1", "--connect-to", ecr.connection, "--verbosity", "debug"] + more
    }

    private func environment(_ moto: MotoServer, _ ecr: LoopbackECR, _ more: [String: String] = [:]) -> [String: String]
    {
        [
            "AWS_ENDPOINT_URL": moto.url, "AWS_ACCESS_KEY_ID": moto.accessKeyID,
            "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey, "SSL_CERT_FILE": ecr.certificate.string,
            "AWS_EC2_METADATA_DISABLED": "true",
        ].merging(more) { $1 }
    }

    /// Nothing of what is secret may be said: the key, the login in both its forms, and what tests made up.
    private func expectNoSecrets(_ text: String, _ moto: MotoServer) {
        // base64 of AWS:123456789012-auth-token
        let secrets = [
            moto.secretAccessKey, MotoServer.password, "QVdTOjEyMzQ1Njc4OTAxMi1hdXRoLXRva2Vu", "hunter2", "_state=",
        ]
        for secret in secrets { #expect(!text.contains(secret), "a secret is in: \(text)") }
    }

    @Test("needs AWS credentials and nothing else, also where the configuration names ecr-login")
    func push() throws {
        let moto = try MotoServer.shared()
        let ecr = try LoopbackECR()
        for config in [nil, #"{"credsStore":"ecr-login"}"#, #"{"credHelpers":{"\#(LoopbackECR.host)":"ecr-login"}}"#] {
            let site = try site()
            if let config { try site.folder.write(config, to: "home/.docker/config.json") }
            let build = try site.build(arguments(ecr), environment: environment(moto, ecr))
            #expect(build.status == 0, "\(build.log)")
            #expect(build.log.contains("the AWS credentials from the environment (AWS_ACCESS_KEY_ID)"))
            expectNoSecrets(build.log + build.output, moto)
        }
        #expect(try ecr.status(of: "1", in: "team/app") == "200")
    }

    @Test("that is refused names the source of the credentials, and no secret of them")
    func refused() throws {
        let moto = try MotoServer.shared()
        let ecr = try LoopbackECR()
        let site = try site()
        let cases: [(environment: [String: String], says: [String])] = [
            (["AWS_SECRET_ACCESS_KEY": "wrong-hunter2"], ["SignatureDoesNotMatch", "AWS_ACCESS_KEY_ID"]),
            (["AWS_SECRET_ACCESS_KEY": ""], ["AWS_SECRET_ACCESS_KEY is not set"]),
            (["AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""], ["no AWS credentials were found. Tried:"]),
            (
                [
                    "DOCKER_AUTH_CONFIG":
                        #"{"auths":{"\#(LoopbackECR.host)":{"username":"AWS","password":"hunter2"}}}"#,
                    "AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": "",
                ], ["DOCKER_AUTH_CONFIG", "12 hours"]
            ),
        ]
        for (change, says) in cases {
            let build = try site.build(arguments(ecr), environment: environment(moto, ecr, change))
            #expect(build.status == 1)
            for part in says { #expect(build.log.contains(part), "\(part) is not in \(build.log)") }
            expectNoSecrets(build.log + build.output, moto)
        }
        #expect(try ecr.status(of: "1", in: "team/app") == "404")
    }

    @Test(
        "that crashes leaves no secret behind, and its commands see none",
        .enabled(if: !RunIsolation.possible.isEmpty, RunIsolation.none))
    func crash() throws {
        let moto = try MotoServer.shared()
        let ecr = try LoopbackECR()
        let site = try BuildSite("FROM busybox\nRUN env; sleep 600\n")
        try site.folder.write(
            #"{"auths":{"h":{"username":"u","password":"hunter2"}}}"#, to: "home/.docker/config.json")
        let isolation = try #require(RunIsolation.possible.first)
        let run = try site.start(arguments(ecr, [isolation.flag]), environment: environment(moto, ecr))
        // The base's layers go to the registry while the command runs.
        let isAtWork = try eventually {
            let said = try run.errorText()
            return said.contains("registry \(LoopbackECR.host): credentials from Amazon ECR") && said.contains("PATH=")
        }
        let before = try run.errorText()
        #expect(isAtWork, "\(before)")
        // As a failed assertion does it: what the runtime then prints, with threads and registers, is searched too.
        // The first one is reported by the runtime's own handler, which expects the next to end the process.
        #expect(
            eventually {
                run.signal(SIGABRT)
                return !run.isRunning()
            })
        let outcome = try run.wait()
        // The runtime's handler is a program of its own, which waits for more.
        kill(-run.pid, SIGKILL)
        #expect(outcome.status == 128 + SIGABRT)
        expectNoSecrets(outcome.errorText + outcome.text, moto)
    }
}
