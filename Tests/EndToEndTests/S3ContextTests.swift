import SystemPackage
import TestSupport
import Testing

/// Contexts from a bucket, which moto plays with its signatures checked.
@Suite(
    "Contexts from S3",
    .enabled(if: MotoServer.isInstalled && isRoot, "moto is not installed (scripts/install-moto.sh), or no root"))
struct S3ContextTests {
    // With "+" or letters beyond ASCII moto refuses the signatures of AWS's own library, too.
    private static let key = "builds/a b/context.tar.gz"

    private func makeSite() throws -> BuildSite {
        let site = try BuildSite(BuildSite.copyAll, files: ["file": "text", "app/Dockerfile": BuildSite.copyAll])
        try Program.require(["tar", "-czf", "context.tar.gz", "-C", "context", "."], in: site.folder.path)
        return site
    }

    private func environment(_ moto: MotoServer, _ more: [String: String] = [:]) -> [String: String] {
        [
            "AWS_ACCESS_KEY_ID": moto.accessKeyID, "AWS_SECRET_ACCESS_KEY": moto.secretAccessKey,
            "AWS_EC2_METADATA_DISABLED": "true",
        ].merging(more) { $1 }
    }

    @Test("an archive is fetched with the AWS credentials of the environment, and nothing is left of them")
    func fetch() throws {
        let moto = try MotoServer.shared()
        let site = try makeSite()
        try moto.put(site.folder.appending("context.tar.gz"), as: Self.key)
        let context = "s3://\(MotoServer.bucket)/\(Self.key)"
        let host = "s3.eu-west-2.amazonaws.com"
        let hosted = ["S3_ENDPOINT": "http://\(host)", "S3_FORCE_PATH_STYLE": "false", "AWS_REGION": "eu-west-2"]
        let port = moto.url.dropFirst("http://".count)
        for (variables, flags) in [
            (["AWS_ENDPOINT_URL": moto.url], []), (["AWS_ENDPOINT_URL_S3": moto.url + "/"], []),
            (["S3_ENDPOINT": moto.url, "S3_FORCE_PATH_STYLE": "true"], []),
            (hosted, ["--connect-to", "\(MotoServer.bucket).\(host):80:\(port)"]),
        ] as [([String: String], [String])] {
            let found = try site.copied(context, flags, environment: environment(moto, variables))
            #expect(found.files["/file"] == "text" && found.files["/app/Dockerfile"] != nil)
            try site.expectNowhere(moto.secretAccessKey, found.build)
        }
        let sub = try site.copied(
            context, ["--context-sub-path", "app"], environment: environment(moto, ["AWS_ENDPOINT_URL": moto.url]))
        #expect(sub.files == ["/Dockerfile": BuildSite.copyAll])
        try site.expectClean()
    }

    @Test("what is refused is told with its reason and what to do")
    func refused() throws {
        let moto = try MotoServer.shared()
        let site = try makeSite()
        try moto.put(site.folder.appending("context.tar.gz"), as: Self.key)
        let there = "s3://\(MotoServer.bucket)/\(Self.key)"
        for (context, change, parts) in [
            ("s3://\(MotoServer.bucket)/other.tar", [:], ["NoSuchKey", "hint: the bucket has no such object"]),
            ("s3://no-such-bucket/x.tar", [:], ["NoSuchBucket", "hint: check the bucket's name"]),
            (
                there, ["AWS_SECRET_ACCESS_KEY": "wrong-s3cret"],
                ["SignatureDoesNotMatch", "the environment (AWS_ACCESS_KEY_ID)", "hint: the secret key is not"]
            ),
            (there, ["AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"], ["InvalidAccessKeyId", "hint: AWS does not know this key"]),
            (
                there, ["AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""],
                ["the context \(there) cannot be fetched: no AWS credentials were found. Tried: "]
            ),
        ] as [(String, [String: String], [String])] {
            let build = try site.build(
                context, [], environment: environment(moto, ["AWS_ENDPOINT_URL": moto.url].merging(change) { $1 }))
            #expect(build.status == 1)
            for part in parts { #expect(build.log.contains(part), "\(part) is not in \(build.log)") }
            #expect(!build.log.contains("wrong-s3cret") && !build.log.contains(moto.secretAccessKey))
        }
        for wrong in ["s3://", "s3://bucket", "s3://bucket/folder/"] {
            let build = try site.build(wrong, [])
            #expect(build.status == 64 && build.log.contains("hint: write it as s3://BUCKET/KEY"), "\(build.log)")
        }
        try site.expectClean()
    }
}
