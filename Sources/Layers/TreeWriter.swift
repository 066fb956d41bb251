import Glibc
import SystemIO
import SystemPackage

/// Puts the entries of one layer into a tree; see `LayerUnpacker` for the rules.
struct TreeWriter {
    let root: Directory
    let convention: TreeConvention
    let layer: String
    let impliedOwner: (uid: UInt32, gid: UInt32)
    /// What lies below, for a tree of overlayfs whose layer cannot be understood alone.
    let lower: UnionTree?
    /// How new files come out that are made with the right owner and mode at once.
    let creation: FileCreation
    var folders: FolderCache
    /// Of the current entry, counted from 0.
    var number: Int32 = -1
    /// Regular files are written and completed there.
    let files: FileFinisher
    /// Attributes of folders, by their real path, to be set when all is in place.
    var deferred: [[UInt8]: FolderAttributes] = [:]
    /// Times of folders that were there before and that no entry describes.
    private var disturbed: [[UInt8]: FolderAttributes] = [:]
    var result = UnpackedTree()
    private var refused: Set<String> = []
    /// Flat trees: the real paths that this layer put there, which its whiteouts spare.
    var placed: Set<[UInt8]> = []

    struct FolderAttributes {
        var inode: UInt64
        var permissions: UInt16
        var modified: Timestamp
        var isImplied: Bool
    }

    /// Where an entry goes.
    struct Place {
        let folder: FolderCache.Folder
        let name: [UInt8]

        var path: [UInt8] { folder.path.joined(name) }
        var raw: Int32 { folder.directory.descriptor.raw }
    }

    /// - Parameter impliedOwner: of folders that no entry describes.
    init(
        root: Directory, convention: TreeConvention, lower: UnionTree?, layer: String,
        impliedOwner: (uid: UInt32, gid: UInt32) = (0, 0)
    ) throws(LayerError) {
        self.root = root
        self.impliedOwner = impliedOwner
        self.convention = convention
        self.layer = layer
        self.lower = lower
        creation = FileCreation.current
        files = FileFinisher(layer: layer)
        folders = FolderCache(root: root, honoursWhiteouts: convention != .flat, lower: lower)
        try system { () throws(SystemError) in
            // What is put into the root changes its time, too.
            try disturb(folders.root)
        }
    }

    // MARK: Places

    mutating func place(of path: [UInt8], making: Bool = true) throws(SystemError) -> Place {
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return Place(folder: folders.root, name: path) }
        return Place(folder: try folder(Array(path[..<slash]), making: making), name: Array(path[(slash + 1)...]))
    }

    /// The folder of an entry, made with its parents where they are missing.
    mutating func folder(_ path: [UInt8], making: Bool = true) throws(SystemError) -> FolderCache.Folder {
        if let known = folders.known(path) {
            if making { try disturb(known) }
            return known
        }
        var made: [(path: [UInt8], inode: UInt64)] = []
        var parents: [(folder: FolderCache.Folder, before: FileStatus)] = []
        let (convention, owner) = (convention, impliedOwner)
        let folder = try folders.folder(path) { parent, name, obstacle throws(SystemError) in
            guard making else {
                throw SystemError(call: "open", path: FilePath(bytes: name), errno: .noSuchFileOrDirectory)
            }
            let file = FilePath(bytes: name)
            parents.append((parent, try parent.directory.descriptor.status()))
            if obstacle == .whiteout { try parent.directory.remove(file) }
            try parent.directory.makeDirectory(file, mode: 0o700)
            if obstacle == .whiteout, case .overlay(let namespace) = convention {
                let attribute = ExtendedAttribute(name: namespace.opaque, value: [UInt8(ascii: "y")])
                try parent.directory.setAttribute(attribute, onName: name)
            }
            let raw = parent.directory.descriptor.raw
            guard name.withCName({ fchownat(raw, $0, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) }) == 0 else {
                throw .last("fchownat", file)
            }
            let status = try parent.directory.status(of: file)
            made.append((parent.path.joined(name), status.inode))
        }
        for folder in made {
            deferred[folder.path] = FolderAttributes(
                inode: folder.inode, permissions: 0o755, modified: Timestamp(seconds: 0), isImplied: true)
        }
        for parent in parents { try disturb(parent.folder, parent.before) }
        if making { try disturb(folder) }
        return folder
    }

    /// Remembers the time of a folder in which something is about to change, or has since it was as `before` says. In a tree of
    /// overlayfs all folders are the layer's own but the root.
    private mutating func disturb(
        _ folder: FolderCache.Folder, _ before: FileStatus? = nil
    ) throws(SystemError) {
        guard convention == .flat || folder.path.isEmpty, disturbed[folder.path] == nil, deferred[folder.path] == nil
        else { return }
        let status = if let before { before } else { try folder.directory.descriptor.status() }
        disturbed[folder.path] = FolderAttributes(
            inode: status.inode, permissions: status.permissions, modified: status.modified, isImplied: false)
    }

    func status(at place: Place) throws(SystemError) -> FileStatus? {
        try place.folder.directory.statusIfPresent(ofName: place.name)
    }

    /// Remembers that the layer put something there.
    mutating func note(_ place: Place) {
        if convention == .flat { placed.insert(place.path) } else { folders.hide(place.path) }
    }

    /// Flat trees: whether the layer has something of that name: an entry, or a folder that one of its entries lies in.
    func isOfLayer(_ path: [UInt8]) -> Bool {
        placed.contains(path) || disturbed[path] != nil || deferred[path] != nil
    }

    // MARK: The end

    /// Waits for all files, sets modes and times of folders, and tells what there is to say of the tree.
    mutating func finish() throws(LayerError) -> UnpackedTree {
        let finished = try files.finish()
        refused.formUnion(finished.refused)
        result.placed.append(contentsOf: finished.placed)
        for (path, attributes) in deferred {
            guard try apply(attributes, to: path, permissions: true) else { continue }
            if attributes.isImplied { result.impliedDirectories.append(path) }
        }
        for (path, attributes) in disturbed where deferred[path] == nil {
            _ = try apply(attributes, to: path, permissions: false)
        }
        result.impliedDirectories.sort { $0.lexicographicallyPrecedes($1) }
        result.refusedAttributes = refused.sorted()
        return result
    }

    /// - Returns: whether the folder is still there.
    private func apply(
        _ attributes: FolderAttributes, to path: [UInt8], permissions: Bool
    ) throws(LayerError) -> Bool {
        do throws(SystemError) {
            let folder: OwnedDescriptor
            do {
                folder = try root.open(bytes: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, .noSymlinks)
            } catch
                where [.noSuchFileOrDirectory, .notDirectory, .tooManySymbolicLinkLevels].contains(error.errno)
            {
                return false  // replaced by a later entry
            }
            guard try folder.status().inode == attributes.inode else { return false }
            if permissions {
                guard fchmod(folder.raw, mode_t(attributes.permissions)) == 0 else { throw .last("fchmod") }
            }
            guard futimens(folder.raw, attributes.modified.asModificationTime) == 0 else { throw .last("futimens") }
            return true
        } catch {
            throw failure(error, LayerEntry(path: path, kind: .directory))
        }
    }

    // MARK: Failures

    mutating func refuse(_ attribute: ExtendedAttribute, _ error: SystemError) throws(SystemError) {
        guard error.isRefusedAttribute else { throw error }
        refused.insert(attribute.name)
    }

    /// Goes on only when the call that just failed did so with `number`.
    func expect(_ number: Int32, _ call: String, _ place: Place) throws(SystemError) {
        guard errno == number else { throw .last(call, FilePath(bytes: place.name)) }
    }

    func failure(_ error: SystemError, _ entry: LayerEntry) -> LayerError {
        LayerError(placing: entry, of: layer, error)
    }
}
