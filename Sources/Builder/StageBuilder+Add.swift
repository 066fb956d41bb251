import Dockerfile
import Layers

extension StageBuilder {
    /// ADD: as COPY from the context, but archives are unpacked.
    mutating func perform(_ add: AddInstruction, _ instruction: Instruction) async throws {
        var operation = try await operation(add.sources, to: add.destination, add.options)
        if add.unpack != false { operation.spool = try ArchiveSpool(in: tools.scratch) }
        operation = try await copyPaths(add.sources, from: surroundings.context.source, with: operation)
        try copyHeredocs(add.sources, with: &operation)
        try await commit(
            operation.plan, createdBy: historyText(instruction, add.options, add.sources, add.destination))
    }
}
