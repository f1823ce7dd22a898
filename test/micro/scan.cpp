// Writes and reads many pages. Each round, every vCPU fills the pages p with p % vcpus == its
// number; then all read and check all pages.
//
// Arguments: 0 first page's address, 1 pages (64), 2 rounds (2), 3 seed.
// Reports: 1 = checksum of the last round, the same on every vCPU.
// Failures: 1 = a word was not what had been written; value: its address.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

constexpr u64 kWords = kPageBytes / sizeof(u64);
Barrier barrier;

void fill(u64* page, u64 number, u64 round_seed) {
    for (u64 i = 0; i < kWords; ++i) page[i] = mix(round_seed, number, i);
}

u64 check(const u64* page, u64 number, u64 round_seed) {
    u64 sum = 0;
    for (u64 i = 0; i < kWords; ++i) {
        if (page[i] != mix(round_seed, number, i)) fail(1, reinterpret_cast<u64>(page + i));
        sum = sum * 31 + page[i];
    }
    return sum;
}

}  // namespace

Status run(const Guest& guest) {
    const u64 area = guest.argument(0, kDefaultArea), pages = guest.argument(1, 64);
    const u64 rounds = guest.argument(2, 2), seed = guest.arguments[3];
    u64 sum = 0;
    for (u64 round = 0; round < rounds; ++round) {
        const u64 round_seed = mix(seed, round, 0);
        for (u64 p = guest.vcpu; p < pages; p += guest.vcpus)
            fill(words_at(area + p * kPageBytes), p, round_seed);
        barrier.wait(guest);
        sum = 0;
        for (u64 p = 0; p < pages; ++p)
            sum += check(words_at(area + p * kPageBytes), p, round_seed);
        barrier.wait(guest);
    }
    report(1, sum);
    return kGood;
}

}  // namespace micro
