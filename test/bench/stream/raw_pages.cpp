#include "test/bench/stream/raw_pages.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <vector>

#include "dpdk_transport/core/frame.hpp"
#include "proto/ids.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kAhead = 192;  // frames, half of a port's receive ring
constexpr std::size_t kPollsBeforeYield = 64;
constexpr Duration kLost = 20ms, kGiveUp = 20s;

// Pages of a memory, one frame's after the other's.
class Pages {
  public:
    Pages(std::span<std::byte> memory, std::size_t bytes_per_frame)
        : memory_(memory), step_(bytes_per_frame) {
        VSMP_CHECK(memory.size() % step_ == 0, "memory of whole frames");
    }
    std::span<std::byte> current() const { return memory_.subspan(at_, step_); }
    void advance() { at_ = (at_ + step_) % memory_.size(); }

  private:
    std::span<std::byte> memory_;
    std::size_t step_, at_ = 0;
};

// Frames of this job, with a header as long as the fabric's.
class RawFrames {
  public:
    RawFrames(const fabric::MacAddress& from, std::uint64_t job, const RawPagesJob& what)
        : job_(job),
          stores_(!what.memory.empty()),
          same_(what.pages_per_frame * kPageSize, std::byte{0x5a}),
          from_(stores_ ? what.memory : std::span{same_}, same_.size()),
          into_(from_) {
        ByteWriter writer{header_};
        for (std::uint8_t octet : fabric::kBroadcastMac.octets) writer.write(octet);
        for (std::uint8_t octet : from.octets) writer.write(octet);
        writer.write(static_cast<std::uint8_t>(fabric::kEtherType >> 8));
        writer.write(static_cast<std::uint8_t>(fabric::kEtherType & 0xff));
        writer.write(std::uint8_t{0});  // no version of the fabric's
        writer.write(job);
    }
    bool queue(fabric::Port& port) {
        if (!port.queue_copy(header_, from_.current())) return false;
        from_.advance();
        return true;
    }
    // Whether it is of this job, from the other end; then its pages are stored.
    bool take(ByteView frame) {
        ByteReader reader{frame};
        reader.take(fabric::kEthernetHeaderSize);
        if (reader.read<std::uint8_t>() != 0 || reader.read<std::uint64_t>() != job_ ||
            !reader.ok() || frame.size() < header_.size() + same_.size())
            return false;
        if (!stores_) return true;
        std::ranges::copy(frame.subspan(header_.size(), same_.size()), into_.current().begin());
        into_.advance();
        return true;
    }

  private:
    std::uint64_t job_;
    bool stores_;
    std::array<std::byte, fabric::kHeaderSize> header_{};
    std::vector<std::byte> same_;
    Pages from_, into_;
};

// Gives the CPU away when nothing came for some polls: there are more processes than CPUs.
class Patience {
  public:
    void something_came() { polls_ = 0; }
    void nothing_came() {
        if (++polls_ % kPollsBeforeYield == 0) ::sched_yield();
    }

  private:
    std::size_t polls_ = 0;
};

// End 0: sends, and counts what is known to have arrived.
Result<> send_pages(fabric::Port& port, fabric::Meeting& meeting, const RawPagesJob& job,
                    RawFrames& frames) {
    const std::uint64_t total = job.pages / job.pages_per_frame;
    std::atomic<std::uint64_t>& arrived = meeting.shared().received;
    std::uint64_t sent = 0, answered = 0, lost = 0, known = 0;
    Instant progress = monotonic_now();
    Patience patience;
    while (known < total) {
        while (sent - lost < total && sent - lost - known < kAhead && frames.queue(port)) ++sent;
        port.flush();
        const std::size_t got = port.receive([&](ByteView bytes) {
            answered += job.direction == Direction::both_ways && frames.take(bytes);
        });
        const std::uint64_t now_known =
            job.direction == Direction::both_ways ? answered : arrived.load();
        if (now_known != known || got > 0) {
            known = now_known;
            patience.something_came();
            progress = monotonic_now();
            continue;
        }
        patience.nothing_came();
        const Instant now = monotonic_now();
        if (now - progress > kGiveUp) return Error{port.name() + ": nothing arrives"};
        if (now - progress > kLost && known < total) {
            lost = sent - known;  // whatever was under way
            progress = now;
        }
    }
    return {};
}

// End 1: counts, and answers if asked to.
Result<> take_pages(fabric::Port& port, fabric::Meeting& meeting, const RawPagesJob& job,
                    RawFrames& frames) {
    std::uint64_t arrived = 0, to_answer = 0;
    Patience patience;
    Instant progress = monotonic_now();
    while (meeting.shared().done == 0) {
        const std::size_t got = port.receive([&](ByteView bytes) {
            if (!frames.take(bytes)) return;
            ++arrived;
            to_answer += job.direction == Direction::both_ways;
        });
        while (to_answer > 0 && frames.queue(port)) --to_answer;
        port.flush();
        if (got > 0) {
            meeting.shared().received = arrived;
            patience.something_came();
            progress = monotonic_now();
        } else {
            patience.nothing_came();
            if (monotonic_now() - progress > kGiveUp) return Error{port.name() + ": nothing came"};
        }
    }
    return {};
}

}  // namespace

Result<Duration> move_raw_pages(fabric::Port& port, fabric::Meeting& meeting,
                                const RawPagesJob& job) {
    VSMP_TRY(meeting.begin_job());
    RawFrames frames{port.mac(), meeting.job(), job};
    const Instant begin = monotonic_now();
    if (meeting.self() == 0) {
        const Result<> sent = send_pages(port, meeting, job, frames);
        meeting.shared().done = 1;
        if (!sent) return sent.error();
    } else {
        VSMP_TRY(take_pages(port, meeting, job, frames));
    }
    return monotonic_now() - begin;
}

}  // namespace vsmp::bench
