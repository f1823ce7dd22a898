#include "locality_ml/sim/cluster.hpp"

#include <deque>
#include <optional>
#include <queue>
#include <random>

namespace vsmp::locality::sim {
namespace {

constexpr std::size_t kNodes = 2;
constexpr Duration kQuantum = std::chrono::microseconds(5);  // of one vCPU before the others
constexpr Duration kUntouched = std::chrono::milliseconds(100);
constexpr std::uint64_t kPageBytes = 4200, kMessageBytes = 100, kShipBytes = 2500;

struct Page {
    NodeId owner;
    std::uint8_t readers = 0;    // bit per node, the owner's included
    std::uint8_t untouched = 0;  // bit per node: prefetched there and not touched yet
    VcpuId prefetched_for;
    Instant prefetched_at{};
    Instant held_until{};
    bool in_transfer = false;
};

enum class State : std::uint8_t { running, waiting, travelling, idle, ended };

struct Cpu {
    NodeId node;
    State state = State::running;
    std::optional<Op> op;   // begun, its page not touched yet
    bool computed = false;  // of `op`
    Decision decision;
    Instant faulted{};
    std::optional<NodeId> sent;  // by placement
    Duration idle{};
    std::deque<Instant> ships;  // of the last second
    std::vector<std::byte> luggage;
};

enum class Kind : std::uint8_t { step, transfer, transferred, left, arrived, tick };

struct Event {
    Instant when;
    std::uint64_t order;
    Kind kind;
    std::size_t cpu;
    friend bool operator>(const Event& a, const Event& b) {
        return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
};

class Cluster {
  public:
    Cluster(Workload& workload, const MakePolicy& make, const SimOptions& options)
        : workload_(workload), options_(options), random_(options.seed) {
        pages_.resize(workload.page_count());
        for (std::uint64_t i = 0; i < pages_.size(); ++i) {
            pages_[i].owner = workload.place_of(PageNumber{i});
            pages_[i].readers = bit(pages_[i].owner);
        }
        resident_.resize(kNodes);
        for (const Page& page : pages_) ++resident_count_[page.owner.value()];
        cpus_.resize(workload.vcpu_count());
        for (std::size_t i = 0; i < cpus_.size(); ++i) {
            cpus_[i].node = workload.start_of(id(i));
            at(start(), Kind::step, i);
        }
        for (std::uint8_t n = 0; n < kNodes; ++n)
            policies_.push_back(make({.self = NodeId{n},
                                      .node_count = kNodes,
                                      .vcpu_count = cpus_.size(),
                                      .page_count = pages_.size(),
                                      .seed = options.seed}));
        at(start() + options.tick, Kind::tick, 0);
    }

    SimResult run() {
        while (!events_.empty() && now_ - start() < options_.limit) {
            const Event event = events_.top();
            events_.pop();
            now_ = event.when;
            handle(event);
            if (ended_ == cpus_.size()) {
                result_.finished = true;
                break;
            }
        }
        result_.time = now_ - start();
        return result_;
    }

  private:
    static Instant start() { return Instant{std::chrono::seconds(1)}; }
    static std::uint8_t bit(NodeId node) { return static_cast<std::uint8_t>(1 << node.value()); }
    static VcpuId id(std::size_t i) { return VcpuId{static_cast<std::uint16_t>(i)}; }
    Policy& policy(NodeId node) { return *policies_[node.value()]; }
    Page& page(PageNumber number) { return pages_[number.value()]; }
    void at(Instant when, Kind kind, std::size_t cpu) { events_.push({when, order_++, kind, cpu}); }

    Duration vary(Duration mean) {
        std::uniform_real_distribution<double> factor{1 - options_.fabric.jitter,
                                                      1 + options_.fabric.jitter};
        return Duration{
            static_cast<Duration::rep>(static_cast<double>(mean.count()) * factor(random_))};
    }

    void handle(const Event& event) {
        switch (event.kind) {
            case Kind::step:
                return step(event.cpu);
            case Kind::transfer:
                return transfer(event.cpu);
            case Kind::transferred:
                return transferred(event.cpu);
            case Kind::left:
                return left(event.cpu);
            case Kind::arrived:
                return arrived(event.cpu);
            case Kind::tick:
                return tick();
        }
    }

    bool allowed(const Page& page, NodeId node, Access access) const {
        return access == Access::read ? (page.readers & bit(node)) != 0
                                      : page.owner == node && page.readers == bit(node);
    }

    float runnable(NodeId node) const {
        float count = 0;
        for (const Cpu& cpu : cpus_)
            if (cpu.node == node && cpu.state == State::running) ++count;
        return count;
    }
    Duration slowed(Duration compute, NodeId node) const {
        const float factor = std::max(1.0F, runnable(node) / workload_.cpus_per_host());
        return Duration{static_cast<Duration::rep>(static_cast<float>(compute.count()) * factor)};
    }

    void step(std::size_t i) {
        Cpu& cpu = cpus_[i];
        cpu.state = State::running;
        const Instant end = now_ + kQuantum;
        Instant t = now_;
        while (t < end) {
            if (cpu.sent) return leave(i, *cpu.sent);
            if (!cpu.op) {
                cpu.op = workload_.next(id(i), cpu.node);
                cpu.computed = false;
                if (cpu.op->kind == OpKind::end) {
                    cpu.state = State::ended;
                    ++ended_;
                    return;
                }
            }
            if (cpu.op->kind == OpKind::idle) {
                cpu.state = State::idle;
                cpu.idle += cpu.op->compute;
                t += cpu.op->compute;
                cpu.op.reset();
                break;
            }
            if (!cpu.computed) {
                cpu.computed = true;
                const Duration compute = slowed(cpu.op->compute, cpu.node);
                t += compute;
                // The touch is at its own time, if that is far.
                if (compute > kQuantum) break;
            }
            now_ = t;
            if (!touch(i)) return;
            cpu.op.reset();
        }
        at(t, Kind::step, i);
    }

    // False: a fault, the vCPU waits or leaves.
    bool touch(std::size_t i) {
        Cpu& cpu = cpus_[i];
        Page& p = page(cpu.op->page);
        if (allowed(p, cpu.node, cpu.op->access)) {
            settle(p, cpu.op->page, cpu.node, PrefetchFate::used);
            return true;
        }
        cpu.faulted = now_;
        ++result_.faults;
        cpu.state = State::waiting;
        cpu.decision = Fetch{};
        if (p.owner != cpu.node) {
            cpu.decision = policy(cpu.node).decide({.vcpu = id(i),
                                                    .page = cpu.op->page,
                                                    .access = cpu.op->access,
                                                    .location = p.owner,
                                                    .mobility = Mobility::free,
                                                    .code = cpu.op->code,
                                                    .now = now_});
            if (const auto* ship = std::get_if<Ship>(&cpu.decision)) {
                leave(i, ship->to);
                return false;
            }
        }
        transfer(i);
        return false;
    }

    // What became of a prefetched page on a node, if it is one.
    void settle(Page& p, PageNumber number, NodeId node, PrefetchFate fate) {
        if ((p.untouched & bit(node)) == 0) return;
        p.untouched = static_cast<std::uint8_t>(p.untouched & ~bit(node));
        ++(fate == PrefetchFate::used ? result_.prefetch_used : result_.prefetch_wasted);
        policy(node).observe(Prefetched{p.prefetched_for, number, fate, now_});
    }

    void transfer(std::size_t i) {
        Cpu& cpu = cpus_[i];
        Page& p = page(cpu.op->page);
        if (allowed(p, cpu.node, cpu.op->access)) {  // it came for another vCPU
            policy(cpu.node).observe(
                Fetched{id(i), cpu.op->page, p.owner, now_ - cpu.faulted, now_});
            return resume(i);
        }
        if (p.in_transfer) return at(now_ + options_.fabric.next_page, Kind::transfer, i);
        const bool others = p.owner != cpu.node || p.readers != bit(p.owner);
        if (others && now_ < p.held_until) return at(p.held_until, Kind::transfer, i);
        p.in_transfer = true;
        const bool upgrade = (p.readers & bit(cpu.node)) != 0;
        const Instant begin = std::max(now_, link_free_);
        at(begin + vary(upgrade ? options_.fabric.upgrade : options_.fabric.fetch),
           Kind::transferred, i);
    }

    void obtain(Page& p, PageNumber number, NodeId node, Access access) {
        if ((p.readers & bit(node)) == 0) {
            ++resident_count_[node.value()];
            resident_[node.value()].push_back(number);
            result_.bytes += kPageBytes;
        }
        result_.bytes += 2 * kMessageBytes;
        if (access == Access::read) {
            p.readers |= bit(node);
        } else {
            for (std::uint8_t n = 0; n < kNodes; ++n) {
                const NodeId other{n};
                if (other == node || (p.readers & bit(other)) == 0) continue;
                settle(p, number, other, PrefetchFate::wasted);
                policy(other).observe(Lost{number, access, node, now_});
                --resident_count_[n];
            }
            p.owner = node;
            p.readers = bit(node);
        }
        p.held_until = now_ + options_.fabric.hold;
        evict(node);
    }

    // A full node sends home, or drops, what it obtained first.
    void evict(NodeId node) {
        const std::uint64_t capacity = workload_.node_capacity();
        auto& queue = resident_[node.value()];
        while (capacity > 0 && resident_count_[node.value()] > capacity && !queue.empty()) {
            const PageNumber number = queue.front();
            queue.pop_front();
            Page& p = page(number);
            if ((p.readers & bit(node)) == 0 || p.in_transfer) continue;
            const NodeId home = workload_.place_of(number);
            if (home == node) continue;
            settle(p, number, node, PrefetchFate::wasted);
            p.readers = static_cast<std::uint8_t>(p.readers & ~bit(node));
            --resident_count_[node.value()];
            if (p.owner != node) continue;
            if ((p.readers & bit(home)) == 0) ++resident_count_[home.value()];
            p.owner = home;
            p.readers |= bit(home);
        }
    }

    void transferred(std::size_t i) {
        Cpu& cpu = cpus_[i];
        Page& p = page(cpu.op->page);
        p.in_transfer = false;
        const NodeId from = p.owner;
        obtain(p, cpu.op->page, cpu.node, cpu.op->access);
        if (from != cpu.node) {
            policy(cpu.node).observe(Fetched{id(i), cpu.op->page, from, now_ - cpu.faulted, now_});
            prefetch(i, std::get<Fetch>(cpu.decision).prefetch);
        }
        resume(i);
    }

    void prefetch(std::size_t i, const PageList& list) {
        Cpu& cpu = cpus_[i];
        link_free_ = std::max(link_free_, now_);
        for (const PageNumber number : list) {
            Page& p = page(number);
            const bool no = allowed(p, cpu.node, cpu.op->access) || p.in_transfer ||
                            now_ < p.held_until || p.owner == cpu.node;
            if (no) {
                policy(cpu.node).observe(Prefetched{id(i), number, PrefetchFate::missed, now_});
                continue;
            }
            obtain(p, number, cpu.node, cpu.op->access);
            p.untouched |= bit(cpu.node);
            p.prefetched_for = id(i);
            p.prefetched_at = now_;
            untouched_.push_back(number);
            link_free_ += options_.fabric.next_page;
        }
    }

    void resume(std::size_t i) {
        cpus_[i].state = State::running;
        at(now_ + vary(options_.fabric.wake), Kind::step, i);
    }

    void leave(std::size_t i, NodeId to) {
        Cpu& cpu = cpus_[i];
        cpu.sent = to;
        cpu.state = State::travelling;
        ++result_.ships;
        result_.bytes += kShipBytes;
        cpu.ships.push_back(now_);
        while (now_ - cpu.ships.front() > std::chrono::seconds(1)) cpu.ships.pop_front();
        result_.most_ships_in_a_second =
            std::max<std::uint64_t>(result_.most_ships_in_a_second, cpu.ships.size());
        at(now_ + vary(options_.fabric.leave), Kind::left, i);
    }

    void left(std::size_t i) {
        Cpu& cpu = cpus_[i];
        cpu.luggage.resize(kMaxLuggage);
        ByteWriter writer{cpu.luggage};
        policy(cpu.node).pack(id(i), writer);
        cpu.luggage.resize(writer.size());
        policy(cpu.node).observe(Departed{id(i), *cpu.sent, now_});
        cpu.faulted = now_;
        at(now_ + vary(options_.fabric.ship), Kind::arrived, i);
    }

    void arrived(std::size_t i) {
        Cpu& cpu = cpus_[i];
        const NodeId from = cpu.node;
        cpu.node = *cpu.sent;
        cpu.sent.reset();
        policy(cpu.node).observe(Arrived{id(i), from, now_ - cpu.faulted, cpu.luggage, now_});
        resume(i);
    }

    void tick() {
        std::array<NodeLoad, kNodes> loads;
        for (std::uint8_t n = 0; n < kNodes; ++n) {
            float wanting = 0;  // waiting for a page is wanting a CPU soon
            for (const Cpu& cpu : cpus_)
                if (cpu.node == NodeId{n} &&
                    (cpu.state == State::running || cpu.state == State::waiting))
                    ++wanting;
            loads[n] = {.host = n, .cpus = workload_.cpus_per_host(), .runnable = wanting};
        }
        for (auto& policy : policies_) policy->on_loads(loads, now_);
        for (std::size_t i = 0; i < cpus_.size(); ++i) place(i);
        expire();
        const auto samples = static_cast<std::size_t>((now_ - start()) / options_.sample);
        if (result_.progress.size() < samples) result_.progress.push_back(workload_.progress());
        at(now_ + options_.tick, Kind::tick, 0);
    }

    void place(std::size_t i) {
        Cpu& cpu = cpus_[i];
        if (cpu.state == State::ended || cpu.state == State::travelling) return;
        const float idle =
            static_cast<float>(cpu.idle.count()) / static_cast<float>(options_.tick.count());
        cpu.idle = {};
        const Placement placement =
            policy(cpu.node).place({.vcpu = id(i),
                                    .busy = std::clamp(1 - idle, 0.0F, 1.0F),
                                    .code = cpu.op ? cpu.op->code : CodeAddress{},
                                    .now = now_});
        // It goes when it has what it waits for.
        if (const auto* ship = std::get_if<Ship>(&placement)) cpu.sent = ship->to;
    }

    void expire() {
        while (!untouched_.empty()) {
            Page& p = page(untouched_.front());
            if (now_ - p.prefetched_at < kUntouched) return;
            for (std::uint8_t n = 0; n < kNodes; ++n)
                settle(p, untouched_.front(), NodeId{n}, PrefetchFate::wasted);
            untouched_.pop_front();
        }
    }

    Workload& workload_;
    SimOptions options_;
    std::mt19937_64 random_;
    std::vector<Page> pages_;
    std::vector<Cpu> cpus_;
    std::vector<std::unique_ptr<Policy>> policies_;
    std::vector<std::deque<PageNumber>> resident_;  // by node: obtained, oldest first
    std::array<std::uint64_t, kNodes> resident_count_{};
    std::deque<PageNumber> untouched_;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    std::uint64_t order_ = 0;
    std::size_t ended_ = 0;
    Instant now_ = start();
    Instant link_free_{};
    SimResult result_;
};

}  // namespace

SimResult run(Workload& workload, const MakePolicy& make, const SimOptions& options) {
    return Cluster{workload, make, options}.run();
}

}  // namespace vsmp::locality::sim
