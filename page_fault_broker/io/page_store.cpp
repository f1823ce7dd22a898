#include "page_fault_broker/io/page_store.hpp"

#include <emmintrin.h>

#include <cstring>

#include "page_fault_broker/core/page_runs.hpp"

namespace vsmp {

using coherence::for_each_run;
using coherence::PageFlag;

namespace {

void must(const Result<void>& result, std::string_view why) {
    if (!result) VSMP_CHECK(false, result.error().in(std::string{why}).message);
}

// For a page that nobody here is about to touch: half the time of a copy that first reads what it
// overwrites, and what is in the caches stays there.
void copy_past_caches(std::span<std::byte, kPageSize> to, ByteView from) {
    auto* line = reinterpret_cast<__m128i*>(to.data());
    const auto* source = reinterpret_cast<const __m128i*>(from.data());
    for (std::size_t i = 0; i < kPageSize / sizeof(__m128i); ++i)
        _mm_stream_si128(line + i, _mm_loadu_si128(source + i));
    _mm_sfence();  // or what is written later might be seen first
}

}  // namespace

void PageStore::use_large_pages(std::uint64_t most_areas) {
    const HomeMap& homes = table_.homes();
    large_.emplace(coherence::large_area(homes.first_page_of(table_.self()),
                                         homes.page_count_of(table_.self())),
                   most_areas);
}

bool PageStore::can_be_large(PageNumber page) const {
    return mapped(page) && populated(page) &&
           table_.permission(page) == coherence::Permission::exclusive &&
           table_.local(page).request == coherence::Request::none;
}

void PageStore::collapse_next(Instant now) {
    flush();
    const std::uint64_t first = large_->candidate().value();
    std::uint64_t mapped = 0;
    for (std::uint64_t page = first; page < first + coherence::kPagesPerRange; ++page)
        mapped += can_be_large(PageNumber{page}) ? 1 : 0;
    if (mapped < coherence::kPagesPerRange) return large_->incomplete(mapped, now);
    // For want of 2 MiB in one piece, for instance.
    if (!mapper_.collapse(PageNumber{first})) return large_->failed(now);
    large_->collapsed(now);
}

// To be done before anything is write-protected or taken away, of this node's own RAM.
void PageStore::split_for(PageNumber page) {
    if (!large_) return;
    const auto split = large_->before_sharing(page);
    if (!split) return;
    flush();
    must(mapper_.watch_writes(split->area.first, split->area.count), "watch writes");
    for (const PageNumber first : split->large) {
        must(mapper_.unmap(first, coherence::kPagesPerRange), "drop a large page");
        for (std::uint64_t i = 0; i < coherence::kPagesPerRange; ++i)
            table_.set(PageNumber{first.value() + i}, PageFlag::mapped, false);
    }
}

void PageStore::fill(PageNumber page, ByteView contents) {
    VSMP_CHECK(contents.size() == kPageSize, "a page has so many bytes");
    if (populated(page)) {
        if (table_.has(page, PageFlag::resting))
            copy_past_caches(memory_.contents(page), contents);
        else
            std::memcpy(memory_.contents(page).data(), contents.data(), kPageSize);
        return;
    }
    must(memory_.fill(page, contents), "fill a page");
    table_.set(page, PageFlag::populated, true);
}

void PageStore::make_zero(PageNumber page) {
    if (populated(page)) std::memset(memory_.contents(page).data(), 0, kPageSize);
}

void PageStore::populate(PageNumber page) {
    if (populated(page)) return;
    // UFFDIO_CONTINUE wants the page in the page cache; a write through the alias puts it there.
    memory_.contents(page)[0] = std::byte{0};
    table_.set(page, PageFlag::populated, true);
}

void PageStore::map_read_only(PageNumber page) {
    split_for(page);
    populate(page);
    to_map_read_only_.push_back(page);
    table_.set(page, PageFlag::mapped, true);
}

void PageStore::map_writable(PageNumber page) {
    populate(page);
    to_map_writable_.push_back(page);
    table_.set(page, PageFlag::mapped, true);
    if (large_) large_->on_mapped(page);
}

void PageStore::allow_write(PageNumber page) {
    flush();
    must(mapper_.allow_write(page), "allow writing");
}

void PageStore::forbid_write(PageNumber page) {
    flush();
    split_for(page);
    if (mapped(page)) must(mapper_.forbid_write(page), "revoke writing");
}

void PageStore::unmap(PageNumber page) {
    flush();
    split_for(page);
    if (mapped(page)) must(mapper_.unmap(page, 1), "take a page away");
    table_.set(page, PageFlag::mapped, false);
}

void PageStore::unmap_later(PageNumber page) {
    to_unmap_.push_back(page);
    table_.set(page, PageFlag::mapped, false);
}

void PageStore::discard_later(PageNumber page) {
    if (populated(page)) to_discard_.push_back(page);
    table_.set(page, PageFlag::populated, false);
}

void PageStore::flush() {
    for_each_run(to_map_read_only_, [&](PageNumber first, std::uint64_t count) {
        must(mapper_.map_read_only(first, count), "map pages for reading");
    });
    for_each_run(to_map_writable_, [&](PageNumber first, std::uint64_t count) {
        must(mapper_.map_writable(first, count), "map pages for writing");
    });
}

void PageStore::give_back() {
    if (to_unmap_.empty() && to_discard_.empty()) return;
    flush();
    for_each_run(to_unmap_, [&](PageNumber first, std::uint64_t count) {
        must(mapper_.unmap(first, count), "sample pages");
    });
    for_each_run(to_discard_, [&](PageNumber first, std::uint64_t count) {
        must(memory_.discard(first, count), "give the memory of pages back");
    });
}

}  // namespace vsmp
