// The memory of pages and how vCPUs see it: what the broker does to them, in runs of neighbours as
// far as it may be put off, since a system call and a flush of TLBs cost more than a page's work.
//
// Keeps PageFlag::populated and PageFlag::mapped. A failing system call is a broken invariant: all
// arguments are our own. Owned by the data-plane thread.
#pragma once

#include <optional>
#include <vector>

#include "page_fault_broker/core/large_ranges.hpp"
#include "page_fault_broker/core/page_table.hpp"
#include "page_fault_broker/io/guest_memory.hpp"
#include "page_fault_broker/io/page_mapper.hpp"

namespace vsmp {

class PageStore {
  public:
    // All outlive the store.
    PageStore(coherence::PageTable& table, GuestMemory& memory, PageMapper& mapper)
        : table_(table), memory_(memory), mapper_(mapper) {}

    // Before the first page: this node's own RAM is mapped with large pages where it can be. The
    // mapper watches no writes in coherence::large_area() of it. `most_areas`: of the process's
    // address space that may be spent on that.
    void use_large_pages(std::uint64_t most_areas);
    // When collapse_next() has something to do.
    std::optional<Instant> next_collapse() const {
        return large_ ? large_->next_look() : std::nullopt;
    }
    // Makes a large page of 2 MiB of this node's own, if all of it is still as it has to be.
    void collapse_next(Instant now);
    coherence::LargeCounters large_counters() const {
        return large_ ? large_->counters() : coherence::LargeCounters{};
    }

    bool populated(PageNumber page) const {
        return table_.has(page, coherence::PageFlag::populated);
    }
    bool mapped(PageNumber page) const { return table_.has(page, coherence::PageFlag::mapped); }

    // Of a populated page.
    std::span<std::byte, kPageSize> contents(PageNumber page) const {
        return memory_.contents(page);
    }
    void fill(PageNumber page, ByteView contents);
    void make_zero(PageNumber page);

    // By the next flush(); wakes whoever waits for the page.
    void map_read_only(PageNumber page);
    void map_writable(PageNumber page);
    // At once, and what was to be mapped before, too.
    void allow_write(PageNumber page);  // of a mapped page
    void forbid_write(PageNumber page);
    void unmap(PageNumber page);
    // By the next give_back(). A page is in use again before that in no case.
    void unmap_later(PageNumber page);
    void discard_later(PageNumber page);

    void flush();
    void give_back();

  private:
    void populate(PageNumber page);
    bool can_be_large(PageNumber page) const;
    void split_for(PageNumber page);

    coherence::PageTable& table_;
    GuestMemory& memory_;
    PageMapper& mapper_;
    std::optional<coherence::LargeRanges> large_;
    std::vector<PageNumber> to_map_read_only_, to_map_writable_, to_unmap_, to_discard_;
};

}  // namespace vsmp
