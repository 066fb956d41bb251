package import OCI
package import SystemPackage

/// All that is asked of a push of an image that is on this machine: validated once, then only read.
package struct PushRequest: Sendable {
    /// A tar, or the folder of an OCI layout.
    package var source: FilePath
    /// Which image of the source: its tag, name or digest; `nil` for the only one.
    package var image: String?
    package var destinations: [ImageReference]
    package var registry: BuildRequest.RegistrySettings
    /// Whether registries are asked before anything is sent if the image may be pushed.
    package var checksPushPermission = true
    /// Whether a tag that its registry refuses to move is a warning in place of a failure.
    package var ignoresImmutableTags = false
    package var files = ResultFiles()
    /// Where a tar is unpacked.
    package var stateDirectory: FilePath
    /// Threads that compress layers which are not.
    package var threads = 2

    package init(
        source: FilePath, destinations: [ImageReference], registry: BuildRequest.RegistrySettings,
        stateDirectory: FilePath
    ) {
        self.source = source
        self.destinations = destinations
        self.registry = registry
        self.stateDirectory = stateDirectory
    }
}
