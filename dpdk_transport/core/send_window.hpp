// The sending half of a link: messages waiting, frames in flight over one or several paths, what to
// send again and when: RACK-TLP (RFC 8985), in reordering.hpp and round_trip.hpp. A frame is lost
// when what was sent later over the same path has arrived, or when nothing came back over its path
// for a timeout, which sends the oldest transmission again as a probe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "dpdk_transport/core/acknowledgement.hpp"
#include "dpdk_transport/core/link_timing.hpp"
#include "dpdk_transport/core/reordering.hpp"
#include "dpdk_transport/core/round_trip.hpp"
#include "dpdk_transport/core/send_queue.hpp"
#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {

class SendWindow {
  public:
    SendWindow(const LinkTiming& timing, std::size_t paths, FrameStore* store);

    // As in SendQueue. False: queue_limit reached, nothing was taken.
    bool push(Channel channel, ByteView head, ByteView body) {
        return queue_.push(channel, head, body);
    }
    bool push(Channel channel, KeptFrame message, std::size_t size) {
        return queue_.push(channel, std::move(message), size);
    }
    void clear();
    std::size_t waiting() const { return queue_.size(); }

    // The peer lets sequences below this be sent.
    void grant(std::uint32_t limit);

    struct Frame {
        std::uint32_t sequence = 0;
        std::uint16_t order = 0, behind = 0;
        bool again = false;
        // Valid until acknowledge() or clear():
        const SendQueue::Segment* segment = nullptr;
        const KeptFrame* kept = nullptr;  // has the payload and nothing else; null: it is elsewhere
    };
    // What may go on the wire now, new segments of at most `largest` bytes: first what is lost.
    // False: nothing.
    bool next(std::size_t largest, Frame& frame);
    ByteView payload(const Frame& frame) const { return queue_.bytes(*frame.segment); }
    bool repeats() const { return lost_ > 0; }
    bool has_next() const { return lost_ > 0 || queue_.has_next(admit()); }
    // The frame that next() shows has been handed to the port.
    void transmitted(const Frame& frame, std::size_t path, Instant now);

    enum class Verdict : std::uint8_t {
        news,
        nothing_new,
        impossible,  // acknowledges what was never sent
    };
    Verdict judge(const Acknowledgement& told) const;
    // That everything below has arrived is no news.
    bool knows(std::uint32_t below) const { return sequence_distance(first_, below) <= 0; }
    // What was judged to be news, and came at `now`.
    void acknowledge(const Acknowledgement& told, Instant now);
    // Finds what is lost as time passes.
    void tick(Instant now);
    std::optional<Instant> next_timeout() const;

    // What is in flight over this path is lost, the others have to carry it.
    void abandon(std::size_t path, Instant now);
    // It has shown a sign of life.
    void forgive(std::size_t path) { paths_[path].timeouts = 0; }
    struct PathUse {
        explicit PathUse(const LinkTiming& timing) : round_trip(timing) {}
        RoundTrip round_trip;
        Reordering reordering;
        std::size_t in_flight = 0, asked = 0;  // of them, those that want an answer at once
        std::size_t timeouts = 0;              // since the last progress
        Instant timer_start{}, last_progress{};

        AckUrgency urgency() const { return asked > 0 ? AckUrgency::now : AckUrgency::may_wait; }
        Instant timeout_at() const { return timer_start + round_trip.timeout(urgency()); }
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
    // Of those, what the peer had already.
    std::uint64_t needless() const { return needless_; }

  private:
    enum class State : std::uint8_t { flying, lost, arrived };
    enum class Cause : std::uint8_t { overtaken, timeout, moved };  // of being lost
    enum class Answer : std::uint8_t { prompt, odd };  // to a retransmission: perhaps to another
    struct InFlight {
        SendQueue::Segment segment;
        std::uint16_t order = 0, behind = 0;
        State state = State::flying;
        Cause cause = Cause::moved;
        Answer answer = Answer::prompt;
        std::uint8_t path = 0;
        std::uint32_t times_sent = 0;
        bool was_needless = false;
        Transmission sent;
    };
    // What one acknowledgement is news of.
    struct News {
        const InFlight* sample = nullptr;  // newest of those sent once
        std::uint32_t count = 0;
        bool filled_gap = false;  // then others may have arrived long before
        AckScope scope{};
    };

    InFlight& at(std::uint32_t sequence) { return ring_[sequence & (timing_.window - 1)]; }
    const InFlight& at(std::uint32_t sequence) const {
        return ring_[sequence & (timing_.window - 1)];
    }
    std::size_t room() const;
    SendQueue::Admit admit() const;
    void show(const InFlight& what, Frame& frame) const;
    bool possible(const Acknowledgement& told) const;
    void leave_flight(const InFlight& frame);
    void lose(std::uint32_t sequence, Cause cause);
    void arrived(InFlight& frame, Instant now, News& news);
    void came_again(std::uint16_t low_bits);
    void take_news(const News& news, Duration held_back, Instant now);
    void find_lost(Instant now);
    void time_out(std::size_t path, Instant now);

    LinkTiming timing_;
    SendQueue queue_;
    std::vector<InFlight> ring_;
    std::vector<PathUse> paths_;
    std::uint32_t first_ = 0, next_ = 0;  // sequences: oldest in flight, first never sent
    std::uint32_t limit_ = 0;             // first sequence that the peer does not grant
    std::array<std::uint16_t, kStreams> order_{};
    std::size_t flight_;                      // most frames in flight now
    std::size_t flying_ = 0;                  // over all paths
    std::size_t lost_ = 0;                    // how many in flight are lost
    std::uint32_t lost_from_ = 0;             // none before this sequence is
    std::optional<Instant> overtaken_until_;  // when more of what was overtaken is lost
    Instant last_progress_{};
    std::size_t timeouts_in_a_row_ = 0;
    std::uint64_t retransmissions_ = 0, needless_ = 0;
};

}  // namespace vsmp::fabric
