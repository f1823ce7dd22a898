// Which sequences of a peer have arrived: finds duplicates, makes acknowledgements.
#pragma once

#include <cstdint>

#include "dpdk_transport/core/acknowledgement.hpp"

namespace vsmp::fabric {

class ReceiveWindow {
  public:
    // `size`: most sequences that may be granted at once; a power of two, at most
    // kSelectiveReach.
    explicit ReceiveWindow(std::size_t size);

    enum class Arrival : std::uint8_t {
        in_order,   // nothing before it is missing
        early,      // something is
        duplicate,  // it was here before
        outside,    // beyond what was granted: the peer breaks the protocol
    };
    Arrival look(std::uint32_t sequence) const;
    // Remembers a sequence that is in_order or early.
    void accept(std::uint32_t sequence);

    // Grants sequences up to `credit` beyond the acknowledged ones. A grant is never taken back.
    void grant(std::size_t credit);
    std::size_t credit() const { return limit_ - next_; }

    std::uint32_t acknowledged() const { return next_; }
    Selective selective() const;
    // Something before what has arrived is missing.
    bool has_gap() const { return early_ > 0; }

  private:
    std::size_t slot(std::uint32_t sequence) const { return sequence & (kSelectiveReach - 1); }
    bool here(std::uint32_t sequence) const {
        return (here_[slot(sequence) / 64] >> slot(sequence) % 64 & 1) != 0;
    }
    void flip(std::uint32_t sequence) {
        here_[slot(sequence) / 64] ^= std::uint64_t{1} << slot(sequence) % 64;
    }

    std::size_t size_;
    Selective here_{};         // bits by sequence, modulo their number
    std::size_t early_ = 0;    // how many are set
    std::uint32_t next_ = 0;   // first sequence that is missing
    std::uint32_t limit_ = 0;  // first sequence that is not granted
};

}  // namespace vsmp::fabric
