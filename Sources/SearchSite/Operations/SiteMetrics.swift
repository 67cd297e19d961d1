import ImageSearch

/// The site's numbers, each with what it means.
enum SiteMetrics {
    /// What is kept elsewhere and read when somebody asks.
    struct Readings {
        let encodings: Int
        let uploads: Int
        let searches: Int
        let thumbnails: CacheStatistics
        let texts: CacheStatistics?
    }

    static func make(_ readings: @escaping @Sendable () -> Readings) -> Metrics {
        Metrics(
            [
                (MetricName.requests, .counter, "Requests by method, route and status."),
                (
                    MetricName.requestSeconds, .histogram,
                    "Seconds from a request's head to the answer's, by route."
                ),
                (
                    MetricName.searchSeconds, .histogram,
                    "Seconds of searches, embedding and database together, by outcome."
                ),
                (
                    MetricName.pictureSeconds, .histogram,
                    "Seconds of decoding and encoding visitors' pictures, waiting included."
                ),
                (MetricName.refused, .counter, "Requests refused at the door, by status."),
                (MetricName.searches, .gauge, "Searches under way."),
                (MetricName.encodings, .gauge, "Visitors' pictures being encoded or waiting."),
                (MetricName.uploads, .gauge, "Uploads being received or encoded."),
                (MetricName.textHits, .counter, "Texts whose embedding was known."),
                (MetricName.textMisses, .counter, "Texts whose embedding was computed."),
                (MetricName.textEntries, .gauge, "Texts whose embeddings are kept."),
                (MetricName.thumbnailHits, .counter, "Small copies that were kept."),
                (MetricName.thumbnailMisses, .counter, "Small copies that were made."),
                (MetricName.thumbnailBytes, .gauge, "Bytes of small copies that are kept."),
            ],
            gauges: {
                let readings = readings()
                var values: [(name: String, value: Double)] = [
                    (MetricName.encodings, Double(readings.encodings)),
                    (MetricName.uploads, Double(readings.uploads)),
                    (MetricName.thumbnailHits, Double(readings.thumbnails.hits)),
                    (MetricName.thumbnailMisses, Double(readings.thumbnails.misses)),
                    (MetricName.thumbnailBytes, Double(readings.thumbnails.cost)),
                    (MetricName.searches, Double(readings.searches)),
                ]
                if let texts = readings.texts {
                    values += [
                        (MetricName.textHits, Double(texts.hits)),
                        (MetricName.textMisses, Double(texts.misses)),
                        (MetricName.textEntries, Double(texts.count)),
                    ]
                }
                return values
            })
    }
}

extension MetricName {
    static let searches = "clip_search_searches_in_progress"
    static let encodings = "clip_search_encodings_in_progress"
    static let uploads = "clip_search_uploads_in_progress"
    static let textHits = "clip_search_text_cache_hits_total"
    static let textMisses = "clip_search_text_cache_misses_total"
    static let textEntries = "clip_search_text_cache_entries"
    static let thumbnailHits = "clip_search_thumbnail_cache_hits_total"
    static let thumbnailMisses = "clip_search_thumbnail_cache_misses_total"
    static let thumbnailBytes = "clip_search_thumbnail_cache_bytes"
}
