package import SystemPackage

/// The program skopeo. References are its own: `docker://HOST/NAME:TAG`, `oci:PATH:TAG`, `docker-archive:FILE`.
package enum Skopeo {
    /// Copies an image as it is, without changing its manifest where the destination allows that.
    package static func copy(
        from source: String, to destination: String, destinationUser: (name: String, password: String)? = nil
    ) throws {
        let credentials = destinationUser.map { ["--dest-creds", "\($0.name):\($0.password)"] } ?? []
        try Program.require(
            ["skopeo", "copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
                + credentials + [source, destination])
    }

    /// The image's configuration document.
    package static func configuration(of reference: String) throws -> JSONValue {
        try inspect(["--config", "--raw", reference])
    }

    /// The image's manifest, or index, as the other side has it.
    package static func manifest(of reference: String) throws -> JSONValue {
        try inspect(["--raw", reference])
    }

    /// skopeo's own summary: `Digest`, `RepoTags`, `Layers`, `Labels`, `Env` ...
    package static func summary(of reference: String) throws -> JSONValue {
        try inspect([reference])
    }

    private static func inspect(_ arguments: [String]) throws -> JSONValue {
        try JSONValue(
            parsing: Program.require(["skopeo", "inspect", "--tls-verify=false"] + arguments).output)
    }
}

/// The program umoci.
package enum Umoci {
    /// Unpacks an image of a layout below the new folder `bundle` and lists its files.
    ///
    /// Owners are those of the image only when this process is root.
    package static func unpack(_ layout: FilePath, tag: String, into bundle: FilePath) throws -> FileTree {
        let rootless = isRoot ? [] : ["--rootless"]
        try Program.require(
            ["umoci", "unpack"] + rootless + ["--image", "\(layout):\(tag)", bundle.string])
        return try FileTree(listing: bundle.appending("rootfs"))
    }
}
