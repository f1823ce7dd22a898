// The page-table entries of all simulated nodes, as userfaultfd would keep them, and what must hold
// of them: at most one writer, and no reader beside it.
#pragma once

#include <cstdint>
#include <vector>

#include "page_fault_broker/io/page_mapper.hpp"

namespace vsmp::coherence::sim {

enum class Pte : std::uint8_t { none, read_only, writable };

struct Mapped {  // something that was permitted, and wakes who waits for it
    std::size_t node = 0, page = 0;
};

class Mappings {
  public:
    Mappings(std::size_t nodes, std::size_t pages)
        : nodes_(nodes), readers_(pages), writers_(pages) {
        VSMP_CHECK(nodes <= kMaxNodes, "a bit for each node");
    }

    Pte pte(std::size_t node, std::size_t page) const {
        if (writers_[page] >> node & 1) return Pte::writable;
        return readers_[page] >> node & 1 ? Pte::read_only : Pte::none;
    }
    bool permits(std::size_t node, std::size_t page, Access access) const {
        return pte(node, page) == Pte::writable ||
               (pte(node, page) == Pte::read_only && access == Access::read);
    }
    void set(std::size_t node, std::size_t page, Pte pte);
    void permit(std::size_t node, std::size_t page, Pte pte) {
        set(node, page, pte);
        mapped.push_back({node, page});
    }
    // nullptr, or what is wrong with the page.
    const char* broken(std::size_t page) const;

    std::vector<Mapped> mapped;  // since somebody last cleared it

  private:
    std::size_t nodes_;
    std::vector<std::uint64_t> readers_, writers_;  // a bit for each node, by page
};

// One node's.
class SimMapper final : public PageMapper {
  public:
    SimMapper(Mappings& all, std::size_t node) : all_(all), node_(node) {}

    Result<void> map_read_only(PageNumber first, std::uint64_t count) override;
    Result<void> map_writable(PageNumber first, std::uint64_t count) override;
    Result<void> allow_write(PageNumber page) override;
    Result<void> forbid_write(PageNumber page) override;
    Result<void> unmap(PageNumber first, std::uint64_t count) override;
    Result<void> watch_writes(PageNumber, std::uint64_t) override { return {}; }
    Result<void> collapse(PageNumber) override { return Error{"no large pages here"}; }

  private:
    Mappings& all_;
    std::size_t node_;
};

}  // namespace vsmp::coherence::sim
