// Rests: every vCPU halts, but for a timer once a second. Then vCPU 0 touches pages that vCPU 1 has
// written before, each after a while of silence, and as many without.
//
// Arguments: 0 seconds of rest (30), 1 touches of each kind (100), 2 ms of silence before each
//            (100), 10 TSC ticks of a millisecond.
// Reports, vCPU 0 only: 1 = the rest begins, 2 = it is over; TSC ticks of one touch: 3 after
// silence,
//            4 right after another.
// Failures: 1 = vCPU 0 did not see what vCPU 1 had written; value: the address.
#include "test/micro/loads/load.hpp"

namespace micro {
namespace {

constexpr u64 kRestUs = 1'000'000;  // the timer's count has 32 bits
// With one between them: neighbours would be fetched ahead.
constexpr u64 kStride = 2;

Barrier barrier;

u64* page(u64 index) {
    return words_at(kDefaultArea + index * kStride * kPageBytes);
}

void touch(u32 code, u64 index) {
    const u64 begin = timestamp();
    const u64 found = load(page(index));
    const u64 ticks = timestamp() - begin;
    if (found != index + 1) fail(1, reinterpret_cast<u64>(page(index)));
    report(code, ticks);
}

}  // namespace

Status run(const Guest& guest) {
    const Load load_{guest};
    const u64 seconds = guest.argument(0, 30), touches = guest.argument(1, 100);
    if (guest.vcpu == 1)
        for (u64 i = 0; i < 2 * touches; ++i) store(page(i), i + 1);
    barrier.wait(guest);
    if (guest.vcpu == 0) report(1, seconds);
    for (u64 second = 0; second < seconds; ++second) load_.sleep_us(kRestUs);
    if (guest.vcpu != 0) return kGood;
    report(2, seconds);
    for (u64 i = 0; i < touches; ++i) {
        load_.sleep_us(guest.argument(2, 100) * 1000);
        touch(3, i);
    }
    for (u64 i = touches; i < 2 * touches; ++i) touch(4, i);
    return kGood;
}

}  // namespace micro
