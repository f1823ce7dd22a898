// Takes the time of every kind of page fault between two nodes, one kind after the other in turn,
// so that whatever disturbs the machine disturbs all alike. One vCPU; it starts on node 0, prepares
// pages there, asks for a ship to node 1 by a report, and measures when it is there. Then it
// computes for ever (to be shipped about) until the guest is stopped.
//
// Arguments: 0 begin of node 1's memory, 1 touches of each kind (200), 2 ticks between touches,
//            3 one more than the least ticks of a touch that had to be fetched (4000)
// Reports: 10 = send me to node 1; 1..5 = ticks of one touch:
//              1 local: first touch of a page that this node is home of
//              2 read fetch, 3 upgrade of that same page, 4 write fetch: pages written on node 0
//              5 read fetch of a page nobody ever wrote, which comes as a flag
//              6 first touch of a page that the host has mapped already: KVM's own part
//          20 = all measured; value: touches of each kind.
// Failures: 1 = a page does not have the contents written on node 0; value: its address.
#include <initializer_list>

#include "test/micro/guest.hpp"

namespace micro {
namespace {

enum Kind : u32 { kLocal = 1, kRead, kUpgrade, kWrite, kZero, kMapped, kKinds };
constexpr u32 kShipMe = 10, kMeasured = 20;

constexpr u64 kMebi = 1 << 20;
constexpr u64 kProbes = 4 * kMebi, kReadArea = 8 * kMebi, kWriteArea = 16 * kMebi;
constexpr u64 kZeroArea = 24 * kMebi;
constexpr u64 kProbeCount = 256, kMostTouches = 512;
// Pages of a node's own are mapped by sixteens, up to the next multiple of that: touching the last
// one maps one page, as a fetch does.
constexpr u64 kFaultAround = 16;
// KVM, too, maps neighbours when it finds them present: aligned groups of eight.
constexpr u64 kBeyondPrefetch = 12;
// So many slow touches of pages in a row, and the vCPU is where they are not.
constexpr u64 kSlowInARow = 8;

struct Plan {
    u64 remote, touches, interval, slow;
};

u64* page(u64 area, u64 index) {
    return words_at(area + index * kPageBytes);
}

// With a page between them, or they would be fetched ahead.
u64* apart(u64 area, u64 index) {
    return page(area, 2 * index);
}

u64 tag(const u64* word) {
    return mix(reinterpret_cast<u64>(word), 1, 2);
}

void wait(u64 ticks) {
    const u64 begin = timestamp();
    while (timestamp() - begin < ticks) pause();
}

u64 time_read(u64* word, u64 expected) {
    const u64 begin = timestamp();
    const u64 found = load(word);
    const u64 end = timestamp();
    if (found != expected) fail(1, reinterpret_cast<u64>(word));
    return end - begin;
}

u64 time_write(u64* word) {
    const u64 begin = timestamp();
    asm volatile("movq $7, %0" : "=m"(*word));
    return timestamp() - begin;
}

void prepare(const Plan& plan) {
    for (u64 i = 0; i < kProbeCount; ++i) store(apart(kProbes, i), i);
    for (u64 area : {kReadArea, kWriteArea})
        for (u64 i = 0; i < plan.touches; ++i) {
            u64* words = apart(area, i);
            for (u64 j = 0; j < kPageBytes / sizeof(u64); ++j) words[j] = tag(words + j);
        }
}

// Written pages are here and mapped until the vCPU is elsewhere: then each has to be fetched.
void wait_for_ship(const Plan& plan) {
    for (u64 i = 0, slow = 0; slow < kSlowInARow; i = (i + 1) % kProbeCount) {
        const u64 ticks = time_read(apart(kProbes, i), i);
        slow = ticks >= plan.slow ? slow + 1 : 0;
        // Not yet; and let the machine do it.
        if (slow == 0) wait(plan.slow * 16);
    }
}

u64* results(const Plan& plan, u64 kind) {
    return words_at(plan.remote + 48 * kMebi) + kind * kMostTouches;
}

void measure(const Plan& plan) {
    for (u64 i = 0; i < plan.touches; ++i) {
        u64* local = page(plan.remote, i * kFaultAround + kFaultAround - 1);
        wait(plan.interval);
        results(plan, kLocal)[i] = time_read(local, 0);
        wait(plan.interval);
        u64* read = apart(kReadArea, i);
        results(plan, kRead)[i] = time_read(read, tag(read));
        wait(plan.interval);
        results(plan, kUpgrade)[i] = time_write(read);
        wait(plan.interval);
        results(plan, kWrite)[i] = time_write(apart(kWriteArea, i));
        wait(plan.interval);
        results(plan, kZero)[i] = time_read(apart(kZeroArea, i), 0);
        time_read(page(plan.remote, i * kFaultAround), 0);  // maps its neighbours too
        wait(plan.interval);
        results(plan, kMapped)[i] =
            time_read(page(plan.remote, i * kFaultAround + kBeyondPrefetch), 0);
    }
    for (u64 i = 0; i < plan.touches; ++i) {
        const u64* last = apart(kWriteArea, i) + kPageBytes / sizeof(u64) - 1;
        if (load(last) != tag(last)) fail(1, reinterpret_cast<u64>(last));
    }
}

// With every register live that this CPU has, a ship carries the most.
void fill_registers(const Guest& guest) {
    constexpr u64 kAvx = 0x6, kAvx512 = 0xe6;
    if ((guest.extended_state() & kAvx512) == kAvx512) {
        asm volatile(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,"
            "29,30,31\n vpternlogd $0xff, %zmm\\n, %zmm\\n, %zmm\\n\n .endr\n"
            ".irp n, 0,1,2,3,4,5,6,7\n kxnorw %k\\n, %k\\n, %k\\n\n .endr");
    } else if ((guest.extended_state() & kAvx) == kAvx) {
        asm volatile(
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
            "vcmptrueps %ymm\\n, %ymm\\n, %ymm\\n\n .endr");
    }
}

}  // namespace

Status run(const Guest& guest) {
    Plan plan{.remote = guest.arguments[0],
              .touches = guest.argument(1, 200),
              .interval = guest.arguments[2],
              .slow = guest.argument(3, 4000)};
    if (plan.touches > kMostTouches) plan.touches = kMostTouches;
    prepare(plan);
    report(kShipMe, 1);
    wait_for_ship(plan);
    for (u64 kind = 1; kind < kKinds; ++kind)  // so that recording faults on nothing
        for (u64 i = 0; i < kMostTouches; ++i) results(plan, kind)[i] = 0;
    measure(plan);
    for (u32 kind = 1; kind < kKinds; ++kind)
        for (u64 i = 0; i < plan.touches; ++i) report(kind, results(plan, kind)[i]);
    fill_registers(guest);
    report(kMeasured, plan.touches);
    for (;;) pause();
}

}  // namespace micro
