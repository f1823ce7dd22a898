// From the registers of the boot protocol to run(), and what the compiler may call by itself.
#include "test/micro/guest.hpp"

namespace {

// Argument 15, for all programs: not 0 = report kAtTheGate and begin when the console has input, so
// that a test can put the vCPUs where it wants them first.
constexpr unsigned kGateArgument = 15;
constexpr micro::u32 kAtTheGate = 99;
constexpr int kPausesBetweenLooks = 2000;

void wait_at_the_gate(micro::u64 vcpu) {
    micro::report(kAtTheGate, vcpu);
    while (!micro::console_has_input())
        for (int i = 0; i < kPausesBetweenLooks; ++i) micro::pause();
}

}  // namespace

extern "C" micro::u32 micro_main(micro::u64 vcpu, micro::u64 vcpus, micro::u64 ram_bytes,
                                 const micro::u64* arguments) {
    if (arguments[kGateArgument] != 0) wait_at_the_gate(vcpu);
    return micro::run({vcpu, vcpus, ram_bytes, arguments});
}

extern "C" void* memcpy(void* to, const void* from, std::size_t size) {
    void* at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

extern "C" void* memset(void* to, int value, std::size_t size) {
    void* at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}
