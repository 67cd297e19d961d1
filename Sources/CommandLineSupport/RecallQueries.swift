/// Texts to measure an index with: things, in places, in light, as people search.
public enum RecallQueries {
    private static let subjects = [
        "a dog", "a cat", "two children", "an old man", "a woman laughing", "a red car",
        "a bicycle", "a boat", "a train", "birds", "a horse", "flowers", "a bowl of food",
        "a cup of coffee", "a crowd", "a house", "a bridge", "mountains", "a waterfall",
        "a man jumping", "someone asleep", "a football match", "a birthday cake", "a market stall",
        "a sign with writing",
    ]
    private static let places = [
        "on a beach", "in the snow", "in a forest", "in a kitchen", "in a city street",
        "on a table", "beside a lake", "in a garden", "at a window", "under a blue sky",
        "in the rain", "on a stage",
    ]
    private static let manners = ["", " at sunset", " at night", ", black and white", ", close up"]

    /// The most different texts that there are.
    public static let maximumCount = subjects.count * places.count * manners.count

    /// The first `count` of the texts, every subject before any comes again; the same every time.
    public static func texts(_ count: Int) -> [String] {
        (0..<min(count, maximumCount)).map { number in
            let (round, subject) = number.quotientAndRemainder(dividingBy: subjects.count)
            let (manner, place) = round.quotientAndRemainder(dividingBy: places.count)
            // Turned by the subject, so that a round does not put everything into one place.
            return subjects[subject] + " " + places[(place + subject) % places.count]
                + manners[manner]
        }
    }
}
