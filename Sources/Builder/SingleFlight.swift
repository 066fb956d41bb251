import Synchronization

/// Work that several tasks may ask for and that is done once: the first who asks does it, the others wait for the result.
final class SingleFlight<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private enum Entry {
        case running([CheckedContinuation<Void, Never>])
        case done(Result<Value, any Error>)
    }

    private let entries = Mutex<[Key: Entry]>([:])

    /// What `body` gives or throws for the key, now or before.
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
            guard case .running(let waiting)? = entries.updateValue(.done(result), forKey: key) else { return [] }
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
