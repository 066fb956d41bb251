import SystemIO

/// What `--version` prints. The compressor is named because the bytes of compressed layers depend on it.
enum Version {
    static let number = "0.1.0"

    static var text: String {
        "imgbuild \(number) (layers: gzip by ISA-L \(Compressor.version))"
    }
}
