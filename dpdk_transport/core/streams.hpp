// Puts the frames of a peer in order within their streams, and segments together. What can be
// delivered is, straight from the port's buffer; the rest is copied and held back.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/stream.hpp"

namespace vsmp::fabric {

class Streams {
  public:
    using Deliver = Fabric::Deliver;

    // Of the peer `from`. At most `window` frames of one stream are held back.
    Streams(NodeId from, std::size_t window) : from_(from), window_(window) {}

    struct Place {
        Stream stream{};
        bool is_next = false;  // else it is held back
    };
    // Of a data frame that has not arrived before; nothing when no correct peer sends it.
    std::optional<Place> place(const FrameHeader& header) const;
    void accept(const Place& place, const FrameHeader& header, ByteView payload,
                const Deliver& deliver);

    std::uint64_t delivered() const { return delivered_; }
    std::size_t held_back() const { return held_back_; }
    // Messages whose segments did not fit together; only a forger makes them.
    std::uint64_t broken() const { return broken_; }

  private:
    struct Held {
        bool present = false;
        Channel channel{};
        std::uint16_t behind = 0, offset = 0, total = 0;
        std::vector<std::byte> payload;
    };
    struct State {
        std::uint16_t next = 0;  // order that is to be delivered
        std::size_t held_back = 0;
        std::vector<Held> held;            // by order modulo the window; empty until needed
        std::vector<std::byte> assembled;  // the segments so far of a message
    };

    State& state(Stream stream) { return states_[static_cast<std::size_t>(stream)]; }
    const State& state(Stream stream) const { return states_[static_cast<std::size_t>(stream)]; }
    bool waits_for_node(Stream stream, std::uint16_t behind) const;
    void hold(State& at, const FrameHeader& header, ByteView payload);
    void consume(State& at, Channel channel, std::size_t offset, std::size_t total,
                 ByteView payload, const Deliver& deliver);
    void hand_over(Channel channel, ByteView message, const Deliver& deliver) {
        ++delivered_;
        deliver(from_, channel, message);
    }
    bool drain(Stream stream, const Deliver& deliver);

    NodeId from_;
    std::size_t window_;
    std::uint64_t delivered_ = 0;
    std::array<State, kStreams> states_;
    std::size_t held_back_ = 0;
    std::uint64_t broken_ = 0;
};

}  // namespace vsmp::fabric
