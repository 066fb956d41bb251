import Dockerfile
import OCI
import Registry
import SystemIO

/// What a server had at an address of ADD that no checksum holds fast, when a step was done.
///
/// A document, part of a `CacheRecord`.
struct RemoteContent: Sendable, Hashable, Codable {
    /// Of the address, which may have secrets in it.
    let address: Digest
    /// The digest of a file, or the commit of a repository.
    let content: String
    /// `nil` for a repository, and for a file whose server does not tell versions apart.
    let version: FileVersion?
}

/// Finds out whether servers still have what they had when a step was done, so that it need not be done again.
final class RemoteContents: Sendable {
    private struct Question: Hashable {
        let address: Digest
        let known: [RemoteContent]
    }

    private let remotes: RemoteSources
    private let answers = SingleFlight<Question, String?>(keeps: true)

    init(_ remotes: RemoteSources) {
        self.remotes = remotes
    }

    /// Servers are asked about no more versions of one file than this.
    private static let limit = 4

    /// What the sources of an ADD hold that no checksum tells of, by their addresses, as far as servers say so without sending it.
    ///
    /// - Parameter known: what they held before. Of a source that is not among it, nobody is asked.
    func contents(of instruction: Instruction, known: [RemoteContent]) async throws -> [Digest: String] {
        guard case .add(let add) = instruction.kind, !known.isEmpty else { return [:] }
        var contents: [Digest: String] = [:]
        for source in try AddSource.all(of: add) {
            guard let address = source.changingAddress else { continue }
            var seen: Set<RemoteContent> = []
            let earlier = known.filter { $0.address == address && seen.insert($0).inserted }
            guard !earlier.isEmpty else { continue }
            let question = Question(address: address, known: Array(earlier.prefix(RemoteContents.limit)))
            contents[address] = try await answers.value(of: question) { await ask(source, question.known) }
        }
        return contents
    }

    private func ask(_ source: AddSource, _ known: [RemoteContent]) async -> String? {
        switch source {
        case .local: return nil
        case .file(let file, _):
            for earlier in known {
                guard let version = earlier.version else { continue }
                if await remotes.isUnchanged(file, since: version) { return earlier.content }
            }
            return nil
        case .git(let repository, _): return await remotes.tip(of: repository)
        }
    }
}

extension AddSource {
    /// Of a source that may be another one at any time: the digest of its address.
    var changingAddress: Digest? {
        switch self {
        case .local: nil
        case .file(let file, _): file.checksum == nil ? file.address : nil
        case .git(let source, _): source.wholeCommit == nil ? source.address : nil
        }
    }
}

extension RemoteFile {
    var address: Digest {
        var hash = FramedHash()
        hash.add(["file", url.description, url.target])
        return hash.finish()
    }
}

extension GitSource {
    var address: Digest {
        var hash = FramedHash()
        hash.add(["repository", location.url, location.ref ?? "", location.commit ?? ""])
        return hash.finish()
    }

    /// The commit in full, if the Dockerfile names it: then what is fetched cannot change.
    var wholeCommit: String? {
        [location.commit, checksum].compactMap(\.self).first { $0.utf8.count >= 40 }
    }
}
