// What other threads of a node ask of its data plane. Bounded by construction: a vCPU thread has
// at most one device request, one departure and its few interrupts under way, because it waits
// or goes on only after each; the bound is checked all the same.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "proto/fd.hpp"

namespace vsmp {

template <class Command>
class CommandQueue {
  public:
    static constexpr std::size_t kCapacity = 65536;

    CommandQueue() : wakeup_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        VSMP_CHECK(static_cast<bool>(wakeup_), "eventfd");
    }

    // Any thread.
    void push(Command command) {
        std::lock_guard lock{mutex_};
        VSMP_CHECK(commands_.size() < kCapacity, "the data plane's command queue overflowed");
        commands_.push_back(std::move(command));
        pending_.store(true, std::memory_order_release);
        if (commands_.size() > 1) return;
        // Under the lock, as is the read below: else the descriptor could stay readable with
        // nothing behind it, and the data plane would never sleep again.
        const std::uint64_t one = 1;
        [[maybe_unused]] ssize_t n = ::write(wakeup_.get(), &one, sizeof one);
    }

    // The data plane: everything queued, in order. `into` is cleared first.
    void take(std::vector<Command>& into) {
        into.clear();
        if (!pending_.load(std::memory_order_acquire)) return;  // spares a busy loop the syscall
        std::lock_guard lock{mutex_};
        std::uint64_t count;
        [[maybe_unused]] ssize_t n = ::read(wakeup_.get(), &count, sizeof count);
        into.swap(commands_);
        pending_.store(false, std::memory_order_relaxed);
    }

    // Readable while something is queued.
    int wakeup_fd() const { return wakeup_.get(); }

  private:
    UniqueFd wakeup_;
    std::atomic<bool> pending_ = false;
    std::mutex mutex_;
    std::vector<Command> commands_;
};

}  // namespace vsmp
