import CPostgreSQL
import Glibc

/// Makes a connection step by step (manual, PQconnectStartParams and PQconnectPoll).
///
/// PQconnectdb would print early notices on stderr and hide the SQLSTATE of a refusal. In exchange, the time limit of
/// each address is kept here.
struct Connector {
    let string: ConnectionString
    let applicationName: String
    let notices: NoticeSink
    let timeout: Duration
    /// Whether several hosts are tried in random order.
    var shufflesHosts = false

    /// One address to try; empty parts are left to libpq.
    private struct Target: Equatable {
        var host = ""
        var address = ""
        var port = ""
    }

    /// A handle in state CONNECTION_OK; the caller owns it.
    func connect() throws(PGError) -> OpaquePointer {
        guard !applicationName.utf8.contains(0) else {
            throw PGError(.invalidUse, "the application name holds a NUL character")
        }
        let limit = effectiveTimeout
        var targets: [Target]?
        if shufflesHosts {
            let all = listed(Target())
            if all.count > 1 { targets = all.shuffled() }
        }
        while true {
            guard let handle = start(targets) else {
                throw PGError(.connection, "out of memory")
            }
            notices.attach(to: handle)
            // Verbose messages carry the SQLSTATE, which libpq gives no other way at this stage.
            PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
            let isInTime = finish(handle, within: limit)
            if isInTime, PQstatus(handle) == CONNECTION_OK {
                PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
                return handle
            }
            defer { PQfinish(handle) }
            guard !isInTime else { throw failure(of: handle) }
            // libpq's own loop would go on with the next address; do the same.
            let current = target(of: handle)
            let rest = remaining(of: targets ?? listed(current), after: current)
            if rest.isEmpty {
                let place = current.host.isEmpty ? current.address : current.host
                throw PGError(
                    .connection,
                    scrubbed(
                        "no answer from the server at \"\(place)\", port \(current.port), "
                            + "within \(max(1, limit?.components.seconds ?? 0)) s", of: handle))
            }
            targets = rest
        }
    }

    // MARK: - One try

    private func start(_ targets: [Target]?) -> OpaquePointer? {
        // Later entries win over earlier ones; "dbname" stands for the whole string.
        var options: [(String, String)] = [
            // Without these, libpq waits hours for a server whose machine has vanished.
            ("keepalives_idle", "60"), ("keepalives_interval", "15"), ("keepalives_count", "4"),
            ("tcp_user_timeout", "120000"),
            ("fallback_application_name", applicationName),
            ("dbname", string.text),
        ]
        if let targets {
            options.append(("host", targets.map(\.host).joined(separator: ",")))
            options.append(("hostaddr", targets.map(\.address).joined(separator: ",")))
            options.append(("port", targets.map(\.port).joined(separator: ",")))
        }
        options.append(("client_encoding", "UTF8"))
        let copies = options.map { (strdup($0.0), strdup($0.1)) }
        defer {
            for (keyword, value) in copies {
                free(keyword)
                free(value)
            }
        }
        let keywords = copies.map { UnsafePointer($0.0) } + [nil]
        let values = copies.map { UnsafePointer($0.1) } + [nil]
        return PQconnectStartParams(keywords, values, 1)
    }

    /// Goes on until the connection is made or has failed.
    /// - Returns: false when an address did not answer in time.
    private func finish(_ handle: OpaquePointer, within limit: Duration?) -> Bool {
        guard PQstatus(handle) != CONNECTION_BAD else { return true }
        var place: Target?
        var deadline: ContinuousClock.Instant?
        var state = PGRES_POLLING_WRITING
        while state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED {
            let current = target(of: handle)
            if current != place { (place, deadline) = (current, limit.map { .now + $0 }) }
            // PQconnectPoll finds out what failed.
            let event = state == PGRES_POLLING_WRITING ? POLLOUT : POLLIN
            guard wait(PQsocket(handle), for: event, until: deadline) else { return false }
            state = PQconnectPoll(handle)
        }
        return true
    }

    private func target(of handle: OpaquePointer) -> Target {
        Target(
            host: text(PQhost(handle)), address: text(PQhostaddr(handle)),
            port: text(PQport(handle)))
    }

    // MARK: - Several addresses

    /// What the connection string lists, one target for each host (libpq: one port for all, or one for each).
    private func listed(_ current: Target) -> [Target] {
        func list(_ keyword: String) -> [String] {
            guard let value = string.parameters[keyword], !value.isEmpty else { return [] }
            return value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        }
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"))
        let count = max(hosts.count, addresses.count)
        guard count > 0 else { return [current] }
        return (0..<count).map { index in
            Target(
                host: index < hosts.count ? hosts[index] : "",
                address: index < addresses.count ? addresses[index] : "",
                port: index < ports.count ? ports[index] : ports.count == 1 ? ports[0] : "")
        }
    }

    /// What libpq would try after `current`: the other addresses of its host, then the other hosts.
    private func remaining(of targets: [Target], after current: Target) -> [Target] {
        let addresses = targets.flatMap { target in
            guard target.host == current.host, target.address.isEmpty else { return [target] }
            return resolve(target.host).map {
                Target(host: target.host, address: $0, port: target.port)
            }
        }
        return Array(
            addresses.drop {
                $0.host != current.host || $0.address != current.address
                    || !$0.port.isEmpty && $0.port != current.port
            }.dropFirst())
    }

    /// The addresses of a host, in the order in which libpq tries them; one without a text for a socket's path.
    private func resolve(_ host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0, let list else { return [""] }
        defer { freeaddrinfo(list) }
        return sequence(first: list, next: \.pointee.ai_next).map { entry in
            var name = [CChar](repeating: 0, count: 128)
            getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &name, socklen_t(name.count), nil,
                0, NI_NUMERICHOST)
            return name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        }
    }

    // MARK: - Limits and messages

    /// nil for no limit, which is what 0 and negative numbers mean to libpq.
    private var effectiveTimeout: Duration? {
        let given =
            string.parameters["connect_timeout"]
            ?? getenv("PGCONNECT_TIMEOUT").map { String(cString: $0) }
        if let given, let seconds = Int32(oneLine(given, limit: 40)) {
            return seconds > 0 ? .seconds(Int(seconds)) : nil
        }
        return timeout > .zero ? timeout : nil
    }

    private func failure(of handle: OpaquePointer) -> PGError {
        let (message, sqlState) = flatten(text(PQerrorMessage(handle)))
        return PGError(
            .connection, scrubbed(message.isEmpty ? "libpq gives no reason" : message, of: handle),
            sqlState: sqlState, authenticationFailed: PQconnectionNeedsPassword(handle) == 1)
    }

    private func scrubbed(_ message: String, of handle: OpaquePointer) -> String {
        string.scrub(message, password: text(PQpass(handle)))
    }

    private func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
        pointer.map { String(cString: $0) } ?? ""
    }
}

/// One sentence of libpq's multi-line message, and the SQLSTATE of the last server that spoke.
///
/// Of the verbose lines that libpq's pqGetErrorNotice3 writes only the first (severity, state,
/// primary message) and HINT stay; DETAIL and CONTEXT may quote data, and LOCATION does not help.
package func flatten(_ message: String) -> (text: String, sqlState: String?) {
    var sentence = ""
    var sqlState: String?
    for line in message.split(whereSeparator: \.isNewline)
    where !["LOCATION:", "CONTEXT:", "DETAIL:", "STATEMENT:"].contains(where: line.hasPrefix) {
        let isHint = line.hasPrefix("HINT:")
        let isAside = isHint || line.hasPrefix("\t")
        var part = String(isHint ? line.dropFirst(5) : line)
        if let state = part.firstMatch(of: #/:  ([0-9A-Z]{5}): /#) {
            sqlState = String(state.1)
            part.replaceSubrange(state.range, with: ": ")
        }
        part = oneLine(part, limit: 1000)
        if sentence.isEmpty {
            sentence = part
        } else {
            sentence += isAside ? " (\(part))" : "; " + part
        }
    }
    return (sentence, sqlState)
}

/// Blocks until the socket is ready for an event (`POLLIN` or `POLLOUT`), or has failed.
/// - Returns: false when the deadline has passed.
func wait(_ socket: Int32, for event: Int32, until deadline: ContinuousClock.Instant?) -> Bool {
    guard socket >= 0 else { return true }
    while true {
        var milliseconds: Int32 = -1
        if let deadline {
            let left = deadline - ContinuousClock.now
            if left <= .zero { return false }
            // Rounded up, so that the last round does not spin; a day at a time at most.
            milliseconds = Int32(min(left, .seconds(86_400)) / .milliseconds(1)) + 1
        }
        var descriptor = pollfd(fd: socket, events: Int16(event), revents: 0)
        let count = poll(&descriptor, 1, milliseconds)
        if count > 0 || count < 0 && errno != EINTR { return true }
    }
}
