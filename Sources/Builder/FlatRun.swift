import Layers
import OCI
import Sandbox
import SystemIO

/// One RUN in a flat tree.
struct FlatRun {
    let root: Directory
    /// What is laid into the tree, lowest first.
    let layers: [Layer]
    let tools: BuildTools
    /// The tree as the last RUN left it; `nil` where none is known.
    var snapshot: TreeSnapshot?
    var origins = FileOrigins()

    /// Runs a command, and makes a layer of what it changed. Afterwards snapshot and origins are those of the tree then.
    mutating func run(_ command: Command, _ mounts: [PreparedMount]) throws -> RunResult {
        let excluded = Sandbox.lentFiles.union(try FlatMounts.targets(mounts, in: root))
        var snapshot =
            if let known = self.snapshot.take(), known.excluded == excluded { known } else {
                try TreeSnapshot.capture(root, excluding: excluded, cancellation: tools.cancellation)
            }
        snapshot.waitForTheClock()
        let guests = try FlatMounts(
            placing: mounts, in: root, scratch: tools.scratch, cancellation: tools.cancellation)
        // Both ways out take the guests away again: a cache is worth keeping after a failure, too.
        let outcome: RunOutcome
        do { outcome = try tools.run(command, in: .flat(root.path)) } catch {
            try guests.leave()
            throw error
        }
        try guests.leave()
        guard outcome.status.isSuccess else {
            return RunResult(status: outcome.status, layer: nil, setIDProgram: outcome.supervision?.setIDProgram)
        }
        var changes = try snapshot.changes(in: root, cancellation: tools.cancellation)
        if changes.hasDoubts {
            try origins.settleDoubts(of: &changes, in: root, layers: layers, cancellation: tools.cancellation) {
                layer throws(SystemError) in try tools.store.open(layer.descriptor)
            }
        }
        let layer =
            changes.isEmpty ? nil : try tools.maker.make { writer in try writer.add(changes, from: root) }
        try changes.settle(in: root, latest: tools.maker.latest)
        try snapshot.acceptSettled(changes, in: root)
        if layer != nil { origins.add(changes, layer: layers.count) }
        self.snapshot = snapshot
        return RunResult(status: outcome.status, layer: layer.map { StoredLayer(layer: $0, origin: .store) })
    }
}
