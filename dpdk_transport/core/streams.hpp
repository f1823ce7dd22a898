// Puts the frames of a peer in order within their streams, and segments together. What can be
// delivered is, straight from the port's buffer; the rest is copied and held back.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/stream.hpp"
#include "proto/function_ref.hpp"

namespace vsmp::fabric {

class Streams {
  public:
    using Deliver = FunctionRef<void(Channel channel, ByteView payload)>;

    // At most `window` frames of one stream are held back.
    explicit Streams(std::size_t window) : window_(window) {}

    // Whether a data frame that has not arrived before can be what a correct peer sends.
    bool plausible(const FrameHeader& header) const;

    enum class Outcome : std::uint8_t { delivered, held_back };
    // A plausible frame.
    Outcome accept(const FrameHeader& header, ByteView payload, const Deliver& deliver);

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
    bool drain(Stream stream, const Deliver& deliver);

    std::size_t window_;
    std::array<State, kStreams> states_;
    std::size_t held_back_ = 0;
    std::uint64_t broken_ = 0;
};

}  // namespace vsmp::fabric
