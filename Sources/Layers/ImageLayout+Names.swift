package import OCI
package import SystemIO
import SystemPackage

extension ImageLayout {
    /// Whether a folder holds a layout.
    package static func isOne(_ folder: Directory) -> Bool {
        (try? folder.statusIfPresent(of: FilePath(LayoutName.marker)))?.kind == .file
    }

    /// One image: by its digest, its tag, or the whole name that docker and containerd give it. Without a name the image `latest`,
    /// or the only one.
    package func find(named name: String?) throws(LayerError) -> Descriptor {
        guard let name else { return try find(tag: nil) }
        if let digest = try? Digest(parsing: name) { return try find(digest: digest) }
        let wanted = try? ImageReference(parsing: name)
        let manifests = try index().manifests
        let byName = manifests.first { manifest in
            guard let written = manifest.annotations?[LayoutAnnotation.containerdName] else { return false }
            return written == name || (wanted != nil && (try? ImageReference(parsing: written)) == wanted)
        }
        if let byName { return byName }
        return try find(tag: name)
    }
}
