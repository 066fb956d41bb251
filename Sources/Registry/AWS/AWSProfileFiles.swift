// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html

import Glibc
import SystemIO
import SystemPackage

/// A named set of settings.
struct AWSProfile: Sendable {
    let name: String
    /// The files that it stands in, for people.
    fileprivate(set) var origin: String
    fileprivate(set) var values: [String: String]
    /// Settings indented below another, as those of `s3`.
    fileprivate(set) var nested: [String: [String: String]]

    /// A setting that is there and not empty.
    subscript(key: String) -> String? { values[key].flatMap { $0.isEmpty ? nil : $0 } }
}

/// The shared files of AWS's tools: `config` and `credentials`.
struct AWSProfileFiles: Sendable {
    private(set) var profiles: [String: AWSProfile] = [:]
    /// Sections `[services NAME]`: service, key, value.
    private(set) var services: [String: [String: [String: String]]] = [:]
    /// The paths that were looked at, for people.
    let places: String

    /// Such files have a few KiB (bytes).
    private static let sizeLimit = 1024 * 1024

    /// Reads both files; one that does not exist is as an empty one. Where both name a setting of a profile, `credentials` counts.
    ///
    /// - Throws: kind `file` for a file that cannot be read, `configuration` with its line for one that cannot be understood.
    init(_ variables: AWSVariables, home: String?) throws(RegistryError) {
        func place(_ variable: String, _ name: String) -> String? {
            guard let path = variables[variable] else { return home.map { "\($0)/.aws/\(name)" } }
            guard path.hasPrefix("~/"), let home else { return path }
            return home + path.dropFirst(1)
        }
        let config = place("AWS_CONFIG_FILE", "config")
        let credentials = place("AWS_SHARED_CREDENTIALS_FILE", "credentials")
        places = [config, credentials].compactMap { $0.map { FilePath($0).printable } }.joined(separator: " and ")
        if let config { try read(config, isConfig: true) }
        if let credentials { try read(credentials, isConfig: false) }
    }

    private mutating func read(_ path: String, isConfig: Bool) throws(RegistryError) {
        let bytes: [UInt8]
        let path = FilePath(path)
        do throws(SystemError) {
            bytes = try OwnedDescriptor.open(path, O_RDONLY).readAll(limit: AWSProfileFiles.sizeLimit)
        } catch {
            if error.errno == .noSuchFileOrDirectory || error.errno == .notDirectory { return }
            throw .file(SystemError(call: error.call, path: path, errno: error.errno))
        }
        let name = path.printable
        for section in try AWSProfileFiles.sections(of: bytes, name: name) {
            take(section, from: name, isConfig: isConfig)
        }
    }

    private mutating func take(_ section: Section, from file: String, isConfig: Bool) {
        let words = AWSProfileFiles.words(section.title[...])
        if isConfig, words.count == 2, words[0] == "services" {
            services[words[1], default: [:]].merge(section.nested) { $0.merging($1) { $1 } }
            return
        }
        let profile: String
        switch (isConfig, words.count) {
        case (true, 2) where words[0] == "profile": profile = words[1]
        // A profile "default" may be written both ways in the one file.
        case (true, 1) where words[0] == "default": profile = "default"
        case (false, _): profile = section.title
        // Sections of other kinds ([sso-session x], [plugins]) are for AWS's own tools.
        default: return
        }
        if var known = profiles[profile] {
            known.values.merge(section.values) { $1 }
            known.nested.merge(section.nested) { $0.merging($1) { $1 } }
            if !known.origin.contains(file) { known.origin += " and \(file)" }
            profiles[profile] = known
        } else {
            profiles[profile] = AWSProfile(
                name: profile, origin: file, values: section.values, nested: section.nested)
        }
    }

    // MARK: The text

    struct Section {
        /// What stands between the brackets.
        let title: String
        var values: [String: String] = [:]
        /// Settings indented below another, as in `[services x]`.
        var nested: [String: [String: String]] = [:]
    }

    /// Takes the text apart; it says nothing yet about what the sections are.
    static func sections(of bytes: [UInt8], name: String) throws(RegistryError) -> [Section] {
        var found: [Section] = []
        var parent: String?
        // CRLF is one line end, and a lone CR is none.
        let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, raw) in lines.enumerated() {
            func malformed(_ reason: String) -> RegistryError {
                // The line is not shown: it may hold a key.
                RegistryError(.configuration, message: "\(name), line \(index + 1): \(reason)")
            }
            guard let line = String(validating: raw, as: UTF8.self) else { throw malformed("it is not UTF-8") }
            let text = trimmed(line[...])
            guard let first = text.first, first != "#", first != ";" else { continue }
            if first == "[" {
                guard let close = text.firstIndex(of: "]") else {
                    throw malformed("the section has no closing bracket")
                }
                found.append(Section(title: String(trimmed(text[text.index(after: text.startIndex)..<close]))))
                parent = nil
                continue
            }
            guard let equals = text.firstIndex(of: "=") else { throw malformed("expected KEY = VALUE or [SECTION]") }
            let key = trimmed(text[..<equals]).lowercased()
            let value = withoutComment(trimmed(text[text.index(after: equals)...]))
            guard !found.isEmpty else { throw malformed("a setting stands before the first section") }
            guard !key.isEmpty else { throw malformed("the setting has no name") }
            let last = found.count - 1
            if line.first == " " || line.first == "\t", let parent {
                found[last].nested[parent, default: [:]][key] = value
            } else {
                found[last].values[key] = value
                parent = value.isEmpty ? key : nil
            }
        }
        return found
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    /// A comment inside a line begins with a blank: secrets may hold `#`.
    private static func withoutComment(_ value: Substring) -> String {
        for mark in [" #", " ;", "\t#", "\t;"] {
            if let start = value.firstRange(of: mark) { return String(trimmed(value[..<start.lowerBound])) }
        }
        return String(value)
    }

    /// `profile "my profile"` as two words.
    private static func words(_ title: Substring) -> [String] {
        guard let blank = title.firstIndex(where: \.isWhitespace) else { return [unquoted(title)] }
        return [String(title[..<blank]), unquoted(trimmed(title[blank...]))]
    }

    private static func unquoted(_ word: Substring) -> String {
        guard let first = word.first, first == "\"" || first == "'", word.count > 1, word.last == first else {
            return String(word)
        }
        return String(word.dropFirst().dropLast())
    }
}
