import Synchronization

/// Work that several tasks may ask for at the same time and that is done once: the first who asks does it, the others wait.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private enum Entry {
        case running([CheckedContinuation<Void, Never>])
        case done(Result<Value, any Error>)
    }

    private let entries = Mutex<[Key: Entry]>([:])
    private let keeps: Bool

    /// - Parameter keeps: whether a result, good or bad, counts for those who ask later; else they do the work themselves, which may be
    ///   to see that it is done.
    init(keeps: Bool) {
        self.keeps = keeps
    }

    /// What `body` gives or throws for the key.
    func value(of key: Key, _ body: () async throws -> Value) async throws -> Value {
        while true {
            let found = entries.withLock { entries -> Result<Value, any Error>?? in
                switch entries[key] {
                case .done(let result)?: return .some(result)
                case .running?: return .some(nil)
                case nil:
                    entries[key] = .running([])
                    return nil
                }
            }
            guard let found else { return try await lead(key, body) }
            if let result = found { return try result.get() }
            await wait(for: key)
        }
    }

    private func lead(_ key: Key, _ body: () async throws -> Value) async throws -> Value {
        let result: Result<Value, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        let waiting = entries.withLock { entries -> [CheckedContinuation<Void, Never>] in
            guard case .running(let waiting)? = entries[key] else { return [] }
            entries[key] = keeps ? .done(result) : nil
            return waiting
        }
        for continuation in waiting { continuation.resume() }
        return try result.get()
    }

    private func wait(for key: Key) async {
        await withCheckedContinuation { continuation in
            let isDone = entries.withLock { entries -> Bool in
                guard case .running(let waiting)? = entries[key] else { return true }
                entries[key] = .running(waiting + [continuation])
                return false
            }
            if isDone { continuation.resume() }
        }
    }
}
