#include "dpdk_transport/core/streams.hpp"

#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {

bool Streams::waits_for_node(Stream stream, std::uint16_t behind) const {
    return stream != Stream::node && order_distance(state(Stream::node).next, behind) > 0;
}

std::optional<Streams::Place> Streams::place(const FrameHeader& header) const {
    const Stream stream = stream_of(header.channel);
    const State& at = state(stream);
    const auto window = static_cast<std::int32_t>(window_);
    const std::int32_t ahead = order_distance(at.next, header.order);
    if (ahead < 0 || ahead >= window) return std::nullopt;
    if (!at.held.empty() && at.held[header.order & (window_ - 1)].present) return std::nullopt;
    if (stream == Stream::node) {  // it is behind itself, by its order
        if (header.behind != 0) return std::nullopt;
        return Place{stream, ahead == 0};
    }
    const std::int32_t behind = order_distance(state(Stream::node).next, header.behind);
    if (behind > window || behind < -2 * window) return std::nullopt;
    return Place{stream, ahead == 0 && behind <= 0};
}

void Streams::accept(const Place& place, const FrameHeader& header, ByteView payload,
                     const Deliver& deliver) {
    State& at = state(place.stream);
    if (!place.is_next) return hold(at, header, payload);
    consume(at, header.channel, header.offset, header.total, payload, deliver);
    while (held_back_ > 0) {
        bool any = false;
        for (std::size_t i = 0; i < kStreams; ++i)
            any = drain(static_cast<Stream>(i), deliver) || any;
        if (!any) break;
    }
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
        hand_over(channel, payload, deliver);
        return;
    }
    at.assembled.insert(at.assembled.end(), payload.begin(), payload.end());
    if (at.assembled.size() < total) return;
    hand_over(channel, at.assembled, deliver);
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
