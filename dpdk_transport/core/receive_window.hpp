// The receiving half of a link: puts messages in order, each once.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "dpdk_transport/fabric.hpp"
#include "proto/bytes.hpp"

namespace vsmp::fabric {

class ReceiveWindow {
  public:
    using Deliver = std::function<void(Channel channel, ByteView payload)>;

    // Holds at most `size` messages back, a power of two, at least the peer's send window.
    explicit ReceiveWindow(std::size_t size);

    enum class Outcome : std::uint8_t {
        delivered,  // it and what it unblocked
        held_back,  // something before it is missing
        duplicate,
        outside,  // beyond the window: the peer breaks the protocol
    };
    Outcome accept(std::uint32_t sequence, Channel channel, ByteView payload,
                   const Deliver& deliver);

    std::uint32_t acknowledged() const { return next_; }
    std::uint64_t selective() const;
    std::size_t held_back() const { return held_count_; }

  private:
    struct Held {
        Channel channel{};
        bool present = false;
        std::vector<std::byte> payload;
    };
    Held& slot(std::uint32_t sequence) { return held_[sequence & (held_.size() - 1)]; }
    const Held& slot(std::uint32_t sequence) const { return held_[sequence & (held_.size() - 1)]; }

    std::vector<Held> held_;
    std::size_t held_count_ = 0;
    std::uint32_t next_ = 0;  // first sequence not delivered yet
};

}  // namespace vsmp::fabric
