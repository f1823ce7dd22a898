// A cluster in simulated time: the product's Broker on each node, whole, over page-table entries
// that are simulated (mappings.hpp), memory that is real, and a network (network.hpp); vCPUs that
// run instructions, fault, are woken, and leave for other nodes in between. Everything follows from
// the options; the same options give the same run.
//
// Checked after each event: at most one writer, and no reader beside a writer; a page that a vCPU
// may use has what was written last; no node has more resident pages than its limit. In the end:
// every instruction is over and nothing is on its way.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "load.hpp"
#include "mappings.hpp"
#include "network.hpp"
#include "page_fault_broker/io/broker.hpp"

namespace vsmp::coherence::sim {

// Faults put in on purpose, to see that the simulation finds them.
enum class Mutation : std::uint8_t {
    none,
    forget_sharer,      // a node acknowledges an invalidation and goes on reading
    lose_invalidation,  // an invalidation does not arrive
    grant_before_acks,  // a writer does not wait for the acks
    lose_dirty_page,    // a page that comes home from a node short of memory has lost its contents
    revalidate_old,     // a provider says that an old copy is good without looking
    no_hold,            // every hold is over at once
    exceed_limit,       // nodes take one page more than they may
};

enum class NetworkKind : std::uint8_t { masked, fabrics };

struct Options {
    std::uint64_t seed = 1;
    std::uint64_t events = 20'000;  // vCPUs start no more instructions after so many
    std::size_t nodes = 3;
    std::size_t vcpus_per_node = 1;
    std::size_t pages_per_node = 4;      // homed at each
    std::size_t most_pages_at_once = 1;  // of one instruction of the random load
    std::size_t spare_pages = 0;         // a node's limit is so much more than its home; 0: none
    double ships = 0;                    // chance that a vCPU moves instead of faulting
    std::size_t companions = 0;          // Broker::set_companions
    double prefetches = 0;               // that a fault is followed by a prefetch of some page
    NetworkKind network = NetworkKind::masked;
    Wire wire = {};
    Duration reaction = std::chrono::microseconds(10);  // a fault or wake-up takes up to so long
    Duration slow_reaction{};                           // of vCPU 0, if longer
    Duration hold = std::chrono::microseconds(50);
    Duration think = std::chrono::microseconds(100);  // between instructions, up to so long
    Mutation mutation = Mutation::none;
    Load load = {};      // empty: random
    bool trace = false;  // every event to stderr
};
// Sizes and delays drawn from the seed.
Options random_options(std::uint64_t seed);

struct Outcome {
    std::string problem;  // empty: none
    std::uint64_t events = 0, instructions = 0;
    std::uint64_t misses = 0;  // pages or permissions obtained from elsewhere
    std::uint64_t evicted = 0, revalidated = 0;
    std::uint64_t passing = 0;  // pages of scans that came back
    Traffic traffic;
    std::vector<Duration> waits;  // of vCPUs, from a fault that needs another node to its answer
    Duration longest_instruction{};
    Duration duration{};  // simulated
};

class Cluster final : private TurnClock {
  public:
    explicit Cluster(const Options& options);
    ~Cluster() override;
    Outcome run();

  private:
    struct Vcpu {
        std::size_t node = 0;
        Instruction instruction;  // empty: between two
        Instant began;            // the instruction
        std::optional<std::size_t> waits_for;
        Instant waits_since;
        std::uint64_t turn = 0;  // an attempt scheduled before the vCPU's last change is void
        bool waits_remote = false;
        Duration had{};                     // time that it ran, before
        std::optional<Instant> runs_since;  // unless it waits
    };
    struct Node;
    struct Event {
        enum class Kind : std::uint8_t { attempt, fault, timer };
        Instant when{};
        std::uint64_t number = 0;  // orders what happens at the same time
        Kind kind{};
        std::size_t a = 0;  // vCPU; node of a timer
        std::uint64_t turn = 0;
        Touch fault{};
        std::size_t node = 0;  // where the fault happened
        bool operator>(const Event& other) const {
            return std::tie(when, number) > std::tie(other.when, other.number);
        }
    };

    void schedule(Duration delay, Event event);
    void schedule_attempt(std::size_t vcpu, Duration delay);
    Duration up_to(Duration longest);
    std::size_t below(std::size_t limit);
    bool chance(double p);

    std::optional<Duration> had(Claimant claimant) const override;
    void stop_running(Vcpu& vcpu);
    Duration reaction_of(std::size_t vcpu);

    void step();
    void perform(const Event& event);
    void attempt(std::size_t vcpu);
    void execute(std::size_t vcpu);
    void ship(std::size_t vcpu);
    void report_fault(const Event& event);
    void deliver(std::size_t to, NodeId from, ByteView payload);
    // What arrives in place of the message; false: nothing.
    bool mutate(std::size_t to, Message& message);
    void wake(const Mapped& mapped);
    void settle(std::size_t node);  // after each call of its broker
    void check_page(const Mapped& mapped);
    void check_limit(std::size_t node);
    void check_end();
    void fail(const std::string& problem);
    void trace(const Event& event) const;
    std::uint64_t limit() const {
        return options_.spare_pages == 0 ? 0 : options_.pages_per_node + options_.spare_pages;
    }
    std::size_t pages() const { return options_.nodes * options_.pages_per_node; }
    bool over() const;
    std::uint64_t& word(std::size_t node, std::size_t page);

    Options options_;
    std::mt19937_64 random_;
    Instant now_{};
    std::uint64_t next_number_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
    Mappings mappings_;
    std::unique_ptr<Network> network_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::vector<std::uint64_t> written_;  // last value, by page
    std::uint64_t next_value_ = 0;
    std::vector<Vcpu> vcpus_;
    std::set<std::pair<std::size_t, std::size_t>> offers_;  // node and page, for revalidate_old
    Outcome outcome_;
};

}  // namespace vsmp::coherence::sim
