// The sending half of a link: messages waiting, messages in flight, what to send again and when.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "dpdk_transport/core/link_timing.hpp"
#include "dpdk_transport/core/round_trip.hpp"
#include "dpdk_transport/fabric.hpp"
#include "proto/bytes.hpp"

namespace vsmp::fabric {

class SendWindow {
  public:
    explicit SendWindow(const LinkTiming& timing);

    // False: queue_limit reached, nothing was taken.
    bool push(Channel channel, ByteView head, ByteView body);
    void clear();

    struct Frame {
        std::uint32_t sequence = 0;
        Channel channel{};
        ByteView payload;  // valid until acknowledge() or clear()
    };
    // What may go on the wire now: first what is lost, then what is new and fits the window.
    std::optional<Frame> next() const;
    // The frame that next() shows has been handed to the port.
    void transmitted(Instant now);

    enum class Ack : std::uint8_t { progress, nothing_new, impossible };
    // `impossible`: acknowledges what was never sent; nothing was changed.
    Ack acknowledge(std::uint32_t acknowledged, std::uint64_t selective, Instant now);
    // Declares the oldest frame lost when its timeout is over.
    void tick(Instant now);

    std::optional<Instant> next_timeout() const;
    bool in_flight() const { return sent_ > 0; }
    bool sendable() const { return next_index().has_value(); }
    std::size_t waiting() const { return messages_.size() - sent_; }
    // Since the last progress, or since something is in flight.
    std::optional<Instant> stuck_since() const;
    std::size_t timeouts_in_a_row() const { return timeouts_in_a_row_; }
    std::uint64_t retransmissions() const { return retransmissions_; }

  private:
    struct Message {
        Channel channel{};
        std::vector<std::byte> payload;
        Instant sent_at{};
        std::uint64_t order = 0;  // of its last transmission among all transmissions
        std::uint32_t transmissions = 0;
        bool arrived = false;  // selectively acknowledged
        bool lost = false;     // to be sent again
    };

    std::optional<std::size_t> next_index() const;
    std::optional<std::size_t> oldest_missing() const;
    // Newest order among what one acknowledgement is news of; 0: none.
    struct Arrivals {
        std::uint64_t first_time = 0, again = 0;  // sent once; sent again
    };
    void arrived(Message& message, Instant now, Arrivals& arrivals);
    void drop_front();
    void find_lost();

    LinkTiming timing_;
    RoundTrip round_trip_;
    std::deque<Message> messages_;  // [0, sent_) in flight, the rest waiting
    std::size_t sent_ = 0;
    std::size_t lost_ = 0;     // how many in flight are marked lost
    std::uint32_t first_ = 0;  // sequence of messages_[0]
    std::uint64_t next_order_ = 0;
    std::uint64_t newest_arrived_order_ = 0;
    Instant timer_start_{};
    Instant last_progress_{};
    std::size_t timeouts_in_a_row_ = 0;
    std::uint64_t retransmissions_ = 0;
    std::vector<std::vector<std::byte>> spare_;  // buffers to use again
};

}  // namespace vsmp::fabric
