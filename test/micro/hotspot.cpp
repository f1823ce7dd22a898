// False sharing: all vCPUs increment words of their own, next to each other in one page, for a
// time. Before that vCPU 0 measures, while the others wait, what an increment takes when nobody
// disturbs it, and what it takes to get a page that another node has written.
//
// Arguments: 0 the page's address; before it lie 64 pages for the measurement; 1 TSC ticks to run.
// Reports: 1 increments; 2 turns: how often the page was somebody else's in between; 3 ticks of
// 1024
//          increments, undisturbed (vCPU 0); 4 ticks of fetching a page to write, median (vCPU 0);
//          5 half of the time is over (vCPU 0).
#include "test/micro/guest.hpp"

namespace micro {
namespace {

constexpr u64 kChunk = 64;
constexpr u64 kChunksMeasured = 20'000, kDisturbed = 4;  // times the quickest chunk
constexpr unsigned kFetches = 64;

Barrier barrier;

void increment(u64* word) {
    // Plain, but really one load and one store each time.
    for (u64 i = 0; i < kChunk; ++i) asm volatile("incq %0" : "+m"(*word));
}

u64 timed_chunk(u64* word) {
    const u64 begin = timestamp();
    increment(word);
    return timestamp() - begin;
}

// Chunks during which an interrupt or another thread had the CPU are left out.
u64 ticks_of_1024(u64* word) {
    u64 quickest = ~u64{0}, sum = 0, count = 0;
    for (u64 i = 0; i < kChunksMeasured; ++i) {
        const u64 took = timed_chunk(word);
        if (took < quickest) quickest = took;
    }
    for (u64 i = 0; i < kChunksMeasured; ++i) {
        const u64 took = timed_chunk(word);
        if (took > kDisturbed * quickest) continue;
        sum += took;
        ++count;
    }
    return sum * (1024 / kChunk) / (count + 1);
}

u64 median_fetch(u64 first) {
    u64 ticks[kFetches];
    for (unsigned i = 0; i < kFetches; ++i) {
        const u64 begin = timestamp();
        store(words_at(first + i * kPageBytes), 1);
        const u64 took = timestamp() - begin;
        unsigned at = i;  // insertion sort
        for (; at > 0 && ticks[at - 1] > took; --at) ticks[at] = ticks[at - 1];
        ticks[at] = took;
    }
    return ticks[kFetches / 2];
}

u64 sum_of_others(const u64* page, const Guest& guest) {
    u64 sum = 0;
    for (u64 v = 0; v < guest.vcpus; ++v)
        if (v != guest.vcpu) sum += load(page + v);
    return sum;
}

}  // namespace

Status run(const Guest& guest) {
    u64* page = words_at(guest.argument(0, kDefaultArea + kFetches * kPageBytes));
    const u64 first = reinterpret_cast<u64>(page) - kFetches * kPageBytes;
    const u64 ticks = guest.argument(1, 1'000'000'000);
    if (guest.vcpu == guest.vcpus - 1)
        for (unsigned i = 0; i < kFetches; ++i) store(words_at(first + i * kPageBytes) + 1, i + 1);
    barrier.wait(guest);
    if (guest.vcpu == 0) {
        report(3, ticks_of_1024(page));
        report(4, median_fetch(first));
    }
    barrier.wait(guest);
    u64* own = page + guest.vcpu;
    const u64 before = load(own), end = timestamp() + ticks;
    u64 turns = 0, others = sum_of_others(page, guest);
    bool told = guest.vcpu != 0;
    while (timestamp() < end) {
        if (!told && timestamp() > end - ticks / 2) {
            report(5, 0);
            told = true;
        }
        increment(own);
        const u64 now = sum_of_others(page, guest);
        if (now != others) ++turns;
        others = now;
    }
    const u64 done = load(own) - before;
    barrier.wait(guest);
    report(1, done);
    report(2, turns);
    return kGood;
}

}  // namespace micro
