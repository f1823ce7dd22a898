#include "locality_ml/sim/workload.hpp"

#include <random>

namespace vsmp::locality::sim {
namespace {

using namespace std::chrono_literals;
using Random = std::mt19937_64;

Op touch(Duration compute, std::uint64_t page, Access access, std::uint64_t code) {
    return {.kind = OpKind::touch,
            .compute = compute,
            .page = PageNumber{page},
            .access = access,
            .code = CodeAddress{code}};
}
constexpr Op kEnd{.kind = OpKind::end, .page = {}, .code = {}};

// Two nodes, each home of one half of the pages. Subclasses say what is beyond that.
class TwoNodes : public Workload {
  public:
    TwoNodes(std::size_t vcpus, std::uint64_t half) : half_(half), vcpus_(vcpus) {}
    std::size_t vcpu_count() const override { return vcpus_; }
    std::uint64_t page_count() const override { return 2 * half_; }
    NodeId place_of(PageNumber page) const override { return NodeId{page.value() >= half_}; }
    NodeId start_of(VcpuId vcpu) const override { return NodeId{(vcpu.value() & 1) != 0}; }
    std::uint64_t progress() const override { return done_; }

  protected:
    std::uint64_t half_, done_ = 0;

  private:
    std::size_t vcpus_;
};

// a: one vCPU scans an array that lives on the other node, again and again, with a page of its own.
class Scan final : public TwoNodes {
  public:
    Scan(std::uint64_t pages, std::uint64_t passes)
        : TwoNodes(1, pages + 16), pages_(pages), steps_(pages * passes) {}
    Op next(VcpuId, NodeId) override {
        if (done_ == steps_) return kEnd;
        const std::uint64_t i = done_++;
        if (i % 16 == 0) return touch(100ns, 0, Access::write, 0x1000);
        return touch(1us, half_ + i % pages_, Access::read, 0x1000);
    }

  private:
    std::uint64_t pages_, steps_;
};

// b: two vCPUs take turns at a lock and what it guards.
class Lock final : public TwoNodes {
  public:
    explicit Lock(std::uint64_t turns) : TwoNodes(2, 64), turns_(turns), state_(2) {}
    Op next(VcpuId vcpu, NodeId) override {
        int& state = state_[vcpu.value()];
        if (state == kTrying) {  // the write to the lock's page has happened just now
            if (holder_ >= 0 && holder_ != vcpu.value())
                return touch(1us, kLock, Access::write, 0x2000);
            holder_ = vcpu.value();
            state = 1;
        }
        if (state > 0 && state <= kData)
            return touch(1us, kLock + static_cast<std::uint64_t>(state++), Access::write, 0x2100);
        if (state > kData) {
            holder_ = -1;
            ++done_;
            state = 0;
        }
        if (done_ >= turns_ && holder_ < 0) return kEnd;
        // Something of its own, then the lock.
        state = kTrying;
        return touch(5us, kLock, Access::write, 0x2000);
    }

  private:
    static constexpr int kTrying = -1, kData = 4;
    static constexpr std::uint64_t kLock = 8;
    std::uint64_t turns_;
    std::vector<int> state_;
    int holder_ = -1;
};

// c: a table that all read and somebody writes now and then.
class Table final : public TwoNodes {
  public:
    Table(std::size_t vcpus, std::uint64_t pages, std::uint64_t steps, std::uint64_t seed)
        : TwoNodes(vcpus, pages), pages_(pages), steps_(steps), random_(seed) {}
    Op next(VcpuId, NodeId) override {
        if (done_ >= steps_) return kEnd;
        ++done_;
        const std::uint64_t page = random_() % pages_;
        const bool writes = random_() % 20'000 == 0;
        return touch(2us, page, writes ? Access::write : Access::read, 0x3000);
    }

  private:
    std::uint64_t pages_, steps_;
    Random random_;
};

enum class Start : std::uint8_t { spread, together };

// d: data of each vCPU's own, a barrier at the end of each phase.
class Private final : public TwoNodes {
  public:
    Private(std::size_t vcpus, std::uint64_t pages, std::uint64_t touches, std::uint64_t phases,
            Start start)
        : TwoNodes(vcpus, pages * ((vcpus + 1) / 2) + kShared),
          start_(start),
          pages_(pages),
          touches_(touches),
          phases_(phases),
          vcpus_(vcpus) {}
    NodeId start_of(VcpuId vcpu) const override {
        return start_ == Start::together ? NodeId{0} : TwoNodes::start_of(vcpu);
    }
    Op next(VcpuId id, NodeId) override {
        One& vcpu = vcpus_[id.value()];
        if (vcpu.phase == phases_) return kEnd;
        if (vcpu.touched < touches_) {
            ++vcpu.touched;
            ++done_;
            // The first pages of either half are shared.
            const std::uint64_t base = (id.value() & 1 ? half_ : 0) + kShared;
            return touch(2us, base + id.value() / 2 * pages_ + vcpu.touched % pages_, Access::write,
                         0x4000);
        }
        if (!vcpu.waits) {
            vcpu.waits = true;
            if (++arrived_ == vcpus_.size()) {
                arrived_ = 0;
                ++open_;
            }
            return touch(1us, 0, Access::write, 0x4100);
        }
        if (open_ <= vcpu.phase) return touch(5us, 0, Access::read, 0x4200);
        ++vcpu.phase;
        vcpu.waits = false;
        vcpu.touched = 0;
        return touch(1us, 0, Access::read, 0x4200);
    }

  private:
    static constexpr std::uint64_t kShared = 64;
    struct One {
        std::uint64_t phase = 0, touched = 0;
        bool waits = false;
    };
    Start start_;
    std::uint64_t pages_, touches_, phases_;
    std::vector<One> vcpus_;
    std::uint64_t arrived_ = 0, open_ = 0;
};

// e: a walk through a graph, from page to page; with communities it seldom leaves one.
class Graph final : public TwoNodes {
  public:
    Graph(std::uint64_t community, std::uint64_t stay, std::uint64_t steps, std::uint64_t seed)
        : TwoNodes(1, 2048), community_(community), stay_(stay), steps_(steps), random_(seed) {}
    std::uint64_t node_capacity() const override { return 2048 + 512; }
    Op next(VcpuId, NodeId) override {
        if (done_ >= steps_) return kEnd;
        ++done_;
        const std::uint64_t communities = page_count() / community_;
        if (random_() % stay_ == 0) current_ = random_() % communities;
        const std::uint64_t page = current_ * community_ + random_() % community_;
        return touch(1us, page, Access::read, 0x5000);
    }

  private:
    std::uint64_t community_, stay_, steps_;
    Random random_;
    std::uint64_t current_ = 0;
};

// g: one vCPU that reads and rewrites all pages, again and again, with rests between; beside d or
// alone.
class Compactor final : public Workload {
  public:
    Compactor(std::unique_ptr<Workload> beside, std::uint64_t pages, std::uint64_t passes)
        : beside_(std::move(beside)), pages_(pages), passes_(passes) {}
    std::size_t vcpu_count() const override { return others() + 1; }
    std::uint64_t page_count() const override { return beside_ ? beside_->page_count() : pages_; }
    NodeId start_of(VcpuId vcpu) const override {
        return vcpu.value() < others() ? beside_->start_of(vcpu) : NodeId{0};
    }
    NodeId place_of(PageNumber page) const override {
        return beside_ ? beside_->place_of(page) : NodeId{page.value() >= pages_ / 2};
    }
    float cpus_per_host() const override { return 3; }
    Op next(VcpuId vcpu, NodeId node) override {
        if (vcpu.value() < others()) {
            const Op op = beside_->next(vcpu, node);
            if (op.kind == OpKind::end) ++ended_;
            return op;
        }
        // Beside others it ends with them.
        if (beside_ ? ended_ == others() : steps_ == page_count() * passes_) return kEnd;
        const std::uint64_t page = steps_++ % page_count();
        const Duration rest = page == 0 ? Duration{20ms} : Duration{0};
        return touch(2us + rest, page, Access::write, 0x6000);
    }
    std::uint64_t progress() const override { return beside_ ? beside_->progress() : steps_; }

  private:
    std::size_t others() const { return beside_ ? beside_->vcpu_count() : 0; }
    std::unique_ptr<Workload> beside_;
    std::uint64_t pages_, passes_;
    std::uint64_t steps_ = 0;
    std::size_t ended_ = 0;
};

// f: other workloads of as many vCPUs one after the other, over and over.
class Phases final : public Workload {
  public:
    Phases(std::vector<NamedWorkload> parts, std::size_t rounds, std::uint64_t seed)
        : parts_(std::move(parts)), rounds_(rounds), seed_(seed) {
        for (const NamedWorkload& part : parts_) {
            bases_.push_back(pages_);
            models_.push_back(part.make(seed_));
            pages_ += models_.back()->page_count();
        }
        current_ = parts_[0].make(seed_);
    }
    std::size_t vcpu_count() const override { return 4; }
    std::uint64_t page_count() const override { return pages_; }
    NodeId start_of(VcpuId vcpu) const override { return NodeId{(vcpu.value() & 1) != 0}; }
    NodeId place_of(PageNumber page) const override {
        std::size_t part = parts_.size() - 1;
        while (bases_[part] > page.value()) --part;
        return models_[part]->place_of(PageNumber{page.value() - bases_[part]});
    }
    Op next(VcpuId vcpu, NodeId node) override {
        const std::size_t part = phase_ % parts_.size();
        if (phase_ == parts_.size() * rounds_) return kEnd;
        if (vcpu.value() >= current_->vcpu_count()) return idle();
        Op op = current_->next(vcpu, node);
        if (op.kind == OpKind::end) {
            if (ended_.size() < vcpu_count()) ended_.resize(vcpu_count());
            ended_[vcpu.value()] = true;
            std::size_t count = 0;
            for (const bool ended : ended_) count += ended;
            if (count < current_->vcpu_count()) return idle();
            done_ += current_->progress();
            ended_.assign(vcpu_count(), false);
            if (++phase_ < parts_.size() * rounds_)
                current_ = parts_[phase_ % parts_.size()].make(seed_ + phase_);
            return idle();
        }
        op.page = PageNumber{op.page.value() + bases_[part]};
        op.code = CodeAddress{op.code.value() + part * 0x10000};
        return op;
    }
    std::uint64_t progress() const override { return done_ + current_->progress(); }

  private:
    static Op idle() { return {.kind = OpKind::idle, .compute = 100us, .page = {}, .code = {}}; }
    std::vector<NamedWorkload> parts_;
    std::size_t rounds_;
    std::uint64_t seed_, pages_ = 0, done_ = 0;
    std::vector<std::uint64_t> bases_;
    std::vector<std::unique_ptr<Workload>> models_;  // for their places only
    std::unique_ptr<Workload> current_;
    std::size_t phase_ = 0;
    std::vector<bool> ended_;
};

class Adversary final : public TwoNodes {
  public:
    explicit Adversary(std::uint64_t steps) : TwoNodes(1, 1 << 20), steps_(steps) {}
    Op next(VcpuId, NodeId node) override {
        if (done_ == steps_) return kEnd;
        // A page not touched before, of the node where the vCPU is not.
        const std::uint64_t page = done_++ + (node == NodeId{0} ? half_ : 0);
        return touch(20us, page, Access::read, 0x7000);
    }

  private:
    std::uint64_t steps_;
};

std::unique_ptr<Workload> make_private(std::uint64_t phases, Start start) {
    return std::make_unique<Private>(4, 256, 1000, phases, start);
}

const std::vector<NamedWorkload>& parts_of_f() {
    static const std::vector<NamedWorkload> parts{
        {"a", "",
         [](std::uint64_t) -> std::unique_ptr<Workload> {
             return std::make_unique<Scan>(1024, 400);
         }},
        {"c", "",
         [](std::uint64_t seed) -> std::unique_ptr<Workload> {
             return std::make_unique<Table>(4, 512, 800'000, seed);
         }},
        {"d", "", [](std::uint64_t) { return make_private(200, Start::spread); }},
    };
    return parts;
}

}  // namespace

const std::vector<NamedWorkload>& workloads() {
    static const std::vector<NamedWorkload> all{
        {"a", "one vCPU scans an array that lives on another node",
         [](std::uint64_t) -> std::unique_ptr<Workload> {
             return std::make_unique<Scan>(2048, 100);
         }},
        {"b", "two vCPUs bounce a lock and its data",
         [](std::uint64_t) -> std::unique_ptr<Workload> { return std::make_unique<Lock>(20'000); }},
        {"c", "read-mostly table shared by all, rare writes",
         [](std::uint64_t seed) -> std::unique_ptr<Workload> {
             return std::make_unique<Table>(4, 512, 4'000'000, seed);
         }},
        {"d", "private data per vCPU, a barrier per phase",
         [](std::uint64_t) { return make_private(400, Start::spread); }},
        {"d-together", "the same, all vCPUs start on one node",
         [](std::uint64_t) { return make_private(400, Start::together); }},
        {"e-uniform", "pointer chase through a graph larger than one node",
         [](std::uint64_t seed) -> std::unique_ptr<Workload> {
             return std::make_unique<Graph>(4096, 1, 60'000, seed);
         }},
        {"e-communities", "the same, with communities",
         [](std::uint64_t seed) -> std::unique_ptr<Workload> {
             return std::make_unique<Graph>(128, 4000, 1'000'000, seed);
         }},
        {"f", "phases that switch between a, c and d",
         [](std::uint64_t seed) -> std::unique_ptr<Workload> {
             return std::make_unique<Phases>(parts_of_f(), 2, seed);
         }},
        {"g", "a pass that rewrites every page of memory, now and then",
         [](std::uint64_t) -> std::unique_ptr<Workload> {
             return std::make_unique<Compactor>(nullptr, 4096, 40);
         }},
        {"g+d", "g beside d",
         [](std::uint64_t) -> std::unique_ptr<Workload> {
             return std::make_unique<Compactor>(make_private(400, Start::spread), 0, 0);
         }},
    };
    return all;
}

std::unique_ptr<Workload> make_adversary(std::uint64_t steps) {
    return std::make_unique<Adversary>(steps);
}

}  // namespace vsmp::locality::sim
