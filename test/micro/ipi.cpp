// vCPU v sends interrupts to vCPU v + 1 (the last one to vCPU 0; a single one to itself) through
// the x2APIC, each after the one before was taken. At the end every vCPU must have taken exactly as
// many as were sent to it.
//
// Arguments: 0 interrupts from each vCPU (1000), 1 vector (0x40), 2 TSC ticks to wait for one
//            before it counts as lost (0: for ever).
// Reports: 1 = interrupts taken, 2 = mean TSC ticks from sending to seeing it taken.
// Failures: 1 = an interrupt was lost, value: how many were taken; 2 = more were taken than sent,
//           or another vector's; value: the count.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

constexpr u32 kSpuriousVector = 0x80f, kInterruptCommand = 0x830;
constexpr u64 kApicEnabled = 0x100, kSpurious = 0xff;

Barrier barrier;

void send(u64 target, u64 vector) {
    write_msr(kInterruptCommand, target << 32 | vector);
}

u64 wait_until_taken(const u64* counter, u64 count, u64 patience) {
    const u64 begin = timestamp();
    while (load(counter) < count) {
        pause();
        if (patience != 0 && timestamp() - begin > patience) fail(1, load(counter));
    }
    return timestamp() - begin;
}

void check_all_vectors(const Guest& guest, u64 vector, u64 count) {
    const u64* taken = interrupt_counts[guest.vcpu];
    for (u64 v = 0; v < 256; ++v) {
        const u64 expected = v == vector ? count : 0;
        if (load(&taken[v]) != expected) fail(2, v << 56 | load(&taken[v]));
    }
}

}  // namespace

Status run(const Guest& guest) {
    const u64 count = guest.argument(0, 1000), vector = guest.argument(1, 0x40);
    const u64 patience = guest.arguments[2];
    const u64 target = (guest.vcpu + 1) % guest.vcpus;
    const u64* counter = &interrupt_counts[target][vector];
    write_msr(kSpuriousVector, kApicEnabled | kSpurious);
    barrier.wait(guest);
    u64 ticks = 0;
    for (u64 i = 1; i <= count; ++i) {
        send(target, vector);
        ticks += wait_until_taken(counter, i, patience);
        if (load(counter) > i) fail(2, load(counter));
    }
    // Twice: whatever was still on its way has come when the last one leaves.
    barrier.wait(guest);
    barrier.wait(guest);
    check_all_vectors(guest, vector, count);
    report(1, load(&interrupt_counts[guest.vcpu][vector]));
    report(2, ticks / count);
    return kGood;
}

}  // namespace micro
