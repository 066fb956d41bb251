import Synchronization

/// Answers that are worked out once, however many ask for them at the same time.
final class AnswerCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private typealias Waiter = CheckedContinuation<Result<Value, RegistryError>?, Never>

    private enum Entry {
        case ready(Value)
        case pending([Waiter])
    }

    private let entries = Mutex<[Key: Entry]>([:])

    /// The answer that is there already, else what `make` returns.
    ///
    /// Of several callers one runs `make`, and all get its answer or its error. A failure is not kept. If the one that works is
    /// cancelled, another takes over.
    ///
    /// - Parameter isFresh: whether an answer that is there may still be used.
    func value(
        for key: Key, where isFresh: @Sendable @escaping (Value) -> Bool = { _ in true },
        _ make: () async throws(RegistryError) -> Value
    ) async throws(RegistryError) -> Value {
        while true {
            let answer = await withCheckedContinuation { (waiter: Waiter) in join(key, isFresh, waiter) }
            switch answer {
            case .success(let value)?: return value
            case .failure(let error)? where error.kind != .cancelled || Task.isCancelled: throw error
            case .failure?: continue
            case nil: break
            }
            do throws(RegistryError) {
                let value = try await make()
                finish(key, .success(value))
                return value
            } catch {
                finish(key, .failure(error))
                throw error
            }
        }
    }

    /// Forgets an answer, if it is still the one that `matches`.
    func forget(_ key: Key, where matches: (Value) -> Bool) {
        entries.withLock { entries in
            if case .ready(let value)? = entries[key], matches(value) { entries[key] = nil }
        }
    }

    /// Forgets every answer that `matches`.
    func forget(where matches: (Value) -> Bool) {
        entries.withLock { entries in
            entries = entries.filter { _, entry in
                if case .ready(let value) = entry { !matches(value) } else { true }
            }
        }
    }

    /// Resumes `waiter` at once with the answer, or with `nil` when it has to find it; else lets it wait.
    private func join(_ key: Key, _ isFresh: (Value) -> Bool, _ waiter: Waiter) {
        let answer = entries.withLock { entries -> Result<Value, RegistryError>?? in
            switch entries[key] {
            case .ready(let value) where isFresh(value):
                return .some(.success(value))
            case .pending(let waiters):
                entries[key] = .pending(waiters + [waiter])
                return nil
            case .ready, nil:
                entries[key] = .pending([])
                return .some(nil)
            }
        }
        if let answer { waiter.resume(returning: answer) }
    }

    private func finish(_ key: Key, _ result: Result<Value, RegistryError>) {
        let waiters = entries.withLock { entries -> [Waiter] in
            guard case .pending(let waiters)? = entries[key] else { return [] }
            if case .success(let value) = result { entries[key] = .ready(value) } else { entries[key] = nil }
            return waiters
        }
        for waiter in waiters { waiter.resume(returning: result) }
    }
}
