extension RunMount {
    /// The options that each type of mount knows besides `type`.
    private static let keys: [String: [Key]] = [
        "bind": [.target, .source, .from, .readonly, .readwrite],
        "cache": [.id, .target, .readonly, .readwrite, .sharing, .from, .source, .mode, .uid, .gid],
        "tmpfs": [.target, .size],
        "secret": [.id, .source, .target, .env, .required, .mode, .uid, .gid],
        "ssh": [.id, .target, .required, .mode, .uid, .gid],
    ]

    /// Checks the expanded options and fills in the defaults.
    ///
    /// - Throws: for an unknown type, an option that the type does not know, a value of the wrong form, or a missing
    ///   or impossible target.
    package func resolved() throws(DockerfileError) -> Resolved {
        let type = try string(.type) ?? "bind"
        guard let known = Self.keys[type] else {
            throw fault(
                "there is no type '\(type)'",
                hint: Suggestion.hint(for: type, in: Self.keys.keys.sorted())
                    ?? "it is one of \(Self.keys.keys.sorted().joined(separator: ", "))")
        }
        for option in options where option.key != .type && !known.contains(option.key) {
            throw fault("the option '\(option.written)' does not go with type=\(type)")
        }
        var target = try string(.target)
        if let target, PathText.cleaned(target) == "/" || target.isEmpty {
            throw fault("the target cannot be '\(target)'", hint: "name a directory below /")
        }
        let kind: Kind
        switch type {
        case "bind":
            kind = .bind(from: try string(.from), source: try string(.source), readOnly: try readOnly(default: true))
        case "cache":
            kind = .cache(try cache(target: target ?? ""))
        case "tmpfs":
            kind = .tmpfs(size: try size())
        case "secret":
            let secret = try secret(target: target)
            if target == nil, secret.environment == nil {
                target = "/run/secrets/" + PathText.lastComponent(secret.id)
            }
            return Resolved(kind: .secret(secret), target: target, range: range)
        default:
            let ssh = SSH(
                id: try string(.id) ?? "default", required: try boolean(.required) ?? false,
                owner: try owner(mode: 0o600))
            return Resolved(kind: .ssh(ssh), target: target, range: range)
        }
        guard target != nil else {
            throw fault("type=\(type) needs a target", hint: "write --mount=type=\(type),target=<path>")
        }
        return Resolved(kind: kind, target: target, range: range)
    }

    private func cache(target: String) throws(DockerfileError) -> Cache {
        var sharing = Sharing.shared
        if let text = try string(.sharing) {
            guard let value = Sharing(rawValue: text) else {
                throw fault("sharing cannot be '\(text)'", hint: "it is shared, private or locked")
            }
            sharing = value
        }
        let id = try string(.id) ?? ""
        return Cache(
            id: id.isEmpty ? PathText.cleaned(target) : id, sharing: sharing, readOnly: try readOnly(default: false),
            from: try string(.from), source: try string(.source), owner: try owner(mode: 0o755))
    }

    private func secret(target: String?) throws(DockerfileError) -> Secret {
        let source = try string(.source)
        var id = try string(.id) ?? source ?? ""
        if id.isEmpty, let target { id = PathText.lastComponent(target) }
        guard !id.isEmpty else { throw fault("type=secret needs an id", hint: "write --mount=type=secret,id=<name>") }
        return Secret(
            id: id, environment: try string(.env), required: try boolean(.required) ?? false,
            owner: try owner(mode: 0o400))
    }

    private func owner(mode: UInt16) throws(DockerfileError) -> Owner {
        var owner = Owner(mode: mode)
        if let text = try string(.mode) {
            guard let value = UInt16(text, radix: 8), value <= 0o7777 else {
                throw fault("mode '\(text)' is not octal", hint: "write mode=0755")
            }
            owner.mode = value
        }
        owner.uid = try number(.uid) ?? 0
        owner.gid = try number(.gid) ?? 0
        return owner
    }

    // MARK: Values

    /// The value of the last option with this key.
    private func string(_ key: Key) throws(DockerfileError) -> String? {
        guard let option = options.last(where: { $0.key == key }) else { return nil }
        guard let value = option.value else { throw fault("the option '\(option.written)' needs a value") }
        return value
    }

    private func boolean(_ key: Key) throws(DockerfileError) -> Bool? {
        guard let option = options.last(where: { $0.key == key }) else { return nil }
        return try boolean(option)
    }

    private func boolean(_ option: Option) throws(DockerfileError) -> Bool {
        switch option.value?.lowercased() {
        case nil, "true", "1": return true
        case "false", "0": return false
        default: throw fault("the option '\(option.written)' is true or false, not '\(option.value ?? "")'")
        }
    }

    private func readOnly(default usual: Bool) throws(DockerfileError) -> Bool {
        guard let option = options.last(where: { $0.key == .readonly || $0.key == .readwrite }) else { return usual }
        return try boolean(option) == (option.key == .readonly)
    }

    private func number(_ key: Key) throws(DockerfileError) -> UInt32? {
        guard let text = try string(key) else { return nil }
        guard let value = UInt32(text) else { throw fault("\(key.rawValue) '\(text)' is not a number") }
        return value
    }

    /// Bytes, from a number with a unit of 1024: `64m`, `1g`, `512KiB`.
    private func size() throws(DockerfileError) -> UInt64? {
        guard let text = try string(.size) else { return nil }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        var unit = text.dropFirst(digits.count).lowercased()
        if unit.hasSuffix("b") { unit.removeLast() }
        if unit.hasSuffix("i") { unit.removeLast() }
        let shift = ["": 0, "k": 10, "m": 20, "g": 30, "t": 40][unit]
        guard let shift, let count = UInt64(digits), count <= UInt64.max >> UInt64(shift) else {
            throw fault("size '\(text)' is no size", hint: "write size=64m")
        }
        return count << UInt64(shift)
    }

    private func fault(_ message: String, hint: String? = nil) -> DockerfileError {
        DockerfileError("--mount: \(message)", at: range, hint: hint)
    }
}
