// Getting a vCPU's thread out of KVM_RUN from any thread, without a lost wake-up.
//
// The signal's value carries the address of the vCPU's immediate_exit byte; the handler stores 1
// there and touches nothing else, so it needs no global and no thread-local state. A run loop does
//
//     vcpu.clear_immediate_exit();          // includes the fence
//     if (there is something to do) ...     // the poster wrote it before it kicked
//     else vcpu.run();
//
// A kick before the store of clear_immediate_exit() is one whose cause the check sees; one after it
// makes run() return InterruptedExit, whether it hits the thread before, in or on the way to
// KVM_RUN, or blocked in a userfault there. A kick that comes late costs one such return.
#pragma once

#include <pthread.h>
#include <time.h>

#include <cstdint>

#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::kvm {

// Installs the handler for the whole process. Once, in main (or a test), before the first vCPU.
Result<void> install_kick_handler();

// Kicks `thread`, which must not have been joined yet. immediate_exit must stay mapped until that
// thread has ended: a queued signal may be delivered late.
Result<void> kick(pthread_t thread, std::uint8_t* immediate_exit);

// Kicks the thread that created it at a given moment: the vCPU's timer.
class KickTimer {
  public:
    static Result<KickTimer> create_for_this_thread(std::uint8_t* immediate_exit);
    KickTimer(KickTimer&& other) noexcept;
    KickTimer& operator=(KickTimer&& other) noexcept;
    ~KickTimer();

    // Replaces an earlier setting. A moment in the past kicks at once.
    Result<void> arm(Instant when);
    Result<void> disarm();

  private:
    explicit KickTimer(timer_t timer) : timer_(timer), owned_(true) {}
    timer_t timer_{};
    bool owned_ = false;
};

}  // namespace vsmp::kvm
