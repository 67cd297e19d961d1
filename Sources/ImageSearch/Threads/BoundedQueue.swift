/// A first-in-first-out queue between threads that holds a bounded cost, so that a fast stage waits
/// for a slow one instead of filling memory.
package final class BoundedQueue<Element: Sendable>: Sendable {
    private struct Contents {
        var elements: [(element: Element?, cost: Int)] = []
        /// Index of the first element that is still queued; the array is compacted now and then.
        var head = 0
        var cost = 0
        var isFinished = false
    }

    private let capacity: Int
    private let contents = Monitor(Contents())

    /// - Parameter capacity: total cost that may be queued; one element always fits.
    package init(capacity: Int) { self.capacity = capacity }

    /// Adds an element, waiting for room.
    /// - Returns: false if the queue was finished; the element is then dropped.
    @discardableResult
    package func push(_ element: Element, cost: Int = 1) -> Bool {
        contents.wait { contents in
            if contents.isFinished { return false }
            guard contents.cost == 0 || contents.cost + cost <= self.capacity else { return nil }
            contents.elements.append((element, cost))
            contents.cost += cost
            return true
        }
    }

    /// Takes the next element, waiting for one.
    /// - Returns: nil when the queue is finished and empty.
    package func pop() -> Element? {
        contents.wait { contents -> Element?? in
            guard let element = Self.take(&contents) else {
                return contents.isFinished ? .some(nil) : nil
            }
            return element
        }
    }

    package enum Popped {
        case element(Element)
        case nothingYet
        case finished
    }

    /// Takes the next element, waiting at most this long.
    package func pop(milliseconds: Int) -> Popped {
        contents.wait(milliseconds: milliseconds) { contents -> Popped? in
            guard let element = Self.take(&contents) else {
                return contents.isFinished ? .finished : nil
            }
            return .element(element)
        } ?? .nothingYet
    }

    private static func take(_ contents: inout Contents) -> Element? {
        guard contents.head < contents.elements.count else { return nil }
        let (element, cost) = contents.elements[contents.head]
        contents.elements[contents.head].element = nil
        contents.head += 1
        contents.cost -= cost
        if contents.head * 2 >= contents.elements.count {
            contents.elements.removeFirst(contents.head)
            contents.head = 0
        }
        return element
    }

    /// No more elements will come. Queued elements can still be taken.
    package func finish() {
        contents.update { $0.isFinished = true }
    }

    /// No more elements are wanted: drops the queued ones, and wakes all waiting threads.
    package func cancel() {
        contents.update { contents in
            contents.isFinished = true
            contents.elements.removeAll()
            contents.head = 0
            contents.cost = 0
        }
    }
}
