import Dockerfile
import Glibc
import Layers
import OCI
import Registry
import SystemIO
import SystemPackage

/// Brings what ADD names by address into the scratch folder.
struct RemoteSources: Sendable {
    private let files: FileClient
    private let secrets: RemoteCredentials
    private let gitEnvironment: [String]
    private let gitSettings: GitSettings
    /// The context's repository and what git was given for it; `nil` for other contexts.
    private let context: (location: GitLocation, credentials: GitCredentials)?
    private let scratch: Scratch
    private let pool: BlockingPool
    private let cancellation: Cancellation
    private let report: EventSink

    init(
        _ request: BuildRequest, files: FileClient, secrets: BuildSecrets, scratch: Scratch, pool: BlockingPool,
        cancellation: Cancellation, report: @escaping EventSink
    ) {
        self.files = files
        self.secrets = RemoteCredentials(secrets)
        gitEnvironment = request.toolEnvironment
        gitSettings = request.git
        if case .git(let location, let credentials) = request.source {
            context = (location, credentials)
        } else {
            context = nil
        }
        self.scratch = scratch
        self.pool = pool
        self.cancellation = cancellation
        self.report = report
    }

    // MARK: Files

    /// Fetches a file, streaming it to disk: mode 0600, and the time that the server says, else 1970.
    ///
    /// - Parameter name: what the file is called in the folder that is returned.
    /// - Throws: `RegistryError` if it cannot be fetched, `BuildError` if it is not the one that the checksum names.
    func fetch(_ remote: RemoteFile, as name: String) async throws -> (folder: FetchedFolder, content: RemoteContent) {
        report(.note("fetching \(remote.url)"))
        let fetched = FetchedFolder(try scratch.makeFolder("add"), in: scratch)
        let file = try fetched.folder.openName(Array(name.utf8), O_RDWR | O_CREAT | O_EXCL, mode: 0o600)
        let found = try await files.fetch(remote.url, authorization: try authorization(for: remote), to: file.raw)
        if let checksum = remote.checksum, checksum != found.digest {
            throw BuildError(
                "\(remote.url) is not the expected file: its checksum is \(found.digest), --checksum says \(checksum)")
        }
        try RemoteSources.settle(file, modified: found.lastModified ?? Timestamp(seconds: 0))
        return (
            fetched,
            RemoteContent(address: remote.address, content: found.digest.description, version: found.version)
        )
    }

    /// Whether the server still has the version of a file that was fetched before.
    func isUnchanged(_ remote: RemoteFile, since version: FileVersion) async -> Bool {
        do {
            return await files.isUnchanged(
                remote.url, since: version, authorization: try authorization(for: remote))
        } catch {
            // What is wrong with a secret is told when the file is fetched.
            return false
        }
    }

    /// A secret's, as with BuildKit, else that in the address.
    private func authorization(for remote: RemoteFile) throws -> FileClient.Authorization? {
        if let authorization = try secrets.authorization(for: remote.url) { return authorization }
        return remote.user.map {
            FileClient.Authorization(
                user: $0.username, password: $0.password ?? "", origin: "the user information in the address")
        }
    }

    private static func settle(_ file: borrowing OwnedDescriptor, modified: Timestamp) throws(SystemError) {
        // Whatever our umask is.
        guard fchmod(file.raw, 0o600) == 0 else { throw .last("fchmod") }
        guard futimens(file.raw, modified.asModificationTime) == 0 else { throw .last("futimens") }
    }

    // MARK: Repositories

    /// Checks out the commit that a repository's address and checksum name, with its submodules.
    ///
    /// - Throws: `BuildError` that says which of repository, ref, commit and subdirectory is at fault.
    func checkOut(_ source: GitSource) async throws -> (folder: FetchedFolder, content: RemoteContent) {
        let location = source.location
        report(.note("fetching \(location.url) \(location.commit ?? location.ref ?? "HEAD")"))
        let git = try program(for: location)
        return try await pool.run { [scratch, report] () throws(any Error) in
            let checkout = try GitCheckout.make(location, with: git, in: scratch)
            let fetched = FetchedFolder(checkout.folder, in: scratch)
            if let checksum = source.checksum, !checkout.commit.hasPrefix(checksum) {
                throw BuildError(
                    "\(location.url) is not at the expected commit: it is at \(checkout.commit), and \(checksum) was asked for"
                )
            }
            report(.note("\(location.url) is at commit \(checkout.commit)"))
            if source.includesSubmodules {
                try checkout.fetchSubmodules(
                    location, with: git, leaveOut: "leave them out with ?submodules=false in the address")
            }
            try checkout.settle(keepsGitFolder: source.keepsGitFolder == true)
            if let first = checkout.pointers.first {
                report(.warning(ContextFolder.pointerMessage(first, of: checkout.pointers.count, location)))
            }
            if !source.subdirectory.isRoot {
                if source.keepsGitFolder == true {
                    report(
                        .warning("--keep-git-dir keeps nothing here: .git is not in '\(source.subdirectory.absolute)'"))
                }
                try fetched.enter(source.subdirectory, of: location)
            }
            return (fetched, RemoteContent(address: source.address, content: checkout.commit, version: nil))
        }
    }

    /// The commit that a repository's ref is at; `nil` if the server does not say so.
    func tip(of source: GitSource) async -> String? {
        let location = source.location
        guard let git = try? program(for: location) else { return nil }
        return await pool.run { [scratch] in
            guard let folder = try? scratch.makeFolder("tip") else { return nil }
            return try? GitFetch(location: location, git: git, folder: folder, depth: 1).remoteTip()
        }
    }

    private func program(for location: GitLocation) throws -> GitProgram {
        var settings = gitSettings
        // Of the context's server alone it was said that its certificate does not count.
        if !isOfContext(location) { settings.skipsTLSVerification = false }
        return try GitProgram(
            environment: gitEnvironment, credentials: try credentials(for: location), for: location, settings: settings,
            cancellation: cancellation, report: report,
            credentialHint:
                "give --secret id=GIT_AUTH_TOKEN; the context's credentials are only for repositories on the context's host"
        )
    }

    /// A secret's, else those in the address, else the context's, if scheme, host and port are the same.
    private func credentials(for location: GitLocation) throws -> GitCredentials {
        if let credentials = try secrets.credentials(for: location) { return credentials }
        if let user = location.userInformation {
            return GitCredentials(
                username: user.username, password: user.password ?? "", origin: "the user information in the URL")
        }
        return isOfContext(location) ? context?.credentials ?? .none : .none
    }

    private func isOfContext(_ location: GitLocation) -> Bool {
        guard let origin = location.origin else { return false }
        return origin == context?.location.origin
    }
}

/// Something fetched, in a folder of the scratch that is removed with this object.
final class FetchedFolder: @unchecked Sendable {
    /// What there is to copy. Changed only by `enter`, by the one who makes this object.
    private(set) var folder: Directory
    private let root: FilePath?
    private let scratch: Scratch

    init(_ folder: Directory, in scratch: Scratch) {
        self.folder = folder
        root = folder.path.lastComponent.map { FilePath(root: nil, [$0]) }
        self.scratch = scratch
    }

    deinit {
        // What is left goes with the scratch at the end of the build.
        if let root { try? scratch.folder.removeTree(root) }
    }

    fileprivate func enter(_ path: ImagePath, of location: GitLocation) throws {
        do throws(SystemError) {
            folder = try folder.openDirectory(FilePath(bytes: path.bytes), .inRoot)
        } catch {
            switch error.errno {
            case .noSuchFileOrDirectory: throw BuildError("there is no '\(path.absolute)' in \(location.url)")
            case .notDirectory:
                throw BuildError(
                    "'\(path.absolute)' in \(location.url) is a file, and ADD takes a directory of a repository")
            default: throw error
            }
        }
    }

    /// Whether a file in it is an archive by its content.
    func isArchive(_ name: String) throws -> Bool {
        try TarReader.looksLikeArchive(folder.openName(Array(name.utf8), O_RDONLY))
    }

    /// For COPY's rules: all of it belongs to root, and nothing of it is ignored.
    func source(named name: String) -> CopyOperation.Source {
        CopyOperation.Source(
            tree: UnionTree(layers: [.plain(folder)]), ignored: IgnorePatterns.none, keepsOwners: false, name: name)
    }
}
