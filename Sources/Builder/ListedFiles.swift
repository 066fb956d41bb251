import Layers
import Sandbox
import SystemIO

/// A stage's files where nothing can be unpacked with its owners, and nothing run: all is told by what layers list, and
/// bytes are read from the layers themselves. No right is needed, and no tree is made.
final class ListedFiles: StageFiles {
    private let tools: BuildTools

    init(_ tools: BuildTools) {
        self.tools = tools
    }

    func names(of layers: [StoredLayer]) async throws -> UnionTree {
        try await tools.indices.view(of: layers)
    }

    // RUN is refused before any step: nobody asks for the rest.

    func contents(of layers: [StoredLayer]) async throws -> UnionTree {
        throw ListedFiles.refusal
    }

    func trees(of layers: [StoredLayer]) async throws -> [Directory] {
        throw ListedFiles.refusal
    }

    let movesCaches = false

    func run(_ command: Command, mounts: [PreparedMount], on layers: [StoredLayer]) async throws -> RunResult {
        throw ListedFiles.refusal
    }

    private static let refusal = BuildError("[internal error] a RUN was begun with the isolation 'none'")
}
