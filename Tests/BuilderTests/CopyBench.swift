import Dockerfile
import Layers
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

/// A COPY or ADD that is only planned: a source folder, an image below, and what would become of them.
struct CopyCase: CustomTestStringConvertible, Sendable {
    let rule: String
    /// Shell scripts that fill the source folder and the image's root.
    var source = ""
    var image = ""
    var from: [String]
    var to: String
    var workingDirectory = "/"
    var chown: (uid: UInt32, gid: UInt32)?
    var chmod: String?
    var exclude: [String] = []
    var ignore = ""
    var keepsOwners = false
    var keepsParents = false
    var followsSymlinks = true
    var unpacks = false
    /// The planned entries as `CopyBench.describe` shows them.
    var plans: [String] = []
    /// Words of the error that is expected instead.
    var fails: String?

    var testDescription: String { rule }
}

/// Files for one case, removed with this object.
final class CopyBench {
    let folder: ScratchFolder
    private let source: Directory
    private let image: Directory

    init(source: String, image: String) throws {
        folder = try ScratchFolder()
        try folder.run("umask 022; mkdir source image scratch; (cd source; :; \(source)\n); (cd image; :; \(image)\n)")
        self.source = try folder.directory.openDirectory("source", .noSymlinks)
        self.image = try folder.directory.openDirectory("image", .noSymlinks)
    }

    static func plan(_ item: CopyCase) throws -> [String] {
        try CopyBench(source: item.source, image: item.image).plan(item)
    }

    func plan(_ item: CopyCase) throws -> [String] {
        func word(_ text: String) -> Word { Word(text, range: SourceRange(line: 1)) }
        let source = CopyOperation.Source(
            tree: UnionTree(layers: [.plain(self.source)]),
            ignored: try IgnorePatterns(parsing: Array(item.ignore.utf8)),
            keepsOwners: item.keepsOwners, name: "the build context")
        var operation = CopyOperation(
            on: UnionTree(layers: [.plain(image)]),
            destination: .init(item.to, workingDirectory: item.workingDirectory, isDirectory: item.keepsParents),
            options: .init(
                owner: item.chown, mode: try item.chmod.map { try FileMode(parsing: word($0)) },
                excluded: try IgnorePatterns(excluding: item.exclude.map(word)),
                followsSymlinks: item.followsSymlinks),
            time: Timestamp(seconds: 1_000_000_000))
        if item.unpacks {
            let scratch = try folder.directory.openDirectory("scratch", .noSymlinks)
            operation.spool = try ArchiveSpool(
                in: Scratch(folder: scratch, name: "scratch", parent: folder.directory))
        }
        for text in item.from {
            if item.keepsParents {
                try operation.copyWithParents(word(text), from: source)
            } else {
                try operation.copy(word(text), from: source)
            }
        }
        return operation.plan.ordered().map { CopyBench.describe($0.entry) }
    }

    /// `d 755 0:0 app`, `f 644 0:0 app/run`, `l app/link -> run`, `h app/other = app/run`.
    static func describe(_ entry: LayerEntry) -> String {
        let path = String(decoding: entry.path, as: UTF8.self)
        let rest =
            "\(String(entry.permissions, radix: 8)) \(entry.uid):\(entry.gid) \(path)"
            + entry.attributes.map { " \($0.name)=\(String(decoding: $0.value, as: UTF8.self))" }.joined()
        switch entry.kind {
        case .file: return "f \(rest)"
        case .directory: return "d \(rest)"
        case .symlink(let target): return "l \(path) -> \(String(decoding: target, as: UTF8.self))"
        case .hardLink(let target): return "h \(path) = \(String(decoding: target, as: UTF8.self))"
        case .characterDevice(let number): return "c \(rest) \(number.major):\(number.minor)"
        case .blockDevice(let number): return "b \(rest) \(number.major):\(number.minor)"
        case .fifo: return "p \(rest)"
        case .whiteout: return "w \(path)"
        case .opaqueMarker: return "o \(path)"
        }
    }
}
