// The sending half of a link: messages waiting, frames in flight over one or several paths, what to
// send again and when.
//
// A frame is lost when frames sent over the same path some transmissions later have arrived (RFC
// 5681's three duplicate acknowledgements, counted in transmissions as RACK, RFC 8985, does with
// times: that finds lost retransmissions, too), or when nothing came back over its path for a
// retransmission timeout. Where frames overtake each other, more transmissions are waited for.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dpdk_transport/core/link_timing.hpp"
#include "dpdk_transport/core/round_trip.hpp"
#include "dpdk_transport/core/send_queue.hpp"

namespace vsmp::fabric {

class SendWindow {
  public:
    SendWindow(const LinkTiming& timing, std::size_t paths);

    // False: queue_limit reached, nothing was taken.
    bool push(Channel channel, ByteView head, ByteView body);
    void clear();
    std::size_t waiting() const { return queue_.size(); }

    // The peer lets sequences below this be sent.
    void grant(std::uint32_t limit);

    struct Frame {
        std::uint32_t sequence = 0;
        std::uint16_t order = 0, behind = 0;
        SendQueue::Segment segment;
        ByteView payload;  // valid until acknowledge() or clear()
        bool again = false;
    };
    // What may go on the wire now, new segments of at most `largest` bytes: first what is lost.
    std::optional<Frame> next(std::size_t largest) const;
    // The frame that next() shows has been handed to the port.
    void transmitted(const Frame& frame, std::size_t path, Instant now);

    enum class Ack : std::uint8_t { progress, nothing_new, impossible };
    // `impossible`: acknowledges what was never sent; nothing was changed. `held_back`: for how
    // long the peer waited with it.
    Ack acknowledge(std::uint32_t acknowledged, std::uint64_t selective, Duration held_back,
                    Instant now);
    // Declares the oldest frame of a path lost when its timeout is over.
    void tick(Instant now);
    std::optional<Instant> next_timeout() const;

    // What is in flight over this path is lost, the others have to carry it.
    void abandon(std::size_t path, Instant now);
    // It has shown a sign of life.
    void forgive(std::size_t path) { paths_[path].timeouts = 0; }
    struct PathUse {
        explicit PathUse(const LinkTiming& timing) : round_trip(timing) {}
        RoundTrip round_trip;
        std::size_t in_flight = 0;
        std::uint64_t transmissions = 0;
        std::uint64_t newest_arrived = 0;  // the count of transmissions when it was sent
        std::size_t timeouts = 0;          // since the last progress
        Instant timer_start{}, last_progress{};
    };
    const PathUse& path(std::size_t index) const { return paths_[index]; }
    void sample(std::size_t path, Duration round_trip) {
        paths_[path].round_trip.sample(round_trip, Duration::zero());
    }

    bool in_flight() const { return next_ != first_; }
    // Since the last progress, or since something is in flight.
    std::optional<Instant> stuck_since() const;
    std::size_t timeouts_in_a_row() const { return timeouts_in_a_row_; }
    std::uint64_t retransmissions() const { return retransmissions_; }

  private:
    enum class State : std::uint8_t { flying, lost, arrived };
    enum class Cause : std::uint8_t { overtaken, other };  // of being lost
    struct InFlight {
        SendQueue::Segment segment;
        std::uint16_t order = 0, behind = 0;
        State state = State::flying;
        Cause cause = Cause::other;
        std::uint8_t path = 0;
        std::uint32_t times_sent = 0;
        std::uint64_t transmission = 0;  // which of its path
        Instant sent_at{};
    };
    // What one acknowledgement is news of.
    struct News {
        std::optional<InFlight> sample;  // newest of those sent once
        std::uint32_t count = 0;
        bool filled_gap = false;  // then others may have arrived long before
    };

    InFlight& at(std::uint32_t sequence) { return ring_[sequence & (ring_.size() - 1)]; }
    const InFlight& at(std::uint32_t sequence) const {
        return ring_[sequence & (ring_.size() - 1)];
    }
    std::size_t room() const;
    void lose(std::uint32_t sequence, Cause cause);
    void arrived(InFlight& frame, Instant now, News& news);
    void retransmission_was_needless(const InFlight& frame);
    void take_news(const News& news, Duration held_back, Instant now);
    void find_lost();

    LinkTiming timing_;
    SendQueue queue_;
    std::vector<InFlight> ring_;
    std::vector<PathUse> paths_;
    std::uint32_t first_ = 0, next_ = 0;  // sequences: oldest in flight, first never sent
    std::uint32_t limit_ = 0;             // first sequence that the peer does not grant
    std::array<std::uint16_t, kStreams> order_{};
    std::size_t lost_ = 0;         // how many in flight are lost
    std::uint32_t lost_from_ = 0;  // none before this sequence is
    std::uint64_t tolerance_;      // transmissions by which frames overtake each other
    std::uint32_t calm_ = 0;       // arrivals since tolerance_ changed
    Instant last_progress_{};
    std::size_t timeouts_in_a_row_ = 0;
    std::uint64_t retransmissions_ = 0;
};

}  // namespace vsmp::fabric
