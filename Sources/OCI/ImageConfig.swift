// https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md
// Healthcheck, OnBuild, Shell and ArgsEscaped are Docker's: https://github.com/moby/docker-image-spec

/// The config document of an image: what it runs, what its layers unpack to, and how it came to be.
package struct ImageConfig: Hashable, Sendable, Codable {
    package var created: String?
    package var author: String?
    package var architecture: String
    package var os: String
    package var osVersion: String?
    package var osFeatures: [String]?
    package var variant: String?
    package var config: ContainerConfig
    package var rootfs: RootFS
    package var history: [History]

    enum CodingKeys: String, CodingKey {
        case created, author, architecture, os, variant, config, rootfs, history
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }

    /// The config of an empty image.
    package init(platform: Platform) {
        architecture = platform.architecture
        os = platform.os
        variant = platform.variant
        config = ContainerConfig()
        rootfs = RootFS(diffIDs: [])
        history = []
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        created = try container.decodeIfPresent(String.self, forKey: .created)
        author = try container.decodeIfPresent(String.self, forKey: .author)
        architecture = try container.decodeIfPresent(String.self, forKey: .architecture) ?? ""
        os = try container.decodeIfPresent(String.self, forKey: .os) ?? ""
        osVersion = try container.decodeIfPresent(String.self, forKey: .osVersion)
        osFeatures = try container.decodeIfPresent([String].self, forKey: .osFeatures)
        variant = try container.decodeIfPresent(String.self, forKey: .variant)
        config = try container.decodeIfPresent(ContainerConfig.self, forKey: .config) ?? ContainerConfig()
        rootfs = try container.decode(RootFS.self, forKey: .rootfs)
        history = try container.decodeIfPresent([History].self, forKey: .history) ?? []
    }

    package var platform: Platform {
        Platform(os: os, architecture: architecture, variant: variant, osVersion: osVersion)
    }

    /// The layers as the files in them: SHA-256 of each uncompressed tar, lowest first.
    package struct RootFS: Hashable, Sendable, Codable {
        package var type = "layers"
        package var diffIDs: [Digest]

        enum CodingKeys: String, CodingKey {
            case type
            case diffIDs = "diff_ids"
        }

        package init(diffIDs: [Digest]) {
            self.diffIDs = diffIDs
        }

        package init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            type = try container.decodeIfPresent(String.self, forKey: .type) ?? "layers"
            diffIDs = try container.decodeIfPresent([Digest].self, forKey: .diffIDs) ?? []
        }
    }

    /// One step of the image's making. The entries without `emptyLayer` stand for the layers, in order.
    package struct History: Hashable, Sendable, Codable {
        package var created: String?
        package var createdBy: String?
        package var author: String?
        package var comment: String?
        package var emptyLayer: Bool?

        enum CodingKeys: String, CodingKey {
            case created, author, comment
            case createdBy = "created_by"
            case emptyLayer = "empty_layer"
        }

        package init(
            created: String?, createdBy: String?, author: String? = nil, comment: String? = nil,
            emptyLayer: Bool? = nil
        ) {
            self.created = created
            self.createdBy = createdBy
            self.author = author
            self.comment = comment
            self.emptyLayer = emptyLayer
        }
    }
}
