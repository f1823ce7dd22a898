#include "dpdk_transport/core/path.hpp"

#include <algorithm>

namespace vsmp::fabric {
namespace {

// Below what both ends have: a page with its headers and something to spare, and half of it.
constexpr std::array<std::uint16_t, 3> kLadder{6000, 4500, 3000};
constexpr Duration kLongestHelloInterval = std::chrono::seconds(1);
// A path that swallows large frames is asked again now and then: somebody may have repaired it.
constexpr Duration kAskAgain = std::chrono::seconds(5);

}  // namespace

Path::Path(const LinkTiming& timing, std::size_t mtu, std::size_t smallest)
    : timing_(timing),
      own_mtu_(static_cast<std::uint16_t>(mtu)),
      smallest_(static_cast<std::uint16_t>(smallest)),
      hello_interval_(timing.hello_interval),
      probe_interval_(timing.probe_interval) {
    VSMP_CHECK(mtu >= kSmallestMtu && mtu <= 0xffff, "MTU out of range");
}

void Path::meet(std::uint16_t mtu) {
    if (known() || mtu < kSmallestMtu) return;
    state_ = State::alive;
    agreed_ = std::min(own_mtu_, mtu);
    proven_ = std::min<std::uint16_t>(agreed_, kBasicMtu);
}

void Path::probe_came(std::uint16_t mtu) {
    if (answer_count_ < answers_.size()) answers_[answer_count_++] = mtu;
}

std::optional<Duration> Path::probe_acked(std::uint16_t mtu, Instant now) {
    if (!known() || mtu > agreed_) return std::nullopt;
    if (state_ == State::suspect) {
        state_ = State::alive;
        probe_interval_ = timing_.probe_interval;
    }
    proven_ = std::max(proven_, mtu);
    if (!asked_at_) return std::nullopt;
    const Duration taken = now - *asked_at_;
    asked_at_.reset();
    return taken;
}

void Path::suspect() {
    state_ = State::suspect;
    probe_at_ = Instant{};
    probe_interval_ = timing_.probe_interval;
    probes_due_ = 0;
}

bool Path::wants_probes(LinkState link) const {
    return link == LinkState::up && known() && (state_ == State::suspect || proven_ < agreed_);
}

// A suspect is asked for a sign of life, others for all sizes not proven yet.
std::uint16_t Path::probe_size(std::size_t index) const {
    if (state_ == State::suspect) return smallest_;
    return index == 0 ? agreed_ : std::min(agreed_, kLadder[index - 1]);
}

void Path::tick(LinkState link, Instant now) {
    if (!confirmed_ && now >= hello_at_) hello_due_ = true;
    if (probes_due_ > 0 || !wants_probes(link) || now < probe_at_) return;
    probes_due_ = state_ == State::suspect ? 1 : kSizes;
    if (state_ == State::alive) ++round_;
}

Path::Due Path::due() const {
    if (welcome_due_) return Due{FrameKind::welcome, own_mtu_};
    if (hello_due_) return Due{FrameKind::hello, own_mtu_};
    if (answer_count_ > 0) return Due{FrameKind::probe_ack, answers_[answer_count_ - 1]};
    VSMP_CHECK(probes_due_ > 0, "nothing is due");
    return Due{FrameKind::probe, probe_size(probes_due_ - 1)};
}

void Path::sent(const Due& due, LinkState link, Instant now) {
    switch (due.kind) {
        case FrameKind::welcome:
            welcome_due_ = false;
            return;
        case FrameKind::hello:
            hello_due_ = false;
            // Once there is another way the peer may well not be behind this port at all.
            hello_interval_ = link == LinkState::connecting
                                  ? timing_.hello_interval
                                  : std::min(2 * hello_interval_, kLongestHelloInterval);
            hello_at_ = now + hello_interval_;
            return;
        case FrameKind::probe_ack:
            --answer_count_;
            return;
        case FrameKind::probe:
            if (--probes_due_ > 0) return;
            asked_at_.reset();
            if (round_ == 1 && state_ == State::alive) asked_at_ = now;
            probe_at_ =
                now + (round_ < kRounds || state_ == State::suspect ? probe_interval_ : kAskAgain);
            probe_interval_ = std::min(2 * probe_interval_, timing_.probe_interval_max);
            return;
        case FrameKind::data:
        case FrameKind::ack:
            return;
    }
}

std::optional<Instant> Path::next_deadline(LinkState link) const {
    std::optional<Instant> next;
    if (!confirmed_) next = hello_at_;
    if (wants_probes(link)) next = next ? std::min(*next, probe_at_) : probe_at_;
    return next;
}

}  // namespace vsmp::fabric
