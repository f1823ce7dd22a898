#include "vmm/cpu/interrupt_mailbox.hpp"

#include <utility>

#include "proto/check.hpp"

namespace vsmp::cpu {

void InterruptMailbox::set_kick(std::function<void()> kick) {
    const std::lock_guard lock(mutex_);
    kick_ = std::move(kick);
}

void InterruptMailbox::call_runner() {
    switch (attention_) {
        case Attention::awake:
        case Attention::kicked:
            return;  // it will look before it sleeps or enters the guest
        case Attention::in_guest:
            // Under the lock, so that the runner is still the one that entered.
            attention_ = Attention::kicked;
            if (kick_) kick_();
            return;
        case Attention::waiting:
            changed_.notify_one();
            return;
    }
}

Posted InterruptMailbox::post(const Interrupt& interrupt) {
    const std::lock_guard lock(mutex_);
    if (door_ == Door::closed) return Posted::closed;
    contents_.interrupts.add(interrupt);
    call_runner();
    return Posted::accepted;
}

Posted InterruptMailbox::request_departure(NodeId to) {
    const std::lock_guard lock(mutex_);
    if (door_ == Door::closed) return Posted::closed;
    contents_.depart = to;
    call_runner();
    return Posted::accepted;
}

void InterruptMailbox::start(VcpuStart start) {
    const std::lock_guard lock(mutex_);
    VSMP_CHECK(door_ == Door::closed && !contents_.start, "a vCPU starts where it already is");
    door_ = Door::open;
    contents_.start = std::move(start);
    call_runner();
}

void InterruptMailbox::request_stop() {
    const std::lock_guard lock(mutex_);
    contents_.stop = true;
    call_runner();
}

InterruptMailbox::Contents InterruptMailbox::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(contents_, Contents{});
}

InterruptMailbox::Contents InterruptMailbox::wait(std::optional<Instant> deadline) {
    std::unique_lock lock(mutex_);
    attention_ = Attention::waiting;
    const auto has_news = [this] { return !contents_.empty(); };
    if (deadline) {
        const std::chrono::steady_clock::time_point until(deadline->time_since_epoch());
        changed_.wait_until(lock, until, has_news);
    } else {
        changed_.wait(lock, has_news);
    }
    attention_ = Attention::awake;
    return std::exchange(contents_, Contents{});
}

InterruptStash InterruptMailbox::close() {
    const std::lock_guard lock(mutex_);
    door_ = Door::closed;
    contents_.depart.reset();
    return std::exchange(contents_.interrupts, InterruptStash{});
}

InterruptMailbox::Entry InterruptMailbox::enter_guest() {
    const std::lock_guard lock(mutex_);
    if (!contents_.empty()) return Entry::look_again;
    attention_ = Attention::in_guest;
    return Entry::proceed;
}

void InterruptMailbox::leave_guest() {
    const std::lock_guard lock(mutex_);
    attention_ = Attention::awake;
}

}  // namespace vsmp::cpu
