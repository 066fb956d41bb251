import Dockerfile
import Layers
import Registry
import SystemIO

extension StageBuilder {
    /// Fetches a file and plans it, under the rules for a file of the context with mode 0600.
    ///
    /// - Returns: where it is until the layer is written, and what it was.
    func addFile(
        _ remote: RemoteFile, at word: Word, to destination: Word, with operation: inout CopyOperation
    ) async throws -> (folder: FetchedFolder, content: RemoteContent) {
        let needsName = try isFolder(destination, in: operation.plan)
        let unnamed = BuildError(
            "the address '\(remote.url)' ends in no name that a file may have", at: word.range,
            hint: "say in the destination what the file is called: '\(destination.text.dropSlashes)/NAME'")
        guard !needsName || remote.name != nil || operation.spool != nil else { throw unnamed }
        let name = remote.name ?? "file"
        let (fetched, content): (FetchedFolder, RemoteContent)
        do { (fetched, content) = try await tools.remotes.fetch(remote, as: name) } catch {
            throw BuildError(fetching: remote, error).at(word.range)
        }
        if needsName, remote.name == nil {
            guard try await tools.pool.run({ () throws(any Error) in try fetched.isArchive(name) }) else {
                throw unnamed
            }
        }
        operation = try await planned(name.escapedForWildcards, of: fetched, at: word, with: operation)
        return (fetched, content)
    }

    /// Checks a repository out and plans what is in it.
    ///
    /// - Returns: where it is until the layer is written, and what it was.
    func addRepository(
        _ repository: GitSource, at word: Word, with operation: inout CopyOperation
    ) async throws -> (folder: FetchedFolder, content: RemoteContent) {
        let (fetched, content): (FetchedFolder, RemoteContent)
        do { (fetched, content) = try await tools.remotes.checkOut(repository) } catch {
            throw BuildError(error, doing: "'\(repository.location.url)' cannot be added").at(word.range)
        }
        operation = try await planned(".", of: fetched, at: word, with: operation)
        return (fetched, content)
    }

    /// The operation with a path of what was fetched planned.
    private func planned(
        _ path: String, of fetched: FetchedFolder, at word: Word, with operation: CopyOperation
    ) async throws -> CopyOperation {
        try await tools.pool.run { () throws(any Error) in
            var operation = operation
            let name = "'\(word.text.hidingUserInformation)'"
            do {
                try operation.copy(Word(path, range: word.range), from: fetched.source(named: name))
            } catch {
                throw BuildError(error, doing: "\(name) cannot be added").at(word.range)
            }
            return operation
        }
    }

    /// Whether a file that goes to this destination is put into it, and so needs a name of its own.
    private func isFolder(_ destination: Word, in plan: LayerPlan) throws -> Bool {
        let target = CopyOperation.Destination(destination.text, workingDirectory: draft.workingDirectory)
        return try target.isDirectory || plan.occupant(of: plan.resolve(target.path)) == .directory
    }
}

extension FileSource {
    /// For the image's history, which everybody may read who has the image.
    var withoutUserInformation: FileSource {
        guard case .path(let word) = self, AddSource.isRemote(word.text) else { return self }
        return .path(Word(GitLocation.separateUser(word.text).0, range: word.range))
    }
}

extension BuildError {
    /// A file that could not be fetched.
    fileprivate init(fetching remote: RemoteFile, _ cause: any Error) {
        if let error = cause as? RegistryError {
            self.init("\(error)", hint: error.hint)
            if error.kind == .status(401) {
                hint = (error.hint.map { "\($0); " } ?? "") + "give --secret id=HTTP_AUTH_TOKEN_\(remote.url.host)"
            }
        } else {
            self.init(cause, doing: "the file could not be fetched")
        }
    }
}

extension String {
    /// The pattern that matches just this name.
    var escapedForWildcards: String {
        reduce(into: "") { $0 += "*?[]\\".contains($1) ? "\\\($1)" : String($1) }
    }

    fileprivate var dropSlashes: Substring {
        var text = self[...]
        while text.hasSuffix("/") { text.removeLast() }
        return text
    }
}
