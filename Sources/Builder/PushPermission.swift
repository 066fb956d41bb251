import OCI
import Registry

/// The question, before any work, whether the image may be pushed where it shall go.
struct PushPermission: Sendable {
    let destinations: [ImageReference]
    let registries: Registries

    /// Asks for each repository once, all at the same time.
    ///
    /// - Parameter consequence: what a refusal means, as "nothing was built".
    /// - Throws: `BuildError` that names a destination, why its registry refuses, and what to do.
    func check(otherwise consequence: String) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var asked: Set<String> = []
            for destination in destinations
            where asked.insert("\(destination.registry)/\(destination.repository)").inserted {
                group.addTask {
                    do {
                        try await registries.client(for: destination.registry, to: .push).checkPush(
                            to: destination.repository)
                    } catch {
                        throw BuildError(
                            error, doing: "the image cannot be pushed to \(destination), and \(consequence)")
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
