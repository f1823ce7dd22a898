// Measures how long touching a page takes. In each round vCPU 1 (if there is one) writes all
// pages, so that its node owns them; then vCPU 0 touches them one after the other and takes the
// time of each.
//
// Arguments: 0 first page's address, 1 pages (256), 2 distance between two in pages (1),
//            3 what is timed: 0 read, 1 write, 2 write after an untimed read (an upgrade),
//            4 rounds (1), 5 address of a result buffer of u64[rounds * pages] (0: none; it gets
//            the ticks too).
// Reports, vCPU 0 only: 1 = TSC ticks of one touch, in order; 2 = number of touches.
// Failures: 1 = vCPU 0 did not see what vCPU 1 had written; value: the address.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

enum class Timed : u64 { read = 0, write = 1, upgrade = 2 };

Barrier barrier;

struct Plan {
    u64 area, pages, stride, rounds;
    Timed timed;
    u64* results;

    u64* page(u64 index) const { return words_at(area + index * stride * kPageBytes); }
};

u64 time_read(u64* word, u64 expected) {
    const u64 begin = timestamp();
    const u64 found = load(word);
    const u64 end = timestamp();
    if (found != expected) fail(1, reinterpret_cast<u64>(word));
    return end - begin;
}

u64 time_write(u64* word, u64 value) {
    const u64 begin = timestamp();
    asm volatile("mov %1, %0" : "=m"(*word) : "r"(value));
    return timestamp() - begin;
}

u64 touch(const Plan& plan, u64* word, u64 expected) {
    switch (plan.timed) {
        case Timed::read:
            return time_read(word, expected);
        case Timed::write:
            return time_write(word, expected);
        case Timed::upgrade:
            break;
    }
    time_read(word, expected);
    return time_write(word, expected);
}

void measure(const Plan& plan, u64 round, u64 expected) {
    for (u64 i = 0; i < plan.pages; ++i) {
        const u64 ticks = touch(plan, plan.page(i), expected);
        if (plan.results) plan.results[round * plan.pages + i] = ticks;
        report(1, ticks);
    }
}

}  // namespace

Status run(const Guest& guest) {
    const Plan plan{.area = guest.argument(0, kDefaultArea),
                    .pages = guest.argument(1, 256),
                    .stride = guest.argument(2, 1),
                    .rounds = guest.argument(4, 1),
                    .timed = static_cast<Timed>(guest.arguments[3]),
                    .results = words_at(guest.arguments[5])};
    for (u64 round = 0; round < plan.rounds; ++round) {
        const u64 expected = guest.vcpus > 1 ? round + 1 : 0;
        if (guest.vcpu == 1)
            for (u64 i = 0; i < plan.pages; ++i) store(plan.page(i), expected);
        barrier.wait(guest);
        if (guest.vcpu == 0) measure(plan, round, expected);
        barrier.wait(guest);
    }
    if (guest.vcpu == 0) report(2, plan.rounds * plan.pages);
    return kGood;
}

}  // namespace micro
