// A cluster of nodes in simulated time: the product's step functions and HoldTable, driven the way
// the broker drives them, with random programs, delays, wake-ups and moves of vCPUs. Everything
// follows from the options; the same options give the same run.
//
// Memory is a version number per page and node. After each event the pages it touched are checked:
// one writer or many readers, none of them with old contents, directory and nodes of one mind.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "page_fault_broker/core/hold_table.hpp"
#include "page_fault_broker/core/home_page.hpp"
#include "page_fault_broker/core/local_page.hpp"

namespace vsmp::coherence::sim {

// Faults put in on purpose, to see that the simulation finds them.
enum class Mutation : std::uint8_t { none, forget_sharer, no_hold };

struct Options {
    std::uint64_t seed = 1;
    std::uint64_t events = 20'000;  // vCPUs start no more instructions after so many
    std::size_t nodes = 3;
    std::size_t vcpus_per_node = 2;
    std::size_t pages = 8;
    std::size_t most_pages_at_once = 4;  // of one instruction
    double ships = 0.01;                 // chance that a vCPU moves instead of faulting
    Duration network = std::chrono::microseconds(20);   // a message takes up to so long
    Duration reaction = std::chrono::microseconds(10);  // a fault or wake-up takes up to so long
    Duration hold = std::chrono::microseconds(50);
    Duration think = std::chrono::microseconds(100);  // between instructions, up to so long
    Mutation mutation = Mutation::none;
    bool trace = false;  // every event to stderr
};
// Sizes and delays drawn from the seed.
Options random_options(std::uint64_t seed);

struct Outcome {
    std::string problem;  // empty: none
    std::uint64_t events = 0;
    std::uint64_t instructions = 0;
    Duration longest_instruction{};
    Duration duration{};  // simulated
};

class Cluster {
  public:
    explicit Cluster(const Options& options);
    Outcome run();

  private:
    struct Touch {
        std::size_t page;
        Access access;
    };
    struct Vcpu {
        std::size_t node = 0;
        std::vector<Touch> instruction;  // empty: between two
        Instant began;                   // the instruction
        std::optional<std::size_t> waits_for;
        std::uint64_t turn = 0;  // an attempt scheduled before the vCPU's last change is void
    };
    struct Page {
        LocalPage local;
        std::uint64_t version = 0;
        std::vector<std::size_t> claimants;  // vCPUs, see ActionKind::start_hold
    };
    struct Node {
        std::vector<Page> pages;
        HoldTable holds;
        std::optional<Instant> timer;
    };
    struct Sent {
        Message message;
        std::uint64_t version = 0;
    };
    struct Link {
        std::deque<Sent> sent;
        Instant last_arrival;
    };
    struct Event {
        enum class Kind : std::uint8_t { attempt, report_fault, deliver, hold_timer };
        Instant when{};
        std::uint64_t number = 0;  // orders what happens at the same time
        Kind kind{};
        std::size_t a = 0, b = 0;  // vCPU, vCPU, from and to, node
        std::uint64_t turn = 0;
        Touch fault{};
        std::size_t node = 0;  // where the fault happened
        bool operator>(const Event& other) const {
            return std::tie(when, number) > std::tie(other.when, other.number);
        }
    };

    void schedule(Duration delay, Event event);
    Duration up_to(Duration longest);
    std::size_t below(std::size_t limit);

    void perform(const Event& event);
    void attempt(std::size_t vcpu);
    void execute(std::size_t vcpu);
    void start_instruction(Vcpu& vcpu);
    void ship(std::size_t vcpu);
    void schedule_attempt(std::size_t vcpu, Duration delay);
    void report_fault(std::size_t vcpu, std::size_t node, Touch fault);
    void deliver(std::size_t from, std::size_t to);
    void directory(std::size_t node, const Message& message);
    void local(std::size_t node, std::size_t page, const LocalEvent& event, std::uint64_t version);
    void send(std::size_t from, std::size_t to, const Message& message);
    void wake(std::size_t node, std::size_t page);
    void start_hold(std::size_t node, std::size_t page, const std::vector<std::size_t>& claimants);
    void end_hold(std::size_t node, std::size_t page);
    void expire_holds(std::size_t node);
    void set_timer(std::size_t node);

    void check(std::size_t page);
    void check_end();
    void fail(const std::string& problem);
    void trace(const Event& event) const;

    NodeId home_of(std::size_t page) const;

    Options options_;
    std::mt19937_64 random_;
    Instant now_{};
    std::uint64_t next_number_ = 0;
    std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
    std::vector<Node> nodes_;
    std::vector<HomePage> homes_;
    std::vector<std::uint64_t> written_;  // last version, by page
    std::vector<Vcpu> vcpus_;
    std::vector<std::vector<Link>> links_;  // by sender and receiver
    std::vector<std::size_t> touched_;      // pages to check after this event
    Outcome outcome_;
};

}  // namespace vsmp::coherence::sim
