import FoundationEssentials
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Registry

@Suite("signatures of AWS requests")
struct SigningTests {
    /// One request and the header that botocore made for it.
    struct Vector: Decodable {
        let method: String
        let path: String
        let query: String
        let body: String
        let date: String
        let region: String
        let service: String
        let key: String
        let secret: String
        let headers: [String: String]
        let authorization: String

        func authorization(
            order: (inout [(name: String, value: String)]) -> Void = { _ in }, date: String? = nil, body: String? = nil
        ) -> String {
            var headers = self.headers.map { (name: $0.key, value: $0.value) }
            order(&headers)
            let signer = RequestSigner(
                credentials: AWSCredentials(accessKeyID: key, secretAccessKey: secret, source: "a vector"),
                region: region, service: service)
            return signer.authorization(
                for: RequestSigner.Message(
                    method: method, path: path, headers: headers, body: Array((body ?? self.body).utf8)),
                date: date ?? self.date)
        }
    }

    private static func vectors() throws -> [Vector] {
        let file = Fixtures.programs.appending("sigv4-vectors.json")
        return try JSONDecoder().decode([Vector].self, from: Data(contents(of: file)))
    }

    @Test("are those that botocore makes")
    func vectors() throws {
        let vectors = try Self.vectors()
        #expect(vectors.count == 60)
        for vector in vectors { #expect(vector.authorization() == vector.authorization) }
    }

    @Test("do not depend on the order of headers, and do on body and time")
    func properties() throws {
        for vector in try Self.vectors() {
            #expect(vector.authorization { $0.sort { $0.name > $1.name } } == vector.authorization)
            #expect(vector.authorization { $0.shuffle() } == vector.authorization)
            #expect(vector.authorization(body: vector.body + " ") != vector.authorization)
            #expect(vector.authorization(date: "20010101T000000Z") != vector.authorization)
        }
    }

    // Made with botocore's SigV4Auth: a query that is not sorted, and a path with an encoded blank, which counts twice.
    @Test("cover path and query as AWS reads them")
    func pathAndQuery() {
        let signer = RequestSigner(
            credentials: AWSCredentials(
                accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", source: "x"),
            region: "us-east-1", service: "ecr")
        let message = RequestSigner.Message(
            method: "GET", path: "/a%20b/c", query: [("zed", "1"), ("alpha", "2 3")],
            headers: [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20261122T120000Z")], body: [])
        let signed = signer.authorization(for: message, date: "20261122T120000Z")
        #expect(signed.hasSuffix("Signature=a3b6b9866ed184d45cfc424f5b6b315e2d7276960fd6879beae9ce5b624267dd"))
    }

    // Made with botocore's S3SigV4Auth.
    @Test("of S3 cover the path as it is sent")
    func objects() throws {
        let object = try S3Object(parsing: "s3://my.bucket/a b/ü+?.tar.gz")
        let endpoint = try #require(HTTPURL(parsing: "https://s3.us-east-1.amazonaws.com"))
        let url = try object.url(at: endpoint, isPathStyle: true)
        let signer = RequestSigner(
            credentials: AWSCredentials(
                accessKeyID: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", source: "x"),
            region: "us-east-1", service: "s3")
        let message = RequestSigner.Message(
            method: "GET", path: String(url.path),
            headers: [
                ("Host", url.authority), ("X-Amz-Date", "20261122T120000Z"),
                ("X-Amz-Content-Sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ], body: [])
        let signed = signer.authorization(for: message, date: "20261122T120000Z")
        #expect(signed.hasSuffix("Signature=4da76c4cc152ab043b760595b820b81e931fb1a2d2b3f1a50b3556d1cf3b817b"))
    }

    @Test(
        "times as AWS writes them",
        arguments: [
            ("2026-11-22T19:20:00Z", 1_795_375_200), ("2026-11-22T19:20:00.123Z", 1_795_375_200),
            ("2026-11-22T20:20:00+01:00", 1_795_375_200), ("1970-01-01T00:00:00Z", 0), ("2026-02-29T00:00:00Z", nil),
            ("2026-11-22", nil), ("soon", nil), ("2026-13-01T00:00:00Z", nil),
        ] as [(String, Int64?)])
    func times(text: String, seconds: Int64?) {
        #expect(Timestamp(rfc3339: text)?.seconds == seconds)
    }
}
