extension DockerConfig {
    /// A JSON object whose keys are matched as docker matches them: exactly, else in any case.
    struct Object {
        private let container: KeyedDecodingContainer<AnyKey>

        private struct AnyKey: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        init(_ decoder: any Decoder) throws {
            container = try decoder.container(keyedBy: AnyKey.self)
        }

        var keys: [String] { container.allKeys.map(\.stringValue).sorted() }

        /// The value of a key; `nil` when it is not there, or null.
        func value<Value: Decodable>(_ name: String) throws -> Value? {
            let same = container.allKeys.filter { $0.stringValue.lowercased() == name.lowercased() }
                .sorted { a, b in
                    (a.stringValue == name) != (b.stringValue == name)
                        ? a.stringValue == name : a.stringValue < b.stringValue
                }
            guard let key = same.first else { return nil }
            return try container.decodeIfPresent(Value.self, forKey: key)
        }
    }

    /// The keys that decide about credentials.
    private static let ours = ["auths", "credHelpers", "credsStore"]

    /// What else stands in the files of docker, podman and their plugins, in lower case.
    /// https://github.com/docker/cli/blob/v28.0.0/cli/config/configfile/file.go
    private static let others: Set = [
        "httpheaders", "psformat", "imagesformat", "networksformat", "pluginsformat", "volumesformat", "statsformat",
        "detachkeys", "serviceinspectformat", "servicesformat", "tasksformat", "secretformat", "configformat",
        "nodesformat", "prunefilters", "proxies", "experimental", "stackorchestrator", "kubernetes", "currentcontext",
        "clipluginsextradirs", "plugins", "aliases", "features", "debug",
    ]

    /// Keys that are no docker's, and one slip of the pen from one of `ours`.
    static func misspelled(_ keys: [String]) -> [(key: String, meant: String)] {
        keys.compactMap { key in
            let lowered = key.lowercased()
            guard !others.contains(lowered), !ours.contains(where: { $0.lowercased() == lowered }) else { return nil }
            let distances = ours.map { (meant: $0, distance: distance(lowered, $0.lowercased())) }
            guard let best = distances.min(by: { $0.distance < $1.distance }), best.distance <= 2 else { return nil }
            return (key, best.meant)
        }
    }

    /// How many letters have to be added, removed or replaced to get from one word to the other.
    private static func distance(_ from: String, _ to: String) -> Int {
        let (a, b) = (Array(from.utf8), Array(to.utf8))
        // Far from any of our short words: no need to count.
        guard a.count <= 40 else { return .max }
        var row = Array(0...b.count)
        for (i, letter) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in b.enumerated() {
                let replaced = diagonal + (letter == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(replaced, row[j] + 1, diagonal + 1)
            }
        }
        return row[b.count]
    }
}
