#include "dpdk_transport/bench/measure.hpp"

#include <poll.h>
#include <time.h>

#include <cstring>
#include <thread>

#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

constexpr Duration kResend = 200ms, kGiveUp = 10s;
// How many polls come between two looks at a clock or at the other end's flags.
constexpr std::size_t kLookEvery = 64;

Duration thread_cpu() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

class Message {
  public:
    Message(std::size_t size, std::uint64_t job) : bytes_(size) {
        VSMP_CHECK(size >= kHeader, "message size");
        std::memcpy(bytes_.data() + sizeof job, &job, sizeof job);
    }
    ByteView with(std::uint64_t sequence) {
        std::memcpy(bytes_.data(), &sequence, sizeof sequence);
        return bytes_;
    }
    // Nothing for a straggler of an earlier job. Whoever sent it is this program on this machine.
    static std::optional<std::uint64_t> sequence(ByteView message, std::uint64_t job) {
        std::uint64_t values[2];
        static_assert(sizeof values == kHeader);
        if (message.size() < kHeader) return std::nullopt;
        std::memcpy(values, message.data(), kHeader);
        if (values[1] != job) return std::nullopt;
        return values[0];
    }

  private:
    static constexpr std::size_t kHeader = 16;
    std::vector<std::byte> bytes_;
};

// Polls for a while, then sleeps in the kernel until something may have arrived.
class Waiter {
  public:
    Waiter(Wire& wire, Duration spin) : wire_(wire), spin_(spin) {}

    void something_came() { idle_ = false; }
    // Sleeps 50 ms at most, so that flags outside the wire are seen.
    void nothing_came() {
        if (spin_ == kNeverSleep) return;
        const Instant now = monotonic_now();
        if (!idle_) since_ = now;
        idle_ = true;
        if (now - since_ < spin_) return;
        Duration left = 50ms;
        if (const auto deadline = wire_.next_deadline()) left = std::min(left, *deadline - now);
        if (left <= Duration::zero() || !wire_.arm_wakeup()) return;
        timespec timeout{0, left.count()};
        pollfd wait{wire_.wakeup_fd(), POLLIN, 0};
        ::ppoll(&wait, 1, &timeout, nullptr);
        wire_.disarm_wakeup();
        idle_ = false;
    }

  private:
    Wire& wire_;
    Duration spin_;
    Instant since_{};
    bool idle_ = false;
};

Error gave_up(const Wire& wire) {
    const std::string why = wire.problem();
    return Error{wire.name() + ": nothing came for 10 s" + (why.empty() ? "" : ": " + why)};
}

// One round, to when the answer is delivered: it is then that a node goes on. Nothing when the
// message or its answer was lost.
Result<std::optional<Duration>> one_round(Wire& wire, Waiter& waiter, Message& message,
                                          std::uint64_t job, std::uint64_t round) {
    std::optional<Instant> answered;
    const auto receive = [&](ByteView got) {
        if (!answered && Message::sequence(got, job) == round) answered = monotonic_now();
    };
    const Instant first = monotonic_now();
    Instant sent = first;
    while (!wire.send(message.with(round))) wire.poll(receive);
    for (std::size_t polls = 0; !answered; ++polls) {
        if (wire.poll(receive) > 0)
            waiter.something_came();
        else
            waiter.nothing_came();
        if (polls % kLookEvery != 0 || answered) continue;
        const Instant now = monotonic_now();
        if (now - first > kGiveUp) return gave_up(wire);
        if (now - sent > kResend && wire.delivery() == Wire::Delivery::lossy) {
            sent = now;
            wire.send(message.with(round));
        }
    }
    if (sent != first) return std::optional<Duration>{};
    return std::optional{*answered - first};
}

Result<> echo(Wire& wire, Meeting& meeting, const RoundTripJob& job) {
    Waiter waiter{wire, job.spin};
    const auto answer = [&](ByteView got) { wire.send(got); };
    for (std::size_t polls = 0;; ++polls) {
        if (wire.poll(answer) > 0) {
            waiter.something_came();
        } else {
            waiter.nothing_came();
            if (meeting.shared().done != 0) return {};
            if (meeting.shared().failed != 0) return Error{"the other end has failed"};
        }
    }
}

Result<> send_stream(Wire& wire, Meeting& meeting, const StreamJob& job) {
    Meeting::Shared& shared = meeting.shared();
    const bool lossy = wire.delivery() == Wire::Delivery::lossy;
    const auto ignore = [](ByteView) {};
    Message message{job.size, meeting.job()};
    std::uint64_t sequence = 0, known = 0;
    const Instant start = monotonic_now(), end = start + job.duration;
    Instant moved = start;
    for (std::size_t turn = 0;; ++turn) {
        for (std::size_t i = 0; i < Port::kBurst; ++i) {
            if (lossy && sequence - known >= job.ahead) break;
            if (!wire.send(message.with(sequence))) break;
            ++sequence;
        }
        wire.poll(ignore);
        const std::uint64_t received = shared.received.load(std::memory_order_acquire);
        if (received <= known && turn % kLookEvery != 0) continue;
        const Instant now = monotonic_now();
        if (received > known) moved = now, known = received;
        if (now - moved > 20ms && lossy) moved = now, known = sequence;  // all of it lost
        if (now - moved > kGiveUp) return gave_up(wire);
        if (now >= end) break;
    }
    shared.sent = sequence;
    shared.done = 1;
    const Instant give_up = monotonic_now() + kGiveUp;
    while (!lossy && shared.received < sequence) {
        wire.poll(ignore);
        if (shared.failed != 0 || monotonic_now() > give_up) return gave_up(wire);
    }
    return {};
}

Result<> receive_stream(Wire& wire, Meeting& meeting) {
    Meeting::Shared& shared = meeting.shared();
    std::uint64_t expected = 0, messages = 0, chunks = 0;
    std::string wrong;
    Instant chunk_began{};
    const auto receive = [&](ByteView got) {
        const auto found = Message::sequence(got, meeting.job());
        if (!found) return;
        const std::uint64_t sequence = *found;
        if (sequence != expected && wire.delivery() == Wire::Delivery::reliable)
            wrong = "message " + std::to_string(sequence) + " came instead of " +
                    std::to_string(expected);
        expected = std::max(expected, sequence + 1);
        if (messages++ % kChunk != 0) return;
        const Instant now = monotonic_now();
        if (chunk_began != Instant{} && chunks < Meeting::Shared::kMaxChunks)
            shared.chunk_ns[chunks++] = static_cast<std::uint32_t>((now - chunk_began).count());
        chunk_began = now;
    };
    Instant quiet_since{};
    for (;;) {
        if (wire.poll(receive) > 0) {
            shared.received.store(expected, std::memory_order_release);
            quiet_since = {};
            if (!wrong.empty()) return Error{wire.name() + ": " + wrong};
            continue;
        }
        if (shared.failed != 0) return Error{"the other end has failed"};
        if (shared.done == 0) continue;
        if (expected >= shared.sent) break;
        if (quiet_since == Instant{}) quiet_since = monotonic_now();
        if (monotonic_now() - quiet_since <= 20ms) continue;
        if (wire.delivery() == Wire::Delivery::lossy) break;
        if (monotonic_now() - quiet_since > kGiveUp) return gave_up(wire);
    }
    shared.messages = messages;
    shared.lost = shared.sent - messages;
    shared.chunks = static_cast<std::uint32_t>(chunks);
    return {};
}

}  // namespace

Result<> settle(Wire& wire, Meeting& meeting) {
    const auto ignore = [](ByteView) {};
    const Instant give_up = monotonic_now() + kGiveUp;
    VSMP_TRY(meeting.meet());
    const auto self = static_cast<std::size_t>(meeting.self());
    auto& flags = meeting.shared().cpu_ns;  // not in use between jobs
    flags[self] = 0;
    VSMP_TRY(meeting.meet());
    while (flags[0] == 0 || flags[1] == 0) {
        wire.poll(ignore);
        if (wire.settled()) flags[self] = 1;
        if (meeting.shared().failed != 0) return Error{"the other end has failed"};
        if (monotonic_now() > give_up) return gave_up(wire);
    }
    return meeting.meet();
}

Result<std::vector<Duration>> round_trips(Wire& wire, Meeting& meeting, const RoundTripJob& job) {
    wire.begin(job.size);
    VSMP_TRY(meeting.begin_job());
    std::vector<Duration> samples;
    if (meeting.self() == 1) {
        VSMP_TRY(echo(wire, meeting, job));
    } else {
        Waiter waiter{wire, job.spin};
        Message message{job.size, meeting.job()};
        samples.reserve(job.rounds);
        for (std::uint64_t i = 0; i < job.warm_up + job.rounds; ++i) {
            if (job.interval > Duration::zero()) std::this_thread::sleep_for(job.interval);
            VSMP_TRY_ASSIGN(const auto taken, one_round(wire, waiter, message, meeting.job(), i));
            if (taken && i >= job.warm_up) samples.push_back(*taken);
        }
        meeting.shared().done = 1;
    }
    VSMP_TRY(settle(wire, meeting));
    return samples;
}

Result<StreamResult> stream(Wire& wire, Meeting& meeting, const StreamJob& job) {
    wire.begin(job.size);
    VSMP_TRY(meeting.begin_job());
    const Duration before = thread_cpu();
    if (meeting.self() == 0)
        VSMP_TRY(send_stream(wire, meeting, job));
    else
        VSMP_TRY(receive_stream(wire, meeting));
    const Duration spent = thread_cpu() - before;
    VSMP_TRY(settle(wire, meeting));
    Meeting::Shared& shared = meeting.shared();
    shared.cpu_ns[static_cast<std::size_t>(meeting.self())] =
        static_cast<std::uint64_t>(spent.count());
    VSMP_TRY(meeting.meet());
    StreamResult result;
    result.messages = shared.messages;
    result.lost = shared.lost;
    result.cpu = std::chrono::nanoseconds(shared.cpu_ns[0] + shared.cpu_ns[1]);
    for (std::size_t i = 0; i < shared.chunks; ++i)
        result.chunks.push_back(std::chrono::nanoseconds(shared.chunk_ns[i]));
    return result;
}

}  // namespace vsmp::fabric
