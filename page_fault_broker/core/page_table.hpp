// What a node knows of every page of the guest: 4 bytes a page, and 12 more for a page at home, in
// flat arrays that are all zero for pages nobody has asked for. The kernel gives memory to the
// parts of them that are used, so the table of a 1 TiB guest can be had on any machine, and a
// lookup costs the same whatever the guest's size.
//
// What only matters while a page is being moved (requests, acks, who waits) is kept aside for the
// few pages to which that happens now, and found by a number that takes unused bits of a page's
// word or entry.
//
// Owned by the data-plane thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "page_fault_broker/core/home_map.hpp"
#include "page_fault_broker/core/home_page.hpp"
#include "page_fault_broker/core/local_page.hpp"
#include "page_fault_broker/core/moving_pages.hpp"

namespace vsmp::coherence {

// Facts about a page's memory here, which the protocol does not look at. Bits 0 to 3 and from 13 on
// of a page's word are PageTable's own.
enum class PageFlag : std::uint32_t {
    mapped = 1u << 4,     // a PTE was made and not dropped since
    populated = 1u << 5,  // has a page-cache page; one that is permitted and has none reads as zero
    framed = 1u << 6,     // counts as resident: populated, or asked for
    queued = 1u << 7,     // ResidentSet: it is in a queue by age
    discardable = 1u << 8,  // ResidentSet: it is in the queue of stale copies
    on_touch = 1u << 9,     // fetched ahead, not to be mapped before its first use
    resting = 1u << 10,     // came home because others were short of memory: likewise
    ahead = 1u << 11,       // AheadLedger: read-ahead asked for it, of use or not is not known yet
    returning = 1u << 12,   // ResidentSet: it left not long ago, and was asked for again
};

class PageTable {
  public:
    PageTable(NodeId self, HomeMap homes);

    const HomeMap& homes() const { return homes_; }
    NodeId self() const { return self_; }
    bool is_home(PageNumber page) const {
        return page.value() - first_home_ < home_pages_;  // wraps for pages before the first
    }

    Permission permission(PageNumber page) const { return permission_in(word(page), page); }
    LocalPage local(PageNumber page) const;
    void set_local(PageNumber page, const LocalPage& state);
    HomePage home(PageNumber page) const;  // of a page homed here
    void set_home(PageNumber page, const HomePage& state);

    bool has(PageNumber page, PageFlag flag) const {
        return (word(page) & static_cast<std::uint32_t>(flag)) != 0;
    }
    void set(PageNumber page, PageFlag flag, bool value) {
        std::uint32_t& bits = word(page);
        const auto bit = static_cast<std::uint32_t>(flag);
        bits = value ? bits | bit : bits & ~bit;
    }

    // A number that a page keeps until it is next moved; 0: none. One that moves keeps none.
    static constexpr std::uint32_t kMaxNote = (1u << 19) - 1;
    std::uint32_t note(PageNumber page) const {
        const std::uint32_t bits = word(page);
        return bits & kMoving ? 0 : bits >> kSlotShift;
    }
    void set_note(PageNumber page, std::uint32_t note);

    // Pages that are being moved now, here or by their home here.
    std::size_t active_pages() const { return moving_local_.size() + moving_home_.size(); }

  private:
    // Differences to initial_home_page(self); while a page moves its slot is in sharers[0].
    struct HomeEntry {
        std::array<std::uint32_t, 2> sharers;
        std::uint8_t owner;
        std::uint8_t requester;
        std::uint8_t flags;
        std::uint8_t unused;
    };
    static_assert(sizeof(HomeEntry) == 12);
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    template <class T>
    using Lazy = std::unique_ptr<T[], Free>;
    template <class T>
    static Lazy<T> zeroed(std::uint64_t count);

    // A page's word: 0 for a page nobody has asked for.
    static constexpr std::uint32_t kPermissionMask = 3;  // difference to initial_local_page()
    static constexpr std::uint32_t kSource = 1u << 2;
    static constexpr std::uint32_t kMoving = 1u << 3;  // the whole state is in moving_local_
    static constexpr std::uint32_t kSlotShift = 13;    // of one that moves; else of its note
    static constexpr std::uint32_t kAtRest = (1u << kSlotShift) - 1;
    static_assert(kMaxNote == ~std::uint32_t{0} >> kSlotShift);

    std::uint32_t& word(PageNumber page) const {
        VSMP_CHECK(page.value() < homes_.page_count(), "page beyond guest RAM");
        return words_[page.value()];
    }
    std::uint32_t initial_permission(PageNumber page) const {
        return static_cast<std::uint32_t>(is_home(page) ? Permission::exclusive : Permission::none);
    }
    Permission permission_in(std::uint32_t bits, PageNumber page) const {
        return static_cast<Permission>((bits & kPermissionMask) ^ initial_permission(page));
    }
    HomeEntry& entry(PageNumber page) const;

    NodeId self_;
    HomeMap homes_;
    std::uint64_t first_home_;
    std::uint64_t home_pages_;
    Lazy<std::uint32_t> words_;
    Lazy<HomeEntry> entries_;
    MovingPages<LocalPage> moving_local_;  // whole states of those that move
    MovingPages<HomePage> moving_home_;
};

// Memory that a page costs, used or not.
inline constexpr std::size_t kBytesPerPage = 4;
inline constexpr std::size_t kBytesPerPageAtHome = 16;

}  // namespace vsmp::coherence
