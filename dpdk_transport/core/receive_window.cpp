#include "dpdk_transport/core/receive_window.hpp"

#include <algorithm>
#include <bit>

#include "dpdk_transport/core/sequence.hpp"
#include "proto/check.hpp"

namespace vsmp::fabric {

ReceiveWindow::ReceiveWindow(std::size_t size) : size_(size) {
    VSMP_CHECK(std::has_single_bit(size) && size <= kSelectiveReach, "size of a window");
}

ReceiveWindow::Arrival ReceiveWindow::look(std::uint32_t sequence) const {
    if (sequence_distance(next_, sequence) < 0) return Arrival::duplicate;
    if (sequence_distance(limit_, sequence) >= 0) return Arrival::outside;
    if (sequence == next_) return Arrival::in_order;
    return here(sequence) ? Arrival::duplicate : Arrival::early;
}

void ReceiveWindow::accept(std::uint32_t sequence) {
    if (sequence != next_) {
        flip(sequence);
        ++early_;
        return;
    }
    ++next_;
    for (; early_ > 0 && here(next_); ++next_) {
        flip(next_);
        --early_;
    }
}

void ReceiveWindow::grant(std::size_t credit) {
    const auto limit = next_ + static_cast<std::uint32_t>(std::min(credit, size_));
    if (sequence_distance(limit_, limit) > 0) limit_ = limit;
}

// The bit of next_ itself is never set: what wraps around to it says nothing.
Selective ReceiveWindow::selective() const {
    Selective words{};
    if (early_ == 0) return words;
    const std::size_t first = slot(next_ + 1), shift = first % 64;
    for (std::size_t i = 0; i < here_.size(); ++i) {
        const std::size_t low = (first / 64 + i) % here_.size();
        words[i] = here_[low] >> shift;
        if (shift != 0) words[i] |= here_[(low + 1) % here_.size()] << (64 - shift);
    }
    return words;
}

}  // namespace vsmp::fabric
