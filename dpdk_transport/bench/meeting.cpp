#include "dpdk_transport/bench/meeting.hpp"

#include <thread>

#include "proto/monotonic_clock.hpp"

namespace vsmp::fabric {

using namespace std::chrono_literals;

namespace {

// Who waits for long must not take CPU time from what is measured.
constexpr Duration kLongWait = 5ms;
constexpr Duration kLook = 20us, kLookWhenLong = 1ms;

}  // namespace

Result<std::shared_ptr<Meeting::Shared>> Meeting::make_shared() {
    VSMP_TRY_ASSIGN(Mapping memory, Mapping::shared(-1, sizeof(Shared)));
    auto* shared = reinterpret_cast<Shared*>(memory.data());
    auto owner = std::make_shared<Mapping>(std::move(memory));
    return std::shared_ptr<Shared>{owner, shared};
}

Result<> Meeting::meet() {
    ++count_;
    const auto self = static_cast<std::size_t>(self_);
    shared_->arrivals[self] = count_;
    const Instant begin = monotonic_now();
    while (shared_->arrivals[1 - self] < count_) {
        if (shared_->failed != 0) return Error{"the other end has failed"};
        const Duration waited = monotonic_now() - begin;
        if (waited > 60s) return Error{"the other end does not come"};
        std::this_thread::sleep_for(waited < kLongWait ? kLook : kLookWhenLong);
    }
    return {};
}

Result<> Meeting::begin_job() {
    VSMP_TRY(meet());
    if (self_ == 0) {
        shared_->done = 0;
        shared_->sent = shared_->received = shared_->messages = shared_->lost = 0;
        shared_->chunks = 0;
    }
    return meet();
}

Result<MacAddress> Meeting::exchange_mac(const MacAddress& own) {
    std::uint64_t packed = 0;
    for (std::uint8_t octet : own.octets) packed = packed << 8 | octet;
    shared_->mac[static_cast<std::size_t>(self_)] = packed;
    VSMP_TRY(meet());
    packed = shared_->mac[static_cast<std::size_t>(1 - self_)];
    MacAddress other;
    for (std::size_t i = 6; i-- > 0; packed >>= 8)
        other.octets[i] = static_cast<std::uint8_t>(packed & 0xff);
    return other;
}

}  // namespace vsmp::fabric
