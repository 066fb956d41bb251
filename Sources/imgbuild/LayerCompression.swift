import ArgumentParser

/// What `--compression` may be.
enum LayerCompression: String, CaseIterable, ExpressibleByArgument {
    case gzip, zstd
}
