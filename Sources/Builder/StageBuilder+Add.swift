import Dockerfile
import Layers

extension StageBuilder {
    /// ADD: as COPY from the context, but archives are unpacked, and what is named by address is fetched.
    mutating func perform(_ add: AddInstruction, _ instruction: Instruction) async throws {
        let sources = try AddSource.all(of: add)
        var operation = try await operation(to: add.destination, add.options)
        let spool = add.unpack != false ? try ArchiveSpool(in: tools.scratch) : nil
        // What was fetched is read when the layer is written.
        var fetched: [FetchedFolder] = []
        var contents: [RemoteContent] = []
        func keep(_ added: (folder: FetchedFolder, content: RemoteContent), _ source: AddSource) {
            fetched.append(added.folder)
            if source.changingAddress != nil { contents.append(added.content) }
        }
        for source in sources {
            switch source {
            case .local(let word):
                operation.spool = spool
                operation = try await copyPaths([.path(word)], from: surroundings.context.source, with: operation)
            case .file(let remote, let word):
                // A file that was fetched is unpacked only if the Dockerfile says so.
                operation.spool = add.unpack == true ? spool : nil
                keep(try await addFile(remote, at: word, to: add.destination, with: &operation), source)
            case .git(let repository, let word):
                operation.spool = nil
                keep(try await addRepository(repository, at: word, with: &operation), source)
            }
        }
        try copyHeredocs(add.sources, with: &operation)
        try await commit(operation.plan, createdBy: historyText(of: instruction))
        withExtendedLifetime(fetched) {}
        added = contents
    }
}
