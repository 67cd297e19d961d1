/// A first-in-first-out queue between threads that holds a bounded cost, so that a fast stage waits
/// for a slow one instead of filling memory.
final class BoundedQueue<Element: Sendable>: Sendable {
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
    init(capacity: Int) { self.capacity = capacity }

    /// Adds an element, waiting for room.
    /// - Returns: false when the queue was finished meanwhile, and the element was dropped.
    @discardableResult
    func push(_ element: Element, cost: Int = 1) -> Bool {
        contents.wait { contents in
            if contents.isFinished { return false }
            guard contents.cost == 0 || contents.cost + cost <= self.capacity else { return nil }
            contents.elements.append((element, cost))
            contents.cost += cost
            return true
        }
    }

    /// Adds an element if there is room now.
    /// - Returns: whether it was added.
    func offer(_ element: Element, cost: Int = 1) -> Bool {
        contents.update { contents in
            guard !contents.isFinished,
                contents.cost == 0 || contents.cost + cost <= capacity
            else { return false }
            contents.elements.append((element, cost))
            contents.cost += cost
            return true
        }
    }

    /// Takes the next element, waiting for one; nil when the queue is finished and empty.
    func pop() -> Element? {
        contents.wait { contents -> Element?? in
            guard let element = Self.take(&contents) else {
                return contents.isFinished ? .some(nil) : nil
            }
            return element
        }
    }

    enum Popped {
        case element(Element)
        case nothingYet
        case finished
    }

    /// Takes the next element if one comes within the time.
    func pop(milliseconds: Int) -> Popped {
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

    /// Says that nothing more will come. What is queued can still be taken.
    func finish() {
        contents.update { $0.isFinished = true }
    }

    /// Says that nothing more is wanted: drops what is queued and wakes those who wait.
    func cancel() {
        contents.update { contents in
            contents.isFinished = true
            contents.elements.removeAll()
            contents.head = 0
            contents.cost = 0
        }
    }
}
