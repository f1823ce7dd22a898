#include "test/bench/stream/raw_pages.hpp"

#include <sched.h>

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

// A frame of this job, with a header as long as the fabric's.
class RawFrame {
  public:
    RawFrame(const fabric::MacAddress& from, std::uint64_t job, std::size_t pages)
        : job_(job), body_(pages * kPageSize, std::byte{0x5a}) {
        ByteWriter writer{header_};
        for (std::uint8_t octet : fabric::kBroadcastMac.octets) writer.write(octet);
        for (std::uint8_t octet : from.octets) writer.write(octet);
        writer.write(static_cast<std::uint8_t>(fabric::kEtherType >> 8));
        writer.write(static_cast<std::uint8_t>(fabric::kEtherType & 0xff));
        writer.write(std::uint8_t{0});  // no version of the fabric's
        writer.write(job);
    }
    bool queue(fabric::Port& port) const { return port.queue(header_, body_); }
    // Whether it is of this job, from the other end.
    bool matches(ByteView frame) const {
        ByteReader reader{frame};
        reader.take(fabric::kEthernetHeaderSize);
        return reader.read<std::uint8_t>() == 0 && reader.read<std::uint64_t>() == job_ &&
               reader.ok();
    }

  private:
    std::uint64_t job_;
    std::array<std::byte, fabric::kHeaderSize> header_{};
    std::vector<std::byte> body_;
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
                    const RawFrame& frame) {
    const std::uint64_t frames = job.pages / job.pages_per_frame;
    std::atomic<std::uint64_t>& arrived = meeting.shared().received;
    std::uint64_t sent = 0, answered = 0, lost = 0, known = 0;
    Instant progress = monotonic_now();
    Patience patience;
    while (known < frames) {
        while (sent - lost < frames && sent - lost - known < kAhead && frame.queue(port)) ++sent;
        port.flush();
        const std::size_t got = port.receive([&](ByteView bytes) {
            answered += job.direction == Direction::both_ways && frame.matches(bytes);
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
        if (now - progress > kLost && known < frames) {
            lost = sent - known;  // whatever was under way
            progress = now;
        }
    }
    return {};
}

// End 1: counts, and answers if asked to.
Result<> take_pages(fabric::Port& port, fabric::Meeting& meeting, const RawPagesJob& job,
                    const RawFrame& frame) {
    std::uint64_t arrived = 0, to_answer = 0;
    Patience patience;
    Instant progress = monotonic_now();
    while (meeting.shared().done == 0) {
        const std::size_t got = port.receive([&](ByteView bytes) {
            if (!frame.matches(bytes)) return;
            ++arrived;
            to_answer += job.direction == Direction::both_ways;
        });
        while (to_answer > 0 && frame.queue(port)) --to_answer;
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
    const RawFrame frame{port.mac(), meeting.job(), job.pages_per_frame};
    const Instant begin = monotonic_now();
    if (meeting.self() == 0) {
        const Result<> sent = send_pages(port, meeting, job, frame);
        meeting.shared().done = 1;
        if (!sent) return sent.error();
    } else {
        VSMP_TRY(take_pages(port, meeting, job, frame));
    }
    return monotonic_now() - begin;
}

}  // namespace vsmp::bench
