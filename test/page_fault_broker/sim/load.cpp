#include "load.hpp"

#include <memory>

#include "proto/check.hpp"

namespace vsmp::coherence::sim {
namespace {

// How far every vCPU is: phases that all go through, a barrier between them.
class Phases {
  public:
    // In phase p vCPU v makes plan(v, p)[i] for all i.
    using Plan = std::function<std::vector<Instruction>(std::size_t vcpu, std::size_t phase)>;

    Phases(std::size_t vcpus, std::size_t phases, Plan plan)
        : vcpus_(vcpus), phases_(phases), plan_(std::move(plan)), phase_of_(vcpus), left_(vcpus) {
        for (std::size_t v = 0; v < vcpus; ++v) left_[v] = plan_(v, 0);
    }

    std::optional<Instruction> next(std::size_t vcpu) {
        if (phase_ == phases_) return std::nullopt;
        if (left_[vcpu].empty() && phase_of_[vcpu] == phase_) {
            ++phase_of_[vcpu];
            if (++arrived_ == vcpus_) begin_phase();
        }
        if (left_[vcpu].empty() || phase_of_[vcpu] > phase_) return Instruction{};
        Instruction instruction = std::move(left_[vcpu].back());
        left_[vcpu].pop_back();
        return instruction;
    }

  private:
    void begin_phase() {
        arrived_ = 0;
        ++phase_;
        for (std::size_t v = 0; v < vcpus_ && phase_ < phases_; ++v) left_[v] = plan_(v, phase_);
    }

    std::size_t vcpus_, phases_;
    Plan plan_;
    std::size_t phase_ = 0, arrived_ = 0;
    std::vector<std::size_t> phase_of_;
    std::vector<std::vector<Instruction>> left_;
};

// `count` pages from `first` on, beginning with the one at `start` and going round.
std::vector<Instruction> each_page(std::size_t first, std::size_t count, Access access,
                                   std::size_t start = 0) {
    std::vector<Instruction> made;
    for (std::size_t i = 0; i < count; ++i) made.push_back({{first + (start + i) % count, access}});
    return made;
}

std::vector<Instruction> plan(Pattern pattern, std::size_t nodes, std::size_t pages,
                              std::size_t vcpu, std::size_t phase) {
    const std::size_t all = nodes * pages, own = vcpu * pages;
    const std::size_t next = (vcpu + 1) % nodes * pages,
                      former = (vcpu + nodes - 1) % nodes * pages;
    const bool writes = phase % 2 == 0;
    switch (pattern) {
        case Pattern::private_pages:
            return each_page(next, pages, Access::write);
        case Pattern::read_shared:
            return each_page(0, all, Access::read, own);
        case Pattern::migratory:
            if (phase % nodes != vcpu) return {};
            return each_page(0, all, Access::write);
        case Pattern::producer_consumer:
            return each_page(writes ? own : former, pages, writes ? Access::write : Access::read);
        case Pattern::broadcast:
            if (writes != (vcpu == 0)) return {};
            return each_page(0, all, writes ? Access::write : Access::read, own);
    }
    VSMP_CHECK(false, "pattern out of range");
}

}  // namespace

Load random_load(std::size_t pages, std::size_t at_once, std::uint64_t seed) {
    // mt19937_64 is the same everywhere, the standard's distributions are not.
    auto random = std::make_shared<std::mt19937_64>(seed);
    return [=](std::size_t) {
        Instruction made(1 + (*random)() % at_once);
        for (Touch& touch : made) {
            const std::size_t range = (*random)() % 2 == 0 ? at_once : pages;
            touch = {(*random)() % range, (*random)() % 3 == 0 ? Access::write : Access::read};
        }
        return made;
    };
}

std::string_view name_of(Pattern pattern) {
    switch (pattern) {
        case Pattern::private_pages:
            return "private";
        case Pattern::read_shared:
            return "read_shared";
        case Pattern::migratory:
            return "migratory";
        case Pattern::producer_consumer:
            return "producer_consumer";
        case Pattern::broadcast:
            return "broadcast";
    }
    VSMP_CHECK(false, "pattern out of range");
}

Load pattern_load(Pattern pattern, std::size_t nodes, std::size_t pages_per_node,
                  std::size_t rounds) {
    const std::size_t phases = pattern == Pattern::migratory ? rounds * nodes : 2 * rounds;
    auto all = std::make_shared<Phases>(nodes, phases, [=](std::size_t vcpu, std::size_t phase) {
        return plan(pattern, nodes, pages_per_node, vcpu, phase);
    });
    return [all](std::size_t vcpu) { return all->next(vcpu); };
}

}  // namespace vsmp::coherence::sim
