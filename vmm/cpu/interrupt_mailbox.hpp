// What other threads want of a vCPU: interrupts, and orders to its runner.
//
// A mailbox is open while its vCPU is here and closed otherwise. The protocol that neither loses
// nor doubles an interrupt:
//   * post() into an open mailbox is final: the runner takes it, and whatever it has taken or
//     finds when it closes the mailbox is in the vCPU's state before that is captured;
//   * post() into a closed one says so and keeps nothing: the poster routes the interrupt to
//     where the vCPU goes, or keeps it until that is known;
//   * start() opens: from its return on, posts are for the vCPU that arrives.
//
// Threads: everything is locked inside. post, request_*, start: any thread. The others: the runner.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>

#include "proto/ids.hpp"
#include "proto/time.hpp"
#include "vmm/cpu/apic_types.hpp"
#include "vmm/cpu/vcpu_start.hpp"

namespace vsmp::cpu {

enum class Posted : std::uint8_t { accepted, closed };

class InterruptMailbox {
  public:
    // What accumulated since the last look.
    struct Contents {
        InterruptStash interrupts;
        std::optional<NodeId> depart;
        std::optional<VcpuStart> start;
        bool stop = false;
        bool empty() const { return interrupts.empty() && !depart && !start && !stop; }
    };

    // Called, locked, to get the runner out of the guest; at most once per entry.
    void set_kick(std::function<void()> kick);

    Posted post(const Interrupt& interrupt);
    // The vCPU shall leave for `to`. A second request before the first is taken replaces it.
    Posted request_departure(NodeId to);
    // Opens the mailbox for a vCPU that begins here. Open already: a bug of ours.
    void start(VcpuStart start);
    // Always accepted: the runner ends.
    void request_stop();

    // --- the runner's side ---
    Contents take();
    // Blocks until something is there, or until `deadline`.
    Contents wait(std::optional<Instant> deadline);
    // From here on posts are refused. What had been accepted and not taken; an order to depart is
    // dropped with it, a request to stop stays.
    InterruptStash close();
    // False, and nothing, when something is there to be taken.
    enum class Entry : std::uint8_t { proceed, look_again };
    Entry enter_guest();
    void leave_guest();

  private:
    enum class Attention : std::uint8_t { awake, in_guest, kicked, waiting };
    enum class Door : std::uint8_t { open, closed };

    void call_runner();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void()> kick_;
    Contents contents_;
    Attention attention_ = Attention::awake;
    Door door_ = Door::closed;
};

}  // namespace vsmp::cpu
