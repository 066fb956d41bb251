package import OCI

/// A finished layer: its blob by descriptor, its files by diffID. Both digests always exist.
package struct Layer: Sendable, Hashable {
    /// Of the blob as it is stored and pushed, usually compressed.
    package var descriptor: Descriptor
    /// Of the tar before compression.
    package var diffID: Digest

    package init(descriptor: Descriptor, diffID: Digest) {
        self.descriptor = descriptor
        self.diffID = diffID
    }
}
