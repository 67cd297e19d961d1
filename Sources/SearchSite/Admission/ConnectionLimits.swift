import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Closes connections whose client sends or reads too slowly, and reads away the rest of a request
/// that was answered early, up to a bound, so that the client gets to see the answer.
package final class ConnectionLimits: ChannelDuplexHandler, RemovableChannelHandler {
    package typealias InboundIn = HTTPRequestPart
    package typealias OutboundIn = HTTPResponsePart
    package typealias OutboundOut = HTTPResponsePart

    package struct Limits: Sendable {
        /// From the connection's start, or the end of the previous response, to the request's head.
        package var head = TimeAmount.seconds(30)
        /// From the head to the end of the body.
        package var body = TimeAmount.seconds(600)
        /// From the end of the request to the end of the response.
        package var response = TimeAmount.seconds(600)
        /// The least bytes per second, in either direction, on average over `period`.
        package var leastRate = 4_096
        package var period = TimeAmount.seconds(10)
        /// How much of a request is read after it was answered, and for how long.
        package var drainedBytes = 32 << 20
        package var drain = TimeAmount.seconds(10)
    }

    /// Bytes transferred since the measurement began; no measurement while nothing is to be transferred.
    private struct Meter {
        var begin: NIODeadline?
        var bytes = 0

        mutating func start() { (begin, bytes) = (.now(), 0) }

        /// Whether the rate was too low over at least one period. Starts the next period.
        mutating func isTooSlow(_ limits: Limits) -> Bool {
            guard let begin, .now() - begin >= limits.period else { return false }
            let seconds = Double((.now() - begin).nanoseconds) / 1e9
            defer { start() }
            return Double(bytes) < Double(limits.leastRate) * seconds
        }
    }

    private let limits: Limits
    private var deadline: Scheduled<Void>?
    private var check: RepeatedTask?
    /// Measures while a request's body is due.
    private var received = Meter()
    /// Measures while the socket has not taken everything that was written.
    private var sent = Meter()
    private var unsentBytes = 0
    /// Whether a response's end was written before its request's end arrived.
    private var isDraining = false
    private var drainedBytes = 0
    private var closesAfterDrain = false
    /// Of the current request's body; nil when the head does not tell.
    private var bodyLength: Int?
    private var hasRequestEnded = true

    /// Writes are split into pieces of this size, to see how they progress.
    private static let pieceBytes = 64 << 10

    /// The socket's send buffer: at 100 ms to the client and back still some megabytes a second.
    private static let kernelBytes: SocketOptionValue = 256 << 10

    init(_ limits: Limits) { self.limits = limits }

    package func handlerAdded(context: ChannelHandlerContext) {
        schedule(context, limits.head)
        let half = TimeAmount.nanoseconds(max(1_000_000, limits.period.nanoseconds / 2))
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        check = context.eventLoop.scheduleRepeatedTask(initialDelay: half, delay: half) { _ in
            let (handler, context) = bound.value
            handler.checkRates(context)
        }
        // The kernel would grow it to megabytes a connection.
        context.channel.setOption(.socketOption(.so_sndbuf), value: Self.kernelBytes)
            .whenFailure { _ in }
        // The request's target and Host fields are only seen whole before they become HTTP types.
        if let decoder = try? context.pipeline.syncOperations.handler(
            type: ByteToMessageHandler<HTTPRequestDecoder>.self)
        {
            try? context.pipeline.syncOperations.addHandler(
                HostFieldCheck(), position: .after(decoder))
        }
    }

    package func handlerRemoved(context: ChannelHandlerContext) { cancel() }

    package func channelInactive(context: ChannelHandlerContext) {
        cancel()
        context.fireChannelInactive()
    }

    private func cancel() {
        deadline?.cancel()
        check?.cancel()
        (deadline, check) = (nil, nil)
    }

    private func checkRates(_ context: ChannelHandlerContext) {
        if received.isTooSlow(limits) || sent.isTooSlow(limits) { context.close(promise: nil) }
    }

    private func schedule(_ context: ChannelHandlerContext, _ time: TimeAmount) {
        deadline?.cancel()
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    // MARK: Requests

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            hasRequestEnded = false
            bodyLength = head.headerFields[.contentLength].flatMap { Int($0) }
            if bodyLength == nil, head.headerFields[.transferEncoding] == nil { bodyLength = 0 }
            received.start()
            schedule(context, limits.body)
        case .body(let part):
            received.bytes += part.readableBytes
            bodyLength = bodyLength.map { $0 - part.readableBytes }
            if isDraining {
                drainedBytes += part.readableBytes
                if drainedBytes > limits.drainedBytes { context.close(promise: nil) }
                return
            }
        case .end:
            hasRequestEnded = true
            received.begin = nil
            if isDraining {
                isDraining = false
                if closesAfterDrain {
                    context.close(promise: nil)
                    return
                }
                schedule(context, limits.head)
            } else {
                schedule(context, limits.response)
            }
        }
        context.fireChannelRead(data)
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if isDraining { context.read() }
    }

    // MARK: Responses

    package func write(
        context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
    ) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            if !hasRequestEnded, bodyLength.map({ $0 > limits.drainedBytes }) ?? true {
                head.headerFields[.connection] = "close"
                closesAfterDrain = true
            }
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .body(var rest):
            while let piece = rest.readSlice(length: min(Self.pieceBytes, rest.readableBytes)),
                piece.readableBytes > 0
            {
                write(piece, context, rest.readableBytes == 0 ? promise : nil)
            }
        case .end:
            context.write(data, promise: promise)
            if hasRequestEnded {
                schedule(context, limits.head)
            } else {
                isDraining = true
                drainedBytes = 0
                schedule(context, limits.drain)
                context.read()
            }
        }
    }

    private func write(
        _ piece: ByteBuffer, _ context: ChannelHandlerContext, _ promise: EventLoopPromise<Void>?
    ) {
        let count = piece.readableBytes
        if unsentBytes == 0 { sent.start() }
        unsentBytes += count
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { [self] _ in
            unsentBytes -= count
            sent.bytes += count
            if unsentBytes == 0 { sent.begin = nil }
        }
        context.write(wrapOutboundOut(.body(piece)), promise: promise)
    }

    package func close(
        context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?
    ) {
        if mode == .output { closesAfterDrain = true }
        context.close(mode: mode, promise: promise)
    }
}

/// Answers 400 to a request with two `Host` fields, or whose target is a whole address of another host
/// than `Host` names (RFC 9112, 3.2): software in front of the site may have gone by the other one.
private final class HostFieldCheck: ChannelInboundHandler {
    package typealias InboundIn = HTTPServerRequestPart
    private var hasFailed = false

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head(let head) = unwrapInboundIn(data), !Self.isConsistent(head) {
            hasFailed = true
            context.fireErrorCaught(HTTPParserError.invalidHeaderToken)
        }
        if !hasFailed { context.fireChannelRead(data) }
    }

    private static func isConsistent(_ head: HTTPRequestHead) -> Bool {
        let hosts = head.headers["Host"]
        guard hosts.count < 2 else { return false }
        guard !head.uri.hasPrefix("/"), let scheme = head.uri.firstRange(of: "://") else {
            return true
        }
        let authority = head.uri[scheme.upperBound...].prefix { !"/?#".contains($0) }
        return hosts.first?.lowercased() == authority.lowercased()
    }
}
