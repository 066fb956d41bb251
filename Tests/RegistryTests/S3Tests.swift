import Glibc
import OCI
import SystemIO
import SystemPackage
import Testing

@testable import Registry

@Suite("objects of S3")
final class S3Tests: Sendable {
    private let rig: CredentialRig
    private let file: OwnedDescriptor

    init() throws {
        rig = try CredentialRig()
        file = try OwnedDescriptor.open(rig.scratch.path.appending("object"), O_RDWR | O_CREAT)
    }

    private static let keys = ["AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "env-hunter2"]

    /// Fetches from `server`, which is in the place of `endpoint`, or the endpoint itself.
    private func fetch(
        _ server: LoopbackServer, _ object: String = "s3://bucket/dir/key", _ environment: [String: String] = [:],
        hosts: [String] = []
    ) async throws -> FileClient.File {
        let endpoint = hosts.isEmpty ? ["AWS_ENDPOINT_URL_S3": "http://\(server.authority)"] : [:]
        let provider = try rig.credentials(Self.keys.merging(endpoint) { $1 }.merging(environment) { $1 }) { settings in
            settings.connections = hosts.map { "\($0):80:\(server.authority)" }
        }
        return try await provider.objects.fetch(S3Object(parsing: object), to: file.raw)
    }

    private func expect(_ fetched: FileClient.File, is bytes: [UInt8]) throws {
        #expect(fetched.size == bytes.count && fetched.digest == descriptor(bytes).digest)
        #expect(try rig.scratch.read("object") == bytes)
    }

    private static func refusal(_ status: Int, _ code: String, _ more: String = "") -> LoopbackServer.Reply {
        .text(status, "<Error><Code>\(code)</Code><Message>no, env-hunter2</Message>\(more)</Error>")
    }

    @Test("are named as s3://BUCKET/KEY")
    func names() throws {
        let object = try S3Object(parsing: "s3://my.bucket/a b/ü+?.tar.gz")
        #expect(object.bucket == "my.bucket" && object.key == "a b/ü+?.tar.gz" && !object.fitsIntoHost)
        for wrong in [
            "s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://b/key", "s3://a@b/key", "s3://bucket/d/",
        ] {
            #expect(throws: RegistryError.self) { try S3Object(parsing: wrong) }
        }
        let endpoint = try #require(HTTPURL(parsing: "https://s3.eu-west-2.amazonaws.com"))
        #expect(
            try object.url(at: endpoint, isPathStyle: true).text
                == "https://s3.eu-west-2.amazonaws.com/my.bucket/a%20b/%C3%BC%2B%3F.tar.gz")
        let below = try #require(HTTPURL(parsing: "http://localhost:9000/storage/"))
        let plain = try S3Object(parsing: "s3://bucket//k")
        #expect(try plain.url(at: below, isPathStyle: true).text == "http://localhost:9000/storage/bucket//k")
        #expect(try plain.url(at: endpoint, isPathStyle: false).text == "https://bucket.s3.eu-west-2.amazonaws.com//k")
    }

    @Test(
        "are asked for where AWS has them, or the environment says",
        arguments: [
            ([:], "https://s3.eu-west-2.amazonaws.com/"),
            (["AWS_USE_FIPS_ENDPOINT": "true"], "https://s3-fips.eu-west-2.amazonaws.com/"),
            (["AWS_USE_DUALSTACK_ENDPOINT": "true"], "https://s3.dualstack.eu-west-2.amazonaws.com/"),
            (["AWS_ENDPOINT_URL": "http://h:1"], "http://h:1/"),
            (["AWS_ENDPOINT_URL": "http://h:1", "AWS_ENDPOINT_URL_S3": "http://h:2"], "http://h:2/"),
            (["S3_ENDPOINT": "http://h:3", "AWS_ENDPOINT_URL_S3": "http://h:2"], "http://h:3/"),
        ])
    func endpoints(_ environment: [String: String], _ address: String) throws {
        let variables = AWSVariables(environment)
        let configuration = AWSConfiguration(
            variables: variables, files: try AWSProfileFiles(variables, home: rig.scratch.path.string))
        #expect(try configuration.endpoint(of: .s3, region: "eu-west-2").url.text == address)
        #expect(configuration.hasOwnEndpoint(.s3) == address.hasPrefix("http:"))
    }

    @Test("the bucket stands in the path at a server of one's own, and in the host where the user says so")
    func styles() async throws {
        let server = try LoopbackServer { request, _ in
            .text(200, "\(request.headers["host"] ?? "") \(request.target)")
        }
        try expect(await fetch(server), is: Array("\(server.authority) /bucket/dir/key".utf8))
        let host = "s3.example.com"
        let environment = ["S3_ENDPOINT": "http://\(host)", "S3_FORCE_PATH_STYLE": "false"]
        try expect(
            await fetch(server, "s3://bucket/dir/key", environment, hosts: ["bucket.\(host)"]),
            is: Array("bucket.\(host) /dir/key".utf8))
        // The profile says so, too; the variable counts more.
        try rig.awsConfig("[default]\ns3 =\n    addressing_style = virtual\n")
        let own = ["AWS_ENDPOINT_URL_S3": "http://\(host)"]
        try expect(
            await fetch(server, "s3://bucket/dir/key", own, hosts: ["bucket.\(host)"]),
            is: Array("bucket.\(host) /dir/key".utf8))
        try expect(
            await fetch(
                server, "s3://bucket/dir/key", own.merging(["S3_FORCE_PATH_STYLE": "true"]) { $1 }, hosts: [host]),
            is: Array("\(host) /bucket/dir/key".utf8))
        try rig.awsConfig("[default]\ns3 =\n    addressing_style = path\n")
        let region = "s3.eu-west-2.amazonaws.com"
        try expect(
            await fetch(server, "s3://bucket/dir/key", ["S3_ENDPOINT": "http://\(region)"], hosts: [region]),
            is: Array("\(region) /bucket/dir/key".utf8))
        let request = try #require(server.requests.last)
        #expect(request.headers["x-amz-content-sha256"]?.hasPrefix("e3b0c44298fc1c14") == true)
        #expect(
            request.headers["authorization"]?.contains(
                "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=") == true)
    }

    @Test(
        "a bucket of another region is asked for there, wherever the answer names it",
        arguments: [
            LoopbackServer.Reply.answer(301, ["x-amz-bucket-region": "eu-central-1"]),
            S3Tests.refusal(400, "AuthorizationHeaderMalformed", "<Region>eu-central-1</Region>"),
            .answer(403, ["x-amz-bucket-region": "eu-central-1"]),
        ])
    func regions(_ reply: LoopbackServer.Reply) async throws {
        let server = try LoopbackServer { request, _ in
            request.headers["authorization"]?.contains("/eu-central-1/s3/") == true ? .text(200, "there") : reply
        }
        try expect(await fetch(server), is: Array("there".utf8))
        #expect(server.requests.count == 2)
        #expect(server.requests[0].headers["authorization"]?.contains("/us-east-1/s3/") == true)
    }

    @Test("a region that is wrong again is an error, not a walk")
    func lostRegion() async throws {
        let server = try LoopbackServer { _, before in
            .answer(301, ["x-amz-bucket-region": before.isMultiple(of: 2) ? "eu-central-1" : "us-east-1"])
        }
        let error = try await failure { _ = try await fetch(server) }
        #expect(server.requests.count == 2 && error.status == 301)
    }

    @Test("a transfer that breaks goes on where it broke, as long as the object is the same")
    func resume() async throws {
        let bytes = bigNoise
        let server = try LoopbackServer { request, _ in
            guard let range = request.headers["range"] else {
                let head = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: \(bytes.count)\r\n\r\n"
                return .raw(Array(head.utf8) + bytes[..<1_200_000])
            }
            guard request.headers["if-match"] == "\"v1\"", range == "bytes=1200000-" else { return .answer(400) }
            return .answer(
                206,
                ["ETag": "\"v1\"", "Content-Range": "bytes 1200000-\(bytes.count - 1)/\(bytes.count)"],
                body: Array(bytes[1_200_000...]))
        }
        try expect(await fetch(server), is: bytes)
        #expect(server.requests.count == 2)
    }

    @Test("an object that became another one meanwhile is fetched whole")
    func changed() async throws {
        let new = noise(400_000, seed: 9)
        let server = try LoopbackServer { request, before in
            if request.headers["if-match"] != nil { return Self.refusal(412, "PreconditionFailed") }
            guard before == 0 else { return .answer(200, ["ETag": "\"v2\""], body: new) }
            return .raw(
                Array("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: \(bigNoise.count)\r\n\r\n".utf8)
                    + bigNoise[..<1_000_000])
        }
        try expect(await fetch(server), is: new)
    }

    @Test("each refusal says what to do, and no secret")
    func advice() async throws {
        let cases: [(reply: LoopbackServer.Reply, says: [String])] = [
            (Self.refusal(404, "NoSuchKey"), ["404 Not Found", "NoSuchKey", "aws s3 ls s3://bucket/"]),
            (Self.refusal(404, "NoSuchBucket"), ["NoSuchBucket", "check the bucket's name"]),
            (
                Self.refusal(403, "AccessDenied"),
                [
                    "the environment (AWS_ACCESS_KEY_ID)", "allow s3:GetObject on arn:aws:s3:::bucket/dir/key",
                    "ListBucket",
                ]
            ), (Self.refusal(403, "InvalidObjectState"), ["Glacier"]),
            (Self.refusal(403, "SignatureDoesNotMatch"), ["secret key is not the one of this key ID"]),
            (Self.refusal(403, "InvalidAccessKeyId"), ["does not know this key"]),
            (Self.refusal(400, "KMS.DisabledException"), ["kms:Decrypt"]),
            (.answer(307, ["Location": "http://169.254.169.254/"]), ["307", "AWS_ENDPOINT_URL_S3"]),
        ]
        for (reply, says) in cases {
            let server = try LoopbackServer { _, _ in reply }
            let error = try await failure { _ = try await fetch(server) }
            // The server repeats the secret; what it said with it is not shown.
            let text = "\(error) \(error.hint ?? "")"
            for part in says { #expect(text.contains(part), "\(part) is not in \(text)") }
            #expect(!text.contains("env-hunter2") && !text.contains("Signature="))
        }
        expectNoSecrets(rig.notes)
    }

    @Test("slow-downs are waited for, and a temporary key goes along with its token")
    func patience() async throws {
        let server = try LoopbackServer { request, before in
            guard request.headers["x-amz-security-token"] == "session" else { return Self.refusal(403, "AccessDenied") }
            return before < 2 ? Self.refusal(503, "SlowDown") : .text(200, "well")
        }
        try expect(
            await fetch(server, "s3://bucket/k", ["AWS_SESSION_TOKEN": "session"]), is: Array("well".utf8))
        #expect(rig.notes.delays.count == 2)
    }

    @Test("without AWS credentials nobody is asked")
    func nobody() async throws {
        let server = try LoopbackServer { _, _ in .text(200, "x") }
        let none = ["AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""]
        let error = try await failure { _ = try await fetch(server, "s3://bucket/k", none) }
        #expect(error.kind == .noCredentials && server.requests.isEmpty)
    }
}
