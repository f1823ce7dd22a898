// Whether a node's old copy of a page is still the page, told without sending it: equal versions
// mean equal contents. A version is a hash of the contents, so it needs no memory beside the page,
// and a page that was only feared to be written (a page-table page walked under nested paging, a
// page fetched to write and not written) keeps its version.
//
// 64 bits: two different contents of one page have the same version with a chance of 2^-64. A
// guest that constructs such contents harms itself alone.
#pragma once

#include <algorithm>
#include <span>

#include "page_fault_broker/core/message.hpp"

namespace vsmp::coherence {

// Of `contents`, never 0. About 10 bytes a nanosecond.
Version version_of(std::span<const std::byte, kPageSize> contents);

// Whether it is worth telling what a node still has: both ends hash the page for it. After many
// offers none of which was any use, only some are made, until one is.
class OfferMeter {
  public:
    // Asked before each offer.
    bool worthwhile() { return useless_ < kMany || ++useless_ % kOneOf == 0; }
    void offered() { useless_ = std::min(useless_ + 1, 2 * kMany); }
    void accepted() { useless_ = 0; }

  private:
    static constexpr std::uint32_t kMany = 64, kOneOf = 64;
    std::uint32_t useless_ = 0;
};

}  // namespace vsmp::coherence
