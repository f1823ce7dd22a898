#include "page_fault_broker/io/page_store.hpp"

#include <cstring>

#include "page_fault_broker/core/page_runs.hpp"

namespace vsmp {

using coherence::for_each_run;
using coherence::PageFlag;

namespace {

void must(const Result<void>& result, std::string_view why) {
    if (!result) VSMP_CHECK(false, result.error().in(std::string{why}).message);
}

}  // namespace

void PageStore::fill(PageNumber page, ByteView contents) {
    if (populated(page)) {
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
    populate(page);
    to_map_read_only_.push_back(page);
    table_.set(page, PageFlag::mapped, true);
}

void PageStore::map_writable(PageNumber page) {
    populate(page);
    to_map_writable_.push_back(page);
    table_.set(page, PageFlag::mapped, true);
}

void PageStore::allow_write(PageNumber page) {
    flush();
    must(mapper_.allow_write(page), "allow writing");
}

void PageStore::forbid_write(PageNumber page) {
    flush();
    if (mapped(page)) must(mapper_.forbid_write(page), "revoke writing");
}

void PageStore::unmap(PageNumber page) {
    flush();
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
