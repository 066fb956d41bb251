// https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-tags

import FoundationEssentials
import OCI

extension RegistryClient {
    /// Tags that are asked for at once; ECR refuses more.
    private static let pageSize = 1000
    /// Pages that are asked for. Who has more tags than that is not told all of them.
    private static let pageLimit = 20
    /// Bytes of a page: a thousand tags of 128 characters, with quotes and commas.
    private static let pageBytes = 1 << 20

    /// The tags of a repository, in no particular order; none if there is no such repository.
    package func tags(of repository: String) async throws(RegistryError) -> [String] {
        var tags: [String] = []
        var query = "?n=\(RegistryClient.pageSize)"
        for _ in 0..<RegistryClient.pageLimit {
            let exchange = Exchange(
                method: .get, target: .path("tags/list\(query)"), sink: .bytes(limit: RegistryClient.pageBytes),
                repository: repository, scopes: [Scope.pull(repository)])
            let response = try await conversation.sendPatiently(exchange, expecting: [200, 404])
            guard response.status == 200 else { return tags }
            guard let page = try? JSONDecoder().decode(TagPage.self, from: Data(response.body)) else {
                throw RegistryError(
                    .answer, request: "GET \(response.url)", message: "the registry's list of tags cannot be read")
            }
            tags += page.tags ?? []
            guard let next = response.head["Link"].flatMap(RegistryClient.nextQuery), next != query else { break }
            query = next
        }
        return tags
    }

    private struct TagPage: Decodable {
        /// `null` in a repository without tags.
        let tags: [String]?
    }

    /// The query of `</v2/NAME/tags/list?n=1000&last=TAG>; rel="next"`. The rest of the address is the registry's own.
    static func nextQuery(_ link: String) -> String? {
        guard link.contains("rel=\"next\"") || link.contains("rel=next"), let open = link.firstIndex(of: "<"),
            let close = link[open...].firstIndex(of: ">"), let mark = link[open..<close].firstIndex(of: "?")
        else { return nil }
        return String(link[mark..<close])
    }
}
