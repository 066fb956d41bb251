import Dockerfile
import Layers
import OCI
import SystemIO

extension StageBuilder {
    /// COPY: from the context, a stage, an image or a named context.
    mutating func perform(_ copy: CopyInstruction, _ instruction: Instruction) async throws {
        let source = try await self.source(of: copy)
        var operation = try await operation(to: copy.destination, copy.options, keepsParents: copy.parents)
        operation = try await copyPaths(copy.sources, from: source, with: operation, keepsParents: copy.parents)
        let fingerprint = FilesDigest.fingerprint(of: operation.plan)
        // Docker copies what is written out in the Dockerfile after everything else.
        try copyHeredocs(copy.sources, with: &operation)
        let isSteady = try await commit(
            operation.plan, from: source.layers, createdBy: historyText(of: instruction))
        copied = CopiedFiles(fingerprint: fingerprint, isSteady: isSteady)
    }

    /// The operation with all sources planned that are paths.
    func copyPaths(
        _ sources: [FileSource], from source: CopyOperation.Source, with operation: CopyOperation,
        keepsParents: Bool = false
    ) async throws -> CopyOperation {
        try await tools.pool.run { () throws(any Error) in
            var operation = operation
            for case .path(let word) in sources {
                do {
                    if keepsParents {
                        try operation.copyWithParents(word, from: source)
                    } else {
                        try operation.copy(word, from: source)
                    }
                } catch {
                    throw BuildError(error, doing: "'\(word.text)' cannot be copied").at(word.range)
                }
            }
            return operation
        }
    }

    mutating func copyHeredocs(_ sources: [FileSource], with operation: inout CopyOperation) throws {
        for case .heredoc(let heredoc) in sources {
            do { try operation.copy(heredoc: heredoc, time: surroundings.time.created) } catch {
                throw BuildError(error, doing: "'<<\(heredoc.name)' cannot be copied").at(heredoc.range)
            }
        }
    }

    /// A copy to a destination with the options of COPY and ADD.
    func operation(
        to destination: Word, _ options: FileOptions, keepsParents: Bool = false
    ) async throws -> CopyOperation {
        let target = CopyOperation.Destination(
            destination.text, workingDirectory: draft.workingDirectory, isDirectory: keepsParents)
        var owner: (uid: UInt32, gid: UInt32)?
        if let chown = options.chown, !chown.text.isEmpty {
            guard !options.link || StageBuilder.numericOwner(chown.text) != nil else {
                throw BuildError(
                    "--link lays files into an empty tree, which has no user named '\(chown.text)'", at: chown.range,
                    hint: "give --chown numbers, or leave --link out")
            }
            do { owner = try await ownership(of: chown.text) } catch {
                throw BuildError(error, doing: "--chown=\(chown.text)").at(chown.range)
            }
        }
        return CopyOperation(
            on: try await files.names(of: draft.layers), destination: target,
            options: .init(
                owner: owner, mode: try options.mode(), excluded: try IgnorePatterns(excluding: options.excludes),
                followsSymlinks: !options.link),
            time: surroundings.time.created)
    }

    /// The tree that COPY reads.
    func source(of copy: CopyInstruction) async throws -> CopyOperation.Source {
        guard let from = copy.from else { return surroundings.context.source }
        func stage(_ files: any StageFiles, _ layers: [StoredLayer], _ name: String) async throws
            -> CopyOperation.Source
        {
            CopyOperation.Source(
                tree: try await files.names(of: layers), ignored: IgnorePatterns.none, keepsOwners: true, name: name,
                layers: layers)
        }
        switch try plan.reference(from) {
        case .stage(let index):
            let finished = try await surroundings.stage(index)
            return try await stage(finished.files, finished.layers, "stage '\(from.text)'")
        case .image(let name):
            switch surroundings.external[name] {
            case .image(let image, let files)?: return try await stage(files, image.layers, "the image \(name)")
            case .folder(let folder)?: return CopyOperation.Source(folder: folder, name: name)
            case nil: throw BuildError("[internal error] '\(name)' was not resolved", at: from.range)
            }
        case .scratch:
            throw BuildError("there is nothing to copy from scratch", at: from.range)
        }
    }

    func historyText(
        _ instruction: Instruction, _ options: FileOptions, from: Word? = nil, keepsParents: Bool = false,
        _ sources: [FileSource], _ destination: Word
    ) -> String {
        var words = [instruction.name]
        if let from { words.append("--from=\(from.text)") }
        if let chown = options.chown, !chown.text.isEmpty { words.append("--chown=\(chown.text)") }
        if let chmod = options.chmod, !chmod.text.isEmpty { words.append("--chmod=\(chmod.text)") }
        if options.link { words.append("--link") }
        if keepsParents { words.append("--parents") }
        words += options.excludes.map { "--exclude=\($0.text)" }
        words += sources.map { source in
            switch source {
            case .path(let word): word.text
            case .heredoc(let heredoc): "<<\(heredoc.name)"
            }
        }
        return (words + [destination.text]).joined(separator: " ")
    }
}
