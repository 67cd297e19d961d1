/// A first-in-first-out queue between threads that holds a bounded number of elements, so that a fast stage waits
/// for a slow one instead of filling memory.
package final class BoundedQueue<Element: Sendable>: Sendable {
    private struct Contents {
        var elements: [Element] = []
        var isFinished = false
    }

    private let capacity: Int
    private let contents = Monitor(Contents())

    /// - Parameter capacity: elements that may be queued.
    package init(capacity: Int) { self.capacity = capacity }

    /// Adds an element, waiting for room.
    /// - Returns: false if the queue was finished; the element is then dropped.
    @discardableResult
    package func push(_ element: Element) -> Bool {
        contents.wait { contents in
            if contents.isFinished { return false }
            guard contents.elements.count < self.capacity else { return nil }
            contents.elements.append(element)
            return true
        }
    }

    /// Takes the next element, waiting for one.
    /// - Returns: nil when the queue is finished and empty.
    package func pop() -> Element? {
        guard case .element(let element) = contents.wait(Self.take) else { return nil }
        return element
    }

    package enum Popped {
        case element(Element)
        case nothingYet
        case finished
    }

    /// Takes the next element, waiting at most this long.
    package func pop(milliseconds: Int) -> Popped {
        contents.wait(milliseconds: milliseconds, Self.take) ?? .nothingYet
    }

    private static func take(_ contents: inout Contents) -> Popped? {
        guard contents.elements.isEmpty else { return .element(contents.elements.removeFirst()) }
        return contents.isFinished ? .finished : nil
    }

    /// No more elements will come. Queued elements can still be taken.
    package func finish() {
        contents.update { $0.isFinished = true }
    }

    /// No more elements are wanted: drops the queued ones, and wakes all waiting threads.
    package func cancel() {
        contents.update { $0 = Contents(isFinished: true) }
    }
}
