package import SystemIO

extension LayerWriter {
    /// Adds the changes of a tree, with the content that its files have now.
    ///
    /// - Parameter root: the folder that the changes were read from; nothing writes to it meanwhile.
    package mutating func add(_ changes: TreeChanges, from root: Directory) throws(LayerError) {
        for change in changes.entries {
            if case .file = change.entry.kind {
                try add(change.entry, content: try change.open(in: root))
            } else {
                try add(change.entry)
            }
        }
    }
}
