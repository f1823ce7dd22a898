// What the workloads of `tools/dev bench locality` share: where things are, what they count, how
// they wait. A workload is a program here and a description in test/bench/locality/.
//
// Arguments that the bench adds to each workload's own (0 to 7):
//   8 the node where the data of vCPU v lives, hexadecimal digit v
//   9 bytes of memory of each node; 10 TSC ticks of a millisecond
//   11 ms that the work may take (2000)
//   12 not 0: stay when done (the bench stops the guest), and wait for a line before the work
// Reports, of each vCPU and each kind of work (0 to 9): 50 + kind units done; 60 + kind TSC ticks
// that they took; 70 + kind units of about 100 ms, again and again; 90 done; 91 ready to begin.
#pragma once

#include "test/micro/guest.hpp"

namespace micro {

inline constexpr u32 kUnits = 50, kTicks = 60, kSlice = 70, kDone = 90, kReady = 91;
inline constexpr u64 kWords = kPageBytes / sizeof(u64);

class Load {
  public:
    explicit Load(const Guest& guest)
        : guest_(guest),
          node_bytes_(guest.argument(9, guest.ram_bytes)),
          ms_(guest.argument(10, 1'000'000)) {
        write_msr(kSpuriousVector, kApicEnabled | kSpurious);
        write_msr(kTimerEntry, kTimerVector);
        write_msr(kTimerDivide, kDivideByOne);
    }

    const Guest& guest() const { return guest_; }
    u64 argument(unsigned index, u64 otherwise) const { return guest_.argument(index, otherwise); }
    u64 ticks_of_ms(u64 ms) const { return ms * ms_; }
    u64 limit() const { return ticks_of_ms(argument(11, 2000)); }
    u64 node_of_data(u64 vcpu) const { return guest_.arguments[8] >> 4 * vcpu & 15; }
    // Page `index` of those that a workload may use on `node`.
    u64* page(u64 node, u64 index) const {
        return words_at(node * node_bytes_ + kLoadArea + index * kPageBytes);
    }
    u64 pages_of_node() const { return (node_bytes_ - kLoadArea) / kPageBytes; }
    u64 nodes() const { return guest_.ram_bytes / node_bytes_; }

    // Halted, so that others have this CPU.
    void sleep_us(u64 us) const { write_msr_and_halt(kTimerCount, us * ms_ / 1000); }

    // Ends this vCPU's part.
    Status done() const {
        report(kDone, 0);
        while (guest_.arguments[12] != 0) sleep_us(20'000);
        return kGood;
    }

  private:
    static constexpr u32 kSpuriousVector = 0x80f, kTimerEntry = 0x832, kTimerCount = 0x838,
                         kTimerDivide = 0x83e;
    static constexpr u64 kApicEnabled = 0x100, kSpurious = 0xff, kTimerVector = 0x40,
                         kDivideByOne = 0xb;
    static constexpr u64 kLoadArea = 8 << 20;

    const Guest& guest_;
    u64 node_bytes_;
    u64 ms_;
};

// All vCPUs meet here. Who waits for long sleeps.
class alignas(kPageBytes) MeetingPoint {
  public:
    void wait(const Load& load_) {
        const u64 vcpus = load_.guest().vcpus;
        const u64 arrival = add(&arrived_, 1);
        const u64 last_of_round = (arrival + vcpus - 1) / vcpus * vcpus;
        const u64 begin = timestamp();
        while (load(&arrived_) < last_of_round) {
            if (timestamp() - begin < load_.ticks_of_ms(1) / 4)
                pause();
            else
                load_.sleep_us(250);
        }
    }

  private:
    u64 arrived_ = 0;
};

// Between the preparations and the work: all vCPUs meet and, if the bench wants it, wait for it. It
// has typed a line before if there was a gate (test/micro/entry.cpp); that one is over.
class Start {
  public:
    void wait(const Load& load_) {
        prepared_.wait(load_);
        if (load_.guest().arguments[12] == 0) return;
        if (load_.guest().vcpu == 0)
            while (console_has_input()) read_console();
        drained_.wait(load_);
        report(kReady, load_.guest().vcpu);
        while (!console_has_input()) load_.sleep_us(1000);
    }

  private:
    MeetingPoint prepared_, drained_;
};

// Counts one kind of work of one vCPU.
class Meter {
  public:
    Meter(const Load& load, u32 kind) : load_(load), kind_(kind) {}

    void begin() { since_ = slice_since_ = timestamp(); }
    void count(u64 units) {
        units_ += units;
        slice_units_ += units;
        const u64 now = timestamp();
        if (now - slice_since_ < load_.ticks_of_ms(100)) return;
        report(kSlice + kind_, slice_units_);
        slice_units_ = 0;
        slice_since_ = now;
    }
    u64 units() const { return units_; }
    // Since begin().
    u64 elapsed() const { return timestamp() - since_; }
    void end() { ticks_ += elapsed(); }
    void tell() const {
        report(kUnits + kind_, units_);
        report(kTicks + kind_, ticks_);
    }

  private:
    const Load& load_;
    u32 kind_;
    u64 units_ = 0, ticks_ = 0, since_ = 0;
    u64 slice_units_ = 0, slice_since_ = 0;
};

// Numbers that look random and come again with the same seed (xorshift64).
class Dice {
  public:
    explicit Dice(u64 seed) : state_(mix(seed, 11, 13) | 1) {}
    u64 below(u64 limit) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return (state_ >> 16) % limit;
    }

  private:
    u64 state_;
};

}  // namespace micro
