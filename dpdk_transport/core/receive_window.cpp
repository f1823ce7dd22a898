#include "dpdk_transport/core/receive_window.hpp"

#include <bit>

#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {

ReceiveWindow::ReceiveWindow(std::size_t size) : held_(size) {
    VSMP_CHECK(std::has_single_bit(size), "window is not a power of two");
}

ReceiveWindow::Outcome ReceiveWindow::accept(std::uint32_t sequence, Channel channel,
                                             ByteView payload, const Deliver& deliver) {
    const std::int32_t ahead = sequence_distance(next_, sequence);
    if (ahead < 0) return Outcome::duplicate;
    if (static_cast<std::size_t>(ahead) >= held_.size()) return Outcome::outside;
    if (ahead > 0) {
        Held& held = slot(sequence);
        if (held.present) return Outcome::duplicate;
        held.channel = channel;
        held.present = true;
        held.payload.assign(payload.begin(), payload.end());
        ++held_count_;
        return Outcome::held_back;
    }
    ++next_;
    deliver(channel, payload);
    while (held_count_ > 0 && slot(next_).present) {
        Held& held = slot(next_);
        held.present = false;
        --held_count_;
        ++next_;
        deliver(held.channel, held.payload);
    }
    return Outcome::delivered;
}

std::uint64_t ReceiveWindow::selective() const {
    if (held_count_ == 0) return 0;
    std::uint64_t bits = 0;
    for (std::uint32_t i = 0; i < 64 && i + 1 < held_.size(); ++i)
        if (slot(next_ + 1 + i).present) bits |= std::uint64_t{1} << i;
    return bits;
}

}  // namespace vsmp::fabric
