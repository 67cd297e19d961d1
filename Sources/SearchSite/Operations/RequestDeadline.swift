import NIOCore
import NIOHTTPTypes

/// Ends connections whose visitor takes too long to send a request or to take the answer, however
/// steadily the bytes drip: a few slow clients must not hold what others need.
final class RequestDeadline: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    struct Limits: Sendable {
        /// From the connection's beginning, or the end of the answer before, to the request's head.
        var head = TimeAmount.seconds(30)
        /// From the head to the end of the body.
        var body = TimeAmount.seconds(60)
        /// From the request's end to the answer's.
        var answer = TimeAmount.seconds(600)
    }

    private let limits: Limits
    private var deadline: Scheduled<Void>?

    init(_ limits: Limits) { self.limits = limits }

    func handlerAdded(context: ChannelHandlerContext) {
        schedule(context, limits.head)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        deadline = nil
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: schedule(context, limits.body)
        case .end: schedule(context, limits.answer)
        case .body: break
        }
        context.fireChannelRead(data)
    }

    func write(
        context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?
    ) {
        if case .end = unwrapOutboundIn(data) { schedule(context, limits.head) }
        context.write(data, promise: promise)
    }

    private func schedule(_ context: ChannelHandlerContext, _ time: TimeAmount) {
        deadline?.cancel()
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }
}
