#include "dpdk_transport/bench/ping_pong.hpp"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <thread>

#include "dpdk_transport/core/frame.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {
namespace {

using namespace std::chrono_literals;

constexpr Duration kResend = 1s, kGiveUpPing = 10s, kGiveUpEcho = 30s;
constexpr Instant kBusy = Instant::max();
constexpr std::uint8_t kNoVersion = 0;
enum class RawKind : std::uint8_t { ping = 1, pong, stop };

// Spins for a while, then sleeps until something may have arrived or `until`.
class Waiter {
  public:
    Waiter(Port& port, const Waiting& waiting) : port_(port), spin_(waiting.spin) {}

    void something_came() { idle_since_ = kBusy; }
    void nothing_came(Instant until) {
        const Instant now = monotonic_now();
        if (idle_since_ == kBusy) idle_since_ = now;
        if (now - idle_since_ < spin_ || now >= until || !port_.arm_wakeup()) return;
        const Duration left = until - now;
        timespec timeout{};
        timeout.tv_sec = static_cast<time_t>(left / 1s);
        timeout.tv_nsec = (left % 1s).count();
        pollfd wait{port_.wakeup_fd(), POLLIN, 0};
        ::ppoll(&wait, 1, &timeout, nullptr);
        port_.disarm_wakeup();
        idle_since_ = kBusy;
    }

  private:
    Port& port_;
    Duration spin_;
    Instant idle_since_ = kBusy;
};

void send_raw(Port& port, RawKind kind, std::uint64_t round, std::size_t size) {
    std::array<std::byte, kEthernetHeaderSize + 2 + sizeof round> buffer;
    ByteWriter header{buffer};
    for (std::uint8_t octet : kBroadcastMac.octets) header.write(octet);
    for (std::uint8_t octet : port.mac().octets) header.write(octet);
    header.write(static_cast<std::uint8_t>(kEtherType >> 8));
    header.write(static_cast<std::uint8_t>(kEtherType & 0xff));
    header.write(kNoVersion);
    header.write(static_cast<std::uint8_t>(kind));
    header.write(round);
    static const std::array<std::byte, kHeaderSize + kMaxPayload> zeros{};
    const std::size_t body = std::max(size, buffer.size()) - buffer.size();
    while (!port.queue_copy(buffer, ByteView{zeros}.first(body))) port.flush();
    while (!port.flush()) continue;
}

struct RawFrame {
    RawKind kind{};
    std::uint64_t round = 0;
    std::size_t size = 0;
};

std::optional<RawFrame> decode_raw(ByteView frame) {
    ByteReader reader{frame};
    reader.take(kEthernetHeaderSize);
    const auto version = reader.read<std::uint8_t>();
    const auto kind = reader.read<std::uint8_t>();
    const auto round = reader.read<std::uint64_t>();
    if (!reader.ok() || version != kNoVersion || kind < 1 || kind > 3) return std::nullopt;
    return RawFrame{static_cast<RawKind>(kind), round, frame.size()};
}

void pause(Duration interval) {
    if (interval > Duration::zero()) std::this_thread::sleep_for(interval);
}

// Runs the rounds; `once` does one and says how long it took, or nothing when it does not count.
template <class Once>
Result<Latencies> rounds(const PingPong& options, Once once) {
    std::vector<Duration> samples;
    samples.reserve(options.rounds);
    for (std::size_t i = 0; samples.size() < options.rounds; ++i) {
        pause(options.interval);
        VSMP_TRY_ASSIGN(const std::optional<Duration> taken, once(i));
        if (taken && i >= options.warm_up) samples.push_back(*taken);
    }
    return Latencies{std::move(samples)};
}

}  // namespace

Latencies::Latencies(std::vector<Duration> samples) : sorted_(std::move(samples)) {
    std::ranges::sort(sorted_);
}

Duration Latencies::quantile(double q) const {
    if (sorted_.empty()) return Duration::zero();
    const auto index = static_cast<std::size_t>(q * static_cast<double>(sorted_.size()));
    return sorted_[std::min(index, sorted_.size() - 1)];
}

Result<Latencies> ping_port(Port& port, const PingPong& options) {
    Waiter waiter{port, options.waiting};
    const auto once = [&](std::uint64_t round) -> Result<std::optional<Duration>> {
        const Instant first = monotonic_now();
        Instant sent = first;
        bool answered = false;
        const auto receive = [&](ByteView bytes) {
            const auto frame = decode_raw(bytes);
            answered = answered || (frame && frame->kind == RawKind::pong && frame->round == round);
        };
        send_raw(port, RawKind::ping, round, kHeaderSize + options.payload);
        for (;;) {
            if (port.receive(receive) > 0) {
                waiter.something_came();
            } else {
                waiter.nothing_came(sent + kResend);
            }
            const Instant now = monotonic_now();
            if (answered && sent == first) return std::optional{now - first};
            if (answered) return std::optional<Duration>{};
            if (now - first > kGiveUpPing) return Error{port.name() + ": nobody echoes"};
            if (now - sent > kResend) {
                sent = now;
                send_raw(port, RawKind::ping, round, kHeaderSize + options.payload);
            }
        }
    };
    return rounds(options, once);
}

void stop_echo(Port& port) {
    for (int i = 0; i < 5; ++i) send_raw(port, RawKind::stop, 0, kHeaderSize);
}

Result<> echo_port(Port& port, const Waiting& waiting) {
    Waiter waiter{port, waiting};
    std::vector<RawFrame> pings;
    bool stopped = false;
    Instant last = monotonic_now();
    const auto receive = [&](ByteView bytes) {
        const auto frame = decode_raw(bytes);
        if (frame && frame->kind == RawKind::ping) pings.push_back(*frame);
        stopped = stopped || (frame && frame->kind == RawKind::stop);
    };
    while (!stopped) {
        if (port.receive(receive) > 0) {
            last = monotonic_now();
            waiter.something_came();
        } else {
            waiter.nothing_came(monotonic_now() + 1s);
            if (monotonic_now() - last > kGiveUpEcho) return Error{port.name() + ": nobody pings"};
        }
        for (const RawFrame& ping : pings) send_raw(port, RawKind::pong, ping.round, ping.size);
        pings.clear();
    }
    return {};
}

}  // namespace vsmp::fabric
