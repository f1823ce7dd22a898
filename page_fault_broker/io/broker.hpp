// Performs the coherence protocol of one node: feeds faults, messages and timers to the pure core
// and carries out what it answers on guest memory, userfaultfd and the fabric.
//
// Owned by the data-plane thread; nothing here blocks.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "dpdk_transport/fabric.hpp"
#include "page_fault_broker/core/ahead_ledger.hpp"
#include "page_fault_broker/core/companions.hpp"
#include "page_fault_broker/core/hold_table.hpp"
#include "page_fault_broker/core/page_table.hpp"
#include "page_fault_broker/core/read_ahead.hpp"
#include "page_fault_broker/core/resident_set.hpp"
#include "page_fault_broker/core/version.hpp"
#include "page_fault_broker/io/guest_memory.hpp"
#include "page_fault_broker/io/outbox.hpp"
#include "page_fault_broker/io/page_store.hpp"
#include "page_fault_broker/io/userfault.hpp"
#include "proto/time.hpp"

namespace vsmp {

struct BrokerCounters {
    std::uint64_t faults = 0;
    std::uint64_t local_maps = 0;    // faults answered without the fabric
    std::uint64_t fetches_read = 0;  // pages obtained, by what they were asked for
    std::uint64_t fetches_write = 0;
    std::uint64_t upgrades = 0;       // write permission obtained without contents
    std::uint64_t invalidations = 0;  // pages taken from this node's vCPUs
    std::uint64_t zero_pages = 0;     // obtained as a flag
    std::uint64_t revalidated = 0;    // obtained as the word that the old copy is still good
    std::uint64_t written_back = 0;   // pages that homes took because this node was short of memory
    std::uint64_t memory_waits = 0;   // faults that had to wait for memory
    std::uint64_t malformed = 0;      // messages dropped by the decoder
    std::uint64_t prefetches = 0;     // pages asked for by prefetch(); read-ahead counts its own
};

// Who wants to know what becomes of pages. Called on the broker's thread, from within its calls;
// must not call it back.
class BrokerObserver {
  public:
    virtual ~BrokerObserver() = default;
    // A page that `claimant` waited for is here and mapped.
    virtual void on_obtained(coherence::Claimant claimant, PageNumber page, Instant now) = 0;
    // Another node wants a page of which something is here, and gets it now or after its hold.
    virtual void on_wanted(PageNumber page, Access access, NodeId by, Instant now) = 0;
    // A page that was fetched ahead with MapAhead::on_touch is needed now.
    virtual void on_touched(PageNumber page, Instant now) = 0;
};

// When a page that was fetched ahead gets its PTE: with `on_touch` its first use is a local fault,
// which tells that it was of use.
enum class MapAhead : std::uint8_t { at_once, on_touch };

// Pages that one call of Broker::prefetch() asks for at most.
inline constexpr std::size_t kMaxPrefetch = 64;
class Broker : private coherence::MemoryKeeper {
  public:
    // All references outlive the broker. `memory_limit`: pages that may be resident here, more than
    // are homed here; 0: no limit.
    Broker(NodeId self, HomeMap homes, coherence::HoldLimits holds, GuestMemory& memory,
           PageMapper& mapper, std::uint64_t memory_limit = 0);
    // How other nodes are reached; before the first event. Without it the guest has one node.
    void attach(fabric::Fabric* fabric) { fabric_ = fabric; }
    // Without one the time of a hold is what passes.
    void set_turn_clock(const coherence::TurnClock* clock) { holds_.set_clock(clock); }
    void set_observer(BrokerObserver* observer) { observer_ = observer; }
    // Pages fetched ahead of a vCPU that goes through memory in order, at most
    // coherence::kMaxReadAhead; 0: none.
    void set_read_ahead(std::uint64_t pages);
    // Pages fetched together with one that is needed, as they were before; 0: none, as
    // long as this is not called.
    void set_companions(std::size_t pages);

    // PageStore::use_large_pages().
    void use_large_pages(std::uint64_t most_areas) { store_.use_large_pages(most_areas); }

    // Whether answering this fault needs another node.
    bool is_remote(const Userfault& fault) const { return !permits(fault.page, fault.access); }
    // Best guess of where a page that is not here is.
    NodeId location(PageNumber page) const;
    void on_fault(const Userfault& fault, coherence::Claimant claimant, Instant now);
    // Asks for pages that will be wanted soon, at most kMaxPrefetch of them, as a vCPU's fault
    // would. Nobody waits for them and they are not held: whoever needs one more gets it. Pages
    // that are here already, if only to be read, or on their way, and numbers beyond the guest's
    // RAM are passed over. It is a hint: while links are congested nothing is asked for. Returns
    // those that were.
    std::vector<PageNumber> prefetch(std::span<const PageNumber> pages, Access access, MapAhead map,
                                     Instant now);
    // A vCPU left before its fault was answered.
    void on_abandoned(coherence::Claimant claimant, Instant now);
    void on_message(NodeId from, ByteView payload, Instant now);
    // Between these two calls messages and mappings are put together, to go out at the second.
    void begin_batch() { batching_ = true; }
    void end_batch();
    void on_timer(Instant now);
    std::optional<Instant> next_deadline() const;

    // Before any vCPU runs: contents of a page homed here were written through the alias.
    void mark_populated(PageNumber first, std::uint64_t count);
    const BrokerCounters& counters() const { return counters_; }
    const coherence::ReadAheadCounters& read_ahead_counters() const {
        return ahead_ledger_.counters();
    }
    const coherence::CompanionCounters& companion_counters() const {
        return companions_.counters();
    }
    const coherence::MemoryCounters& memory_counters() const { return resident_.counters(); }
    coherence::LargeCounters large_counters() const { return store_.large_counters(); }
    // How long a page that was obtained stays at least, now.
    Duration hold() const { return holds_.hold(); }
    std::uint64_t memory_limit() const { return resident_.limit(); }

  private:
    struct Waiting {  // who asked for a page that is on its way
        PageNumber page;
        coherence::Claimant claimant;
        // None: the time until it is here says nothing about what a fetch takes.
        std::optional<Instant> since;
    };

    // What is done once there is memory for it.
    struct Starved {
        enum class Why : std::uint8_t { fault, take_home };
        PageNumber page;
        Access access{};
        Why why{};
    };

    void unmap(PageNumber page) override;
    void evict(PageNumber page) override;
    void discard(PageNumber page) override;

    bool permits(PageNumber page, Access access) const;
    void dispatch(NodeId from, const coherence::Message& message, ByteView contents);
    void run_local(PageNumber page, const coherence::LocalEvent& event, ByteView contents = {});
    void run_home(const coherence::Message& message);
    void perform(PageNumber page, const coherence::Action& action);
    bool collapses() const;
    void start_hold(PageNumber page);
    void expect(const Userfault& fault, coherence::Claimant claimant);
    void note_hand_over(NodeId from, const coherence::Message& message);
    void disregard_wait(PageNumber page);
    bool attempt(const Starved& what);
    bool take(PageNumber page, coherence::Purpose purpose);
    void send_and_map();
    enum class Prefetched : std::uint8_t { asked, here_already, not_possible };
    Prefetched prefetch_one(PageNumber page, Access access, MapAhead map);
    void ask_for_companions(PageNumber of, coherence::Claimant claimant);
    std::uint64_t still_ahead(PageNumber first, PageNumber end) const;
    bool has_marker(PageNumber first, PageNumber end) const;
    void hear_of(PageNumber page);
    void ask_ahead(const coherence::ReadAhead::Request& request, PageNumber after);
    void fault_when_possible(const Starved& what);
    void send(NodeId to, coherence::Message message);
    ByteView put_contents(coherence::Message& message);
    // What this node's own steps caused to happen on this node.
    void settle();
    bool retry_starved();
    void store(PageNumber page, const coherence::Message& message, ByteView contents);
    void map_exclusive(PageNumber page);
    std::uint64_t fault_around(PageNumber page);
    bool is_mine_alone(PageNumber page) const;
    bool is_mapped_later(PageNumber page) const;
    void count(const coherence::LocalPage& before, const coherence::LocalEvent& event);
    void tell_if_wanted(const coherence::LocalPage& page, const coherence::LocalEvent& event);

    NodeId self_;
    coherence::PageTable table_;
    PageStore store_;
    fabric::Fabric* fabric_ = nullptr;
    BrokerObserver* observer_ = nullptr;
    coherence::HoldTable holds_;
    coherence::ResidentSet resident_;
    coherence::Companions companions_{0};
    coherence::ReadAhead read_ahead_{coherence::kMaxReadAhead};
    coherence::AheadLedger ahead_ledger_;
    Outbox outbox_;
    coherence::OfferMeter offers_;
    Instant now_{};  // of the event that is being handled

    std::vector<Waiting> waiting_;
    std::deque<Starved> starved_;              // at most one per thread, and what homes are offered
    std::deque<coherence::Message> loopback_;  // of this node to itself, in order
    std::vector<PageNumber> unclaimed_;        // obtained, but whoever wanted it has left
    std::vector<PageNumber> expired_;
    bool batching_ = false;
    BrokerCounters counters_;
};

}  // namespace vsmp
