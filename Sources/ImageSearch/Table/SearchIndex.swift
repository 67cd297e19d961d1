/// An index of pgvector that can answer "what is nearest".
struct SearchIndex: Sendable, Equatable {
    enum Method: String, Sendable {
        case hnsw, ivfflat
    }

    let oid: Int
    let name: String
    let method: Method
    /// What its operator class compares by; a query must use the same operator, or the index is
    /// passed over.
    let distance: Distance
    /// Whether it stores `embedding` itself, rather than the column in half precision.
    let holdsVectors: Bool
    /// `vector(512)` or `halfvec(512)`.
    let type: String
    /// False while it is being built, and for good when a build broke off.
    let isValid: Bool
    /// Such as `halfvec_cosine_ops`, and `m=16`.
    let operatorClass: String
    let options: [String]

    /// IVFFlat's number of lists.
    var lists: Int {
        let lists = options.first { $0.hasPrefix("lists=") }
        return lists.flatMap { Int($0.dropFirst("lists=".count)) } ?? 100
    }

    /// What follows `CREATE INDEX … ON table` to make one like it.
    func definition(on column: String, dimension: Int, _ names: TableNames) -> String {
        let schema = names.vectorSchema
        let expression = holdsVectors ? column : "(\(column)::\(schema).halfvec(\(dimension)))"
        let with = options.isEmpty ? "" : " WITH (\(options.joined(separator: ", ")))"
        return "USING \(method.rawValue) (\(expression) \(schema).\(operatorClass))\(with)"
    }

    /// pgvector's distances of which the nearest unit vectors are the same.
    enum Distance: String, Sendable {
        case cosine, l2, innerProduct

        init?(operatorClass: String) {
            switch operatorClass {
            case "vector_cosine_ops", "halfvec_cosine_ops": self = .cosine
            case "vector_l2_ops", "halfvec_l2_ops": self = .l2
            case "vector_ip_ops", "halfvec_ip_ops": self = .innerProduct
            default: return nil
            }
        }

        var sqlOperator: String {
            switch self {
            case .cosine: "<=>"
            case .l2: "<->"
            case .innerProduct: "<#>"
            }
        }
    }

    /// - Parameter definition: of the index's only column, as `pg_get_indexdef` writes it.
    /// - Returns: nil for an index that searches make no use of.
    init?(
        oid: Int, name: String, method: String, operatorClass: String, definition: String,
        type: String,
        isValid: Bool, options: [String]
    ) {
        guard let method = Method(rawValue: method),
            let distance = Distance(operatorClass: operatorClass)
        else { return nil }
        // `embedding`, or `((embedding)::halfvec(512))` with or without the type's schema.
        let plain = definition.filter { $0 != "(" && $0 != ")" && $0 != " " }
        let flatType = type.filter { $0 != "(" && $0 != ")" }
        if plain == "embedding", type.hasPrefix("vector(") {
            holdsVectors = true
        } else if plain == "embedding::\(flatType)"
            || plain.hasPrefix("embedding::") && plain.hasSuffix(".\(flatType)"),
            type.hasPrefix("halfvec(")
        {
            holdsVectors = false
        } else {
            return nil
        }
        self.oid = oid
        self.name = name
        self.method = method
        self.distance = distance
        self.type = type
        self.isValid = isValid
        self.operatorClass = operatorClass
        self.options = options
    }

    /// The best of several: graphs before lists, the distance that is asked for before its
    /// likenesses, small entries before large ones.
    static func best(of indexes: [SearchIndex]) -> SearchIndex? {
        indexes.filter(\.isValid).min { $0.order < $1.order }
    }

    private var order: Int {
        (method == .hnsw ? 0 : 4) + (distance == .cosine ? 0 : 2)
            + (holdsVectors ? 1 : 0)
    }
}
