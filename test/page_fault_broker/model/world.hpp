// A whole small machine as the model checker sees it: nodes, their directories, the messages
// between them, and vCPUs that run short programs. Protocol decisions are made by the product's
// own step functions; everything else (network, memory, vCPUs, time) is modelled here.
//
// Network: one FIFO per ordered pair of nodes, also from a node to itself; the fabric masks loss.
//
// Memory: a copy is current or stale. A write makes every other copy stale, also those under way,
// so "current" says the same as comparing version numbers with the last written one.
//
// vCPU: executes `length` instructions, each chosen freely from a set; so all programs of that
// length are visited at once. An instruction makes all its accesses at once when all are permitted,
// else it faults on the first that is not, waits for that page to be mapped, and tries again. A
// fault reaches the data plane some time after it happened, possibly when the vCPU was woken long
// ago by somebody else's request for that page: such spurious faults are visited too.
//
// Eviction: any node may at any moment be short of memory, so any page may be evicted at any moment
// and the memory of any copy that may not be used be given back, a number of times given by the
// model: nodes with room for one page are among those. Home takes a page back some time after it
// was asked to (it may have to make room first). A request offers the copy that its node still has;
// the provider answers that it is still good exactly if it is ("same"), as comparing contents
// would.
//
// Bundle: a node may ask for any pages at any moment without anybody waiting for them, as a
// prefetch does. Messages that travel in one frame are delivered one after the other, one of the
// orders that are visited.
//
// Hold: see HoldModel.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "page_fault_broker/core/home_page.hpp"
#include "page_fault_broker/core/local_page.hpp"

namespace vsmp::coherence::model {

inline constexpr std::size_t kMaxModelNodes = 3;
inline constexpr std::size_t kMaxModelPages = 2;
inline constexpr std::size_t kMaxModelVcpus = 4;
// In flight together. A page has one transaction, of at most as many messages as there are nodes,
// and beside it a request of each other node.
inline constexpr std::size_t kMaxInFlight = 14;

struct Touch {
    std::uint8_t page = 0;
    Access access{};
};
using Instruction = std::vector<Touch>;

enum class HoldModel : std::uint8_t {
    // A hold may end at any moment. More than can happen, so whatever is safe here is safe; but
    // pages may then be stolen for ever and nothing can be said about progress.
    ends_any_time,
    // What HoldTable and sensible limits give: the vCPU for which a page was obtained runs before
    // the hold is over; while it waits for another page, its pages stay until the burst is cut; and
    // a cut is slower than everything else: it happens when nothing else can, and to the waiting
    // vCPU on the node with the least patience, the first one. HoldTable draws patience, so that
    // some node again and again has more than the others together; the model takes such a draw for
    // given, and the simulation, which has the real HoldTable, shows that it comes.
    slower_than_network,
};

// Faults put in on purpose, to see that the checker finds them.
enum class Mutation : std::uint8_t {
    none,
    forget_sharer,      // one invalidation is not sent, and its ack not counted
    lose_invalidation,  // one invalidation is not sent, its ack is waited for
    no_hold,            // every hold is over at once
    grant_before_acks,  // a writer does not wait for the acks
    lose_dirty_page,    // an exclusive page is dropped like a copy, home believes it has it
    revalidate_old,     // a provider says that the requester's copy is still good without looking
    forget_offer,       // a copy that was offered is given back before the answer
    drop_source,        // the only copy but the directory's knowledge of it is dropped
    grant_twice,        // a directory serves what follows a request without waiting for its end
};

struct Model {
    std::uint8_t nodes = 3;
    std::vector<std::uint8_t> homes;  // by page
    std::vector<std::uint8_t> vcpus;  // the node of each
    std::vector<Instruction> instructions;
    std::uint8_t length = 1;
    std::uint8_t evictions = 0;   // in all, at most 3: of a page, or of a stale copy
    std::uint8_t prefetches = 0;  // in all, at most 3
    HoldModel hold = HoldModel::slower_than_network;
    Mutation mutation = Mutation::none;

    std::size_t pages() const { return homes.size(); }
};

struct InFlight {
    std::uint8_t from = 0, to = 0;
    MessageKind kind{};
    std::uint8_t page = 0, requester = 0, acks = 0;
    bool current = false;  // of the contents, for data messages
    bool offer = false;    // of requests and forwards: the requester still has a copy
    bool same = false;     // of data messages: the requester's copy is the contents

    friend bool operator==(const InFlight&, const InFlight&) = default;
};

struct Vcpu {
    std::uint8_t left = 0;         // instructions to start
    std::uint8_t instruction = 0;  // 1 + index of the one under way, 0: none
    bool waiting = false;
    std::uint8_t waits_for = 0;  // page
    bool fault = false;          // a fault of it has not reached the data plane yet
    std::uint8_t fault_page = 0;
    Access fault_access{};

    friend bool operator==(const Vcpu&, const Vcpu&) = default;
};

struct World {
    std::array<std::array<LocalPage, kMaxModelPages>, kMaxModelNodes> local{};
    std::array<std::array<bool, kMaxModelPages>, kMaxModelNodes> current{};
    // vCPUs (bits) whose fault on a page was reported since it was last mapped. These and `holders`
    // are for HoldModel::slower_than_network only.
    std::array<std::array<std::uint8_t, kMaxModelPages>, kMaxModelNodes> claims{};
    // vCPUs (bits) for whose sake a page is held.
    std::array<std::array<std::uint8_t, kMaxModelPages>, kMaxModelNodes> holders{};
    std::array<HomePage, kMaxModelPages> home{};
    std::array<bool, kMaxModelPages> coming_home{};  // home was asked to take it and has not yet
    std::uint8_t evictions_left = 0, prefetches_left = 0;
    std::array<Vcpu, kMaxModelVcpus> vcpus{};
    // Ordered by (from, to), and by time within each pair.
    std::array<InFlight, kMaxInFlight> messages{};
    std::uint8_t message_count = 0;

    friend bool operator==(const World&, const World&) = default;
};

World initial_world(const Model& model);

NodeId node_id(std::size_t node);
// The first touch of the instruction that the node may not make now; null: all are permitted.
const Touch* first_missing(const World& world, std::size_t node, const Instruction& instruction);

struct Transition {
    enum class Kind : std::uint8_t {
        deliver,       // a: position of a first message of its pair
        report_fault,  // a: vCPU
        start,         // a: vCPU, b: instruction
        retry,         // a: vCPU
        end_hold,      // a: node, b: page
        end_holds_of,  // a: vCPU, which is between instructions
        cut_burst,     // a: vCPU, which waits
        evict,         // a: node, b: page
        discard,       // a: node, b: page: its stale copy
        take_home,     // b: page
        prefetch,      // a: node, b: page, to read
        prefetch_write,
    };
    Kind kind{};
    std::uint8_t a = 0, b = 0;
};

void enabled(const Model& model, const World& world, std::vector<Transition>& transitions);
// nullptr, or what is wrong with taking this transition (a read of old contents, too many
// messages); `world` is then in between.
const char* apply(const Model& model, World& world, Transition transition);

// nullptr, or the invariant that does not hold.
const char* broken_invariant(const Model& model, const World& world);
// The same for a state in which nothing can happen any more.
const char* broken_end(const Model& model, const World& world);

std::string describe(const Model& model, const World& world, Transition transition);

}  // namespace vsmp::coherence::model
