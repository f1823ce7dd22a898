#include "dpdk_transport/core/receive_window.hpp"

#include <algorithm>
#include <bit>

#include "dpdk_transport/core/sequence.hpp"
#include "proto/check.hpp"

namespace vsmp::fabric {

ReceiveWindow::ReceiveWindow(std::size_t size) : here_(size) {
    VSMP_CHECK(std::has_single_bit(size), "window is not a power of two");
}

ReceiveWindow::Arrival ReceiveWindow::look(std::uint32_t sequence) const {
    if (sequence_distance(next_, sequence) < 0) return Arrival::duplicate;
    if (sequence_distance(limit_, sequence) >= 0) return Arrival::outside;
    if (sequence == next_) return Arrival::in_order;
    return here_[slot(sequence)] != 0 ? Arrival::duplicate : Arrival::early;
}

void ReceiveWindow::accept(std::uint32_t sequence) {
    if (sequence != next_) {
        here_[slot(sequence)] = 1;
        ++early_;
        return;
    }
    ++next_;
    while (early_ > 0 && here_[slot(next_)] != 0) {
        here_[slot(next_)] = 0;
        --early_;
        ++next_;
    }
}

void ReceiveWindow::grant(std::size_t credit) {
    const auto limit = next_ + static_cast<std::uint32_t>(std::min(credit, here_.size()));
    if (sequence_distance(limit_, limit) > 0) limit_ = limit;
}

std::uint64_t ReceiveWindow::selective() const {
    if (early_ == 0) return 0;
    std::uint64_t bits = 0;
    for (std::uint32_t i = 0; i < 64 && i + 1 < here_.size(); ++i)
        if (here_[slot(next_ + 1 + i)] != 0) bits |= std::uint64_t{1} << i;
    return bits;
}

}  // namespace vsmp::fabric
