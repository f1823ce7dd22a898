#include "dpdk_transport/core/streams.hpp"

#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {

bool Streams::waits_for_node(Stream stream, std::uint16_t behind) const {
    return stream != Stream::node && order_distance(state(Stream::node).next, behind) > 0;
}

bool Streams::plausible(const FrameHeader& header) const {
    const Stream stream = stream_of(header.channel);
    const State& at = state(stream);
    const auto window = static_cast<std::int32_t>(window_);
    const std::int32_t ahead = order_distance(at.next, header.order);
    if (ahead < 0 || ahead >= window) return false;
    if (!at.held.empty() && at.held[header.order & (window_ - 1)].present) return false;
    if (stream == Stream::node) return header.behind == 0;  // it is behind itself, by its order
    const std::int32_t behind = order_distance(state(Stream::node).next, header.behind);
    return behind <= window && behind >= -2 * window;
}

Streams::Outcome Streams::accept(const FrameHeader& header, ByteView payload,
                                 const Deliver& deliver) {
    const Stream stream = stream_of(header.channel);
    State& at = state(stream);
    if (header.order != at.next || waits_for_node(stream, header.behind)) {
        hold(at, header, payload);
        return Outcome::held_back;
    }
    consume(at, header.channel, header.offset, header.total, payload, deliver);
    while (held_back_ > 0) {
        bool any = false;
        for (std::size_t i = 0; i < kStreams; ++i)
            any = drain(static_cast<Stream>(i), deliver) || any;
        if (!any) break;
    }
    return Outcome::delivered;
}

void Streams::hold(State& at, const FrameHeader& header, ByteView payload) {
    if (at.held.empty()) at.held.resize(window_);
    Held& held = at.held[header.order & (window_ - 1)];
    held.present = true;
    held.channel = header.channel;
    held.behind = header.behind;
    held.offset = header.offset;
    held.total = header.total;
    held.payload.assign(payload.begin(), payload.end());
    ++at.held_back;
    ++held_back_;
}

void Streams::consume(State& at, Channel channel, std::size_t offset, std::size_t total,
                      ByteView payload, const Deliver& deliver) {
    ++at.next;
    if (offset != at.assembled.size()) {
        ++broken_;
        at.assembled.clear();
        return;
    }
    if (payload.size() == total) {
        deliver(channel, payload);
        return;
    }
    at.assembled.insert(at.assembled.end(), payload.begin(), payload.end());
    if (at.assembled.size() < total) return;
    deliver(channel, at.assembled);
    at.assembled.clear();
}

bool Streams::drain(Stream stream, const Deliver& deliver) {
    State& at = state(stream);
    bool any = false;
    while (at.held_back > 0) {
        Held& held = at.held[at.next & (window_ - 1)];
        if (!held.present || waits_for_node(stream, held.behind)) break;
        held.present = false;
        --at.held_back;
        --held_back_;
        consume(at, held.channel, held.offset, held.total, held.payload, deliver);
        any = true;
    }
    return any;
}

}  // namespace vsmp::fabric
