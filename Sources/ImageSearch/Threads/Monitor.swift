import Glibc

/// A mutex with a condition variable: Swift's `Mutex` cannot wait for a change.
package final class Monitor<State>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    package init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        // Timeouts must not depend on the wall clock, which can be set.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with exclusive access to the state, then wakes all waiting threads.
    package func update<T>(_ body: (inout State) throws -> T) rethrows -> T {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Reads the state without waking waiting threads.
    package func read<T>(_ body: (State) throws -> T) rethrows -> T {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(state)
    }

    /// Waits until `attempt` returns a value, trying again after every change; then wakes the other waiting threads.
    package func wait<T>(_ attempt: (inout State) -> T?) -> T {
        while true {
            if let value = wait(milliseconds: 1_000_000, attempt) { return value }
        }
    }

    /// Like ``wait(_:)``, but returns nil after `milliseconds`.
    package func wait<T>(milliseconds: Int, _ attempt: (inout State) -> T?) -> T? {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + milliseconds % 1_000 * 1_000_000
        deadline.tv_sec += milliseconds / 1_000 + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let value = attempt(&state) {
                pthread_cond_broadcast(changed)
                return value
            }
            if pthread_cond_timedwait(changed, mutex, &deadline) == ETIMEDOUT { return nil }
        }
    }

    /// The value, made on first use; concurrent callers wait.
    func value<Value>(_ make: () throws -> Value) rethrows -> Value where State == Value? {
        try update { known in
            let value = try known ?? make()
            known = value
            return value
        }
    }
}

extension Monitor<Bool> {
    /// Makes it true.
    /// - Returns: whether it was false.
    func set() -> Bool {
        update { value in
            defer { value = true }
            return !value
        }
    }
}
