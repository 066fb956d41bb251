import Dockerfile
import Glibc
import Layers
import Registry
import SystemIO
import SystemPackage

/// The files of a context, in a folder, wherever they came from. Of their content nothing has been looked at.
struct ContextFolder: Sendable {
    /// The context's root: with a sub-path the folder that it names.
    private(set) var root: Directory
    /// The commit, for a Git context.
    private(set) var commit: String?
    /// When the commit was made, for a Git context and for a folder with a Git work tree.
    private(set) var committed: Timestamp?
    private var location: GitLocation?
    /// Files that are pointers of Git LFS, since their contents were not fetched.
    private var pointers: [ImagePath] = []

    private init(root: Directory) {
        self.root = root
    }

    /// Fetches the sources into the scratch folder, or opens them where they are.
    ///
    /// - Throws: `BuildError` that says which source it is, and why it cannot be used.
    static func make(
        _ request: BuildRequest, registries: Registries, scratch: Scratch, pool: BlockingPool,
        cancellation: Cancellation, report: @escaping EventSink
    ) async throws -> ContextFolder {
        var archive: FilePath?
        if case .archive(let source) = request.source {
            archive = try await fetch(source, registries, scratch, report)
        }
        return try await pool.run { [archive] () throws(any Error) in
            var folder =
                switch request.source {
                case .folder(let path): try open(path, request, cancellation)
                case .git(let location, let credentials):
                    try checkOut(location, credentials, request, scratch, cancellation, report)
                case .archive(let source): try unpack(source, fetched: archive, scratch, cancellation, report)
                }
            if let path = request.contextSubPath { try folder.enter(path) }
            return folder
        }
    }

    // MARK: Folders

    private static func open(
        _ path: FilePath, _ request: BuildRequest, _ cancellation: Cancellation
    ) throws -> ContextFolder {
        var folder: ContextFolder
        do throws(SystemError) {
            folder = ContextFolder(root: try Directory(opening: path))
        } catch {
            guard error.errno == .notDirectory else {
                throw BuildError(
                    "the context '\(path.printable)' cannot be read: \(error)", hint: "name it with --context")
            }
            throw BuildError(
                "the context '\(path.printable)' is not a folder",
                hint: "for an archive, write tar://\(path.printable)")
        }
        folder.committed = workTreeTime(of: folder.root, request, cancellation)
        return folder
    }

    /// The time of the commit that a folder's work tree is at; `nil` where there is none, or no git to ask.
    private static func workTreeTime(
        of folder: Directory, _ request: BuildRequest, _ cancellation: Cancellation
    ) -> Timestamp? {
        guard (try? folder.statusIfPresent(of: ".git")) != nil else { return nil }
        let git = try? GitProgram(
            environment: request.toolEnvironment, credentials: .none, for: nil, cancellation: cancellation)
        return try? git?.commitTime(in: folder)
    }

    private mutating func enter(_ path: FilePath) throws {
        let relative = ImagePath(cleaning: path.bytes)
        guard !relative.isRoot else { return }
        do throws(SystemError) {
            root = try root.openDirectory(FilePath(bytes: relative.bytes), .inRoot)
        } catch {
            let what = "the folder '\(relative.text)' of --context-sub-path"
            switch error.errno {
            case .noSuchFileOrDirectory:
                let there = try root.sortedNames().prefix(10).map { "'\(FilePath.printable($0.bytes))'" }
                throw BuildError(
                    "\(what) is not in the context",
                    hint: there.isEmpty ? nil : "there are \(there.joined(separator: ", "))")
            case .notDirectory: throw BuildError("\(what) is a file")
            default: throw BuildError("\(what) cannot be opened: \(error)")
            }
        }
        let prefix = relative.bytes + [UInt8(ascii: "/")]
        pointers = pointers.filter { $0.bytes.starts(with: prefix) }.map {
            ImagePath(trusting: Array($0.bytes.dropFirst(prefix.count)))
        }
    }

    // MARK: Git

    private static func checkOut(
        _ location: GitLocation, _ credentials: GitCredentials, _ request: BuildRequest, _ scratch: Scratch,
        _ cancellation: Cancellation, _ report: @escaping EventSink
    ) throws -> ContextFolder {
        let wanted = [location.ref, location.commit].compactMap { $0 }.joined(separator: " ")
        report(.note("fetching \(location.url) \(wanted.isEmpty ? "HEAD" : wanted)"))
        let settings = request.git
        let hint =
            location.isSSH
            ? "name a key with --git-ssh-key"
            : "set GIT_TOKEN, GIT_TOKEN_FILE (--git-token-file), or GIT_USERNAME and GIT_PASSWORD"
        let git = try GitProgram(
            environment: request.toolEnvironment, credentials: credentials, for: location, settings: settings,
            cancellation: cancellation, report: report, credentialHint: hint)
        let checkout = try GitCheckout.make(location, with: git, in: scratch, depth: settings.depth)
        report(.note("context: \(location.url) at commit \(checkout.commit)"))
        if settings.fetchesSubmodules {
            try checkout.fetchSubmodules(
                location, with: git, leaveOut: "leave them out: --git recurse-submodules=false")
        }
        let keeps = request.buildArguments.last { $0.name == "BUILDKIT_CONTEXT_KEEP_GIT_DIR" }
        if !["1", "true"].contains(keeps?.value) { try checkout.removeGitFolders() }
        var folder = ContextFolder(root: checkout.folder)
        folder.commit = checkout.commit
        folder.committed = checkout.committed
        folder.location = location
        folder.pointers = checkout.pointers
        return folder
    }

    /// A build that copied pointers in place of files would look as if all was well.
    ///
    /// - Parameter accepts: `GIT_LFS_SKIP_SMUDGE` says that pointers are wanted.
    /// - Throws: `BuildError` if there is a pointer that the ignore file does not exclude.
    func checkLargeFiles(ignoring ignored: IgnorePatterns, accepts: Bool, report: EventSink) throws {
        let left = pointers.filter { !ignored.isIgnored($0.bytes) }
        guard let location, let first = left.first else { return }
        let message = ContextFolder.pointerMessage(first, of: left.count, location)
        guard !accepts else { return report(.warning(message)) }
        throw BuildError(
            message,
            hint:
                "install git-lfs, or exclude the files in .dockerignore; to build with the pointers, set GIT_LFS_SKIP_SMUDGE=1"
        )
    }

    static func pointerMessage(_ first: ImagePath, of count: Int, _ location: GitLocation) -> String {
        let more = count > 1 ? " and \(count - 1) more" : ""
        return "'\(first.text)'\(more) of \(location.url) is a pointer of Git LFS, and its content was not fetched"
    }

    // MARK: Archives

    /// Brings an archive here that is not; `nil` for one that is.
    private static func fetch(
        _ source: ContextArchive, _ registries: Registries, _ scratch: Scratch, _ report: EventSink
    ) async throws -> FilePath? {
        switch source {
        case .file, .standardInput: return nil
        case .remote, .object: break
        }
        let name = source.name
        report(.note("fetching \(name)"))
        let folder = try scratch.makeFolder("context-archive")
        let file = try folder.open("archive", O_RDWR | O_CREAT | O_EXCL, mode: 0o600, .noSymlinks)
        do {
            switch source {
            case .remote(let remote):
                _ = try await registries.files.fetch(remote.url, authorization: remote.authorization, to: file.raw)
            case .object(let object): _ = try await registries.objects.fetch(object, to: file.raw)
            case .file, .standardInput: break
            }
        } catch {
            throw BuildError(error, doing: "the context \(name) cannot be fetched")
        }
        return folder.path.appending("archive")
    }

    private static func unpack(
        _ source: ContextArchive, fetched: FilePath?, _ scratch: Scratch, _ cancellation: Cancellation,
        _ report: EventSink
    ) throws -> ContextFolder {
        let name = source.name
        let file: OwnedDescriptor
        switch source {
        case .file(let path):
            do { file = try OwnedDescriptor.open(path, O_RDONLY) } catch {
                throw BuildError("the context '\(name)' cannot be read: \(error)")
            }
            guard try file.status().kind != .directory else {
                throw BuildError("the context '\(name)' is a folder", hint: "write it without tar://")
            }
        case .standardInput:
            file = try StandardInput.spool(in: scratch, cancellation: cancellation)
        case .remote, .object:
            guard let fetched else { throw BuildError("[internal error] \(name) was not fetched") }
            file = try OwnedDescriptor.open(fetched, O_RDONLY)
            // It goes away when it is closed.
            try scratch.folder.removeTree(FilePath(root: nil, [fetched.removingLastComponent().lastComponent ?? "."]))
        }
        report(.note("unpacking the context from \(name)"))
        let root = try scratch.makeFolder("context")
        do throws(LayerError) {
            try ArchiveUnpacker.unpack(file, name: name, into: root, cancellation: cancellation)
        } catch {
            throw refusal(error, source)
        }
        return ContextFolder(root: root)
    }

    private static func refusal(_ error: LayerError, _ source: ContextArchive) -> BuildError {
        guard case .invalid(_, nil, _) = error else {
            return BuildError(error, doing: "the context cannot be unpacked")
        }
        var hint = "a context is a tar, plain or compressed with gzip, zstd, bzip2 or xz"
        if case .remote = source {
            hint += "; the address of a Git repository ends in .git, or names a ref: URL#refs/heads/main"
        }
        return BuildError("the context cannot be unpacked: \(error)", hint: hint)
    }
}

extension ContextArchive {
    /// For messages.
    fileprivate var name: String {
        switch self {
        case .file(let path): path.printable
        case .standardInput: "standard input"
        case .remote(let remote): remote.url.description
        case .object(let object): object.description
        }
    }
}
