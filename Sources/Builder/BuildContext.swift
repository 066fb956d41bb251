import Dockerfile
import Glibc
import Layers
import SystemIO
import SystemPackage

/// The files that a Dockerfile may copy, and the Dockerfile itself.
struct BuildContext: Sendable {
    let root: Directory
    let dockerfile: SourceText
    /// What `.dockerignore` says; compiled once.
    let ignored: IgnorePatterns
    /// The ignore file's name, for messages.
    let ignoreFile: String
    /// The commit, for a Git context.
    let commit: String?
    let time: CreationTime

    /// What COPY reads without `--from`.
    var source: CopyOperation.Source {
        CopyOperation.Source(
            tree: UnionTree(layers: [.plain(root)]), ignored: ignored, ignoreFile: ignoreFile, keepsOwners: false,
            name: "the build context")
    }

    /// Reads Dockerfile and ignore file, and settles the image's time. Blocks.
    static func read(_ folder: ContextFolder, _ request: BuildRequest, report: EventSink) throws -> BuildContext {
        let root = folder.root
        let (text, place, name) = try readDockerfile(request.dockerfile, in: root)
        let (ignored, ignoreFile) = try readIgnoreFile(besides: name, in: place, root: root)
        try folder.checkLargeFiles(
            ignoring: ignored, accepts: GitProgram.skipsLargeFiles(request.toolEnvironment), report: report)
        let instant: CreationTime =
            switch request.times {
            case .now: .now()
            case .fixed(let instant): CreationTime(at: instant)
            case .reproducible:
                CreationTime(at: try folder.committed ?? CreationTime.newest(in: root, ignoring: ignored))
            }
        return BuildContext(
            root: root, dockerfile: try SourceText(text), ignored: ignored, ignoreFile: ignoreFile,
            commit: folder.commit, time: instant)
    }

    /// The Dockerfile with the folder it is in: below the context, else where its path leads from here.
    static func readDockerfile(
        _ path: FilePath, in root: Directory
    ) throws -> (text: [UInt8], folder: Directory, name: FilePath) {
        guard let name = path.lastComponent.map({ FilePath(root: nil, [$0]) }) else {
            throw BuildError("the Dockerfile's path '\(path.printable)' names no file")
        }
        let parent = path.removingLastComponent()
        func read(_ folder: Directory) throws(any Error) -> [UInt8] {
            let file = try folder.open(name, O_RDONLY | O_NONBLOCK, .inRoot)
            guard try file.status().kind == .file else { throw BuildError("'\(path.printable)' is not a file") }
            return try file.readAll(limit: SourceText.Limits.file)
        }
        do throws(any Error) {
            if path.isRelative {
                let folder = parent.isEmpty ? root : try root.openDirectory(parent, .inRoot)
                if try folder.statusIfPresent(of: name) != nil { return (try read(folder), folder, name) }
            }
            let folder = try Directory(opening: parent.isEmpty ? "." : parent)
            return (try read(folder), folder, name)
        } catch let error as SystemError where error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory {
            let others = try root.names().filter {
                $0.string.lowercased().contains("dockerfile") || $0 == "Containerfile"
            }
            throw BuildError(
                "there is no '\(path.printable)' in the context '\(root.path.printable)'",
                hint: others.isEmpty
                    ? "name it with --dockerfile"
                    : "found \(others.map { "'\($0.printable)'" }.joined(separator: ", ")): name it with --dockerfile")
        } catch let error as SystemError where error.errno == .fileTooLarge {
            throw BuildError(
                "the Dockerfile '\(path.printable)' has more than \(SourceText.Limits.file) bytes",
                hint: "is this file a Dockerfile?")
        } catch let error as SystemError {
            throw BuildError("the Dockerfile '\(path.printable)' cannot be read: \(error)")
        }
    }

    /// `NAME.dockerignore` beside the Dockerfile, else `.dockerignore` at the context's root; the first replaces the second.
    static func readIgnoreFile(
        besides name: FilePath, in folder: Directory, root: Directory
    ) throws -> (patterns: IgnorePatterns, name: String) {
        let own = FilePath(bytes: name.bytes + ".dockerignore".utf8)
        for (folder, name) in [(folder, own), (root, ".dockerignore" as FilePath)] {
            let text: [UInt8]
            do {
                text = try folder.open(name, O_RDONLY | O_NONBLOCK, .inRoot).readAll(
                    limit: IgnorePatterns.maximumLength)
            } catch  where error.errno == .noSuchFileOrDirectory {
                continue
            } catch {
                throw BuildError("'\(name.printable)' cannot be read: \(error)")
            }
            do { return (try IgnorePatterns(parsing: text), name.printable) } catch {
                throw BuildError("\(name.printable): \(error)")
            }
        }
        return (IgnorePatterns.none, ".dockerignore")
    }
}
