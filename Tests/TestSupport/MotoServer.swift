import Glibc
package import SystemPackage

/// AWS on this machine, as moto plays it, with its signatures checked. Ends with this object.
package final class MotoServer: Sendable {
    /// `http://127.0.0.1:PORT`.
    package let url: String
    /// A key that may do everything with ECR, S3 and STS.
    package let accessKeyID: String
    package let secretAccessKey: String
    /// A role that anybody may assume.
    package let role: String

    private let folder: TemporaryDirectory
    private let server: Server

    /// The account of the registry, and what moto hands out as its password.
    package static let account = "123456789012"
    package static let password = "123456789012-auth-token"

    /// A bucket that is empty at first.
    package static let bucket = "sources"

    private static let python = Fixtures.repository.appending(".build").appending("moto").appending("bin").appending(
        "python")

    /// One AWS for all tests of this process that leave it as it was, or make what nobody else asks for: it takes seconds to start.
    package static func shared() throws -> MotoServer { try common.get() }
    private static let common = Result { try MotoServer() }

    /// Whether moto is installed: `make test` does that.
    package static let isInstalled = access(python.string, X_OK) == 0

    /// - Parameter free: how many calls are taken unsigned at first.
    package init(free: Int = 0) throws {
        folder = try TemporaryDirectory()
        server = try Server(
            [Self.python.string, Fixtures.programs.appending("moto-aws.py").string, String(free)],
            environment: Program.environment(adding: ["HOME": folder.path.string, "AWS_EC2_METADATA_DISABLED": "true"]),
            log: folder.appending("log"))
        let answer = try server.wait(for: "the address of moto", timeout: .seconds(120)) { log in
            log.split(separator: "\n").first { $0.hasPrefix("{") }.flatMap { try? JSONValue(parsing: Array($0.utf8)) }
        }
        url = answer["url"].string ?? ""
        accessKeyID = answer["id"].string ?? ""
        secretAccessKey = answer["secret"].string ?? ""
        role = answer["role"].string ?? ""
        Secrecy.add(secretAccessKey)
        Secrecy.add(Self.password)
    }

    /// Whether the registry of the account has a repository of this name: moto's own word.
    package func hasRepository(_ name: String) throws -> Bool {
        let state = try Program.require(["curl", "--silent", "--noproxy", "*", "\(url)/moto-api/data.json"])
        let repositories = try JSONValue(parsing: state.output)["ecr"]["Repository"].array ?? []
        return repositories.contains { $0["name"].string == name }
    }

    /// Puts a file into the bucket, by AWS's own library.
    package func put(_ file: FilePath, as key: String) throws {
        let script = """
            import boto3, sys
            from botocore.config import Config
            url, file, bucket, key = sys.argv[1:]
            boto3.client("s3", endpoint_url=url, region_name="us-east-1",
                config=Config(proxies={})).upload_file(file, bucket, key)
            """
        let keys = ["AWS_ACCESS_KEY_ID": accessKeyID, "AWS_SECRET_ACCESS_KEY": secretAccessKey]
        try Program.require(
            [Self.python.string, "-c", script, url, file.string, Self.bucket, key],
            environment: Program.environment(adding: keys))
    }

    package func stop() { server.stop() }
}
