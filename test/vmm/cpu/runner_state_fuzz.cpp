// What another node says of a local APIC: refused, or encodes to the same bytes and does no harm.
#include <algorithm>

#include "vmm/cpu/runner_state.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace vsmp;
    const ByteView bytes = std::as_bytes(std::span(data, size));
    auto state = cpu::decode_runner_state(bytes);
    if (!state) return 0;
    const auto again = cpu::encode_runner_state(*state);
    VSMP_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()),
               "an accepted state encodes differently");
    for (const std::uint64_t tsc : {std::uint64_t{0}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
        state->apic.advance(cpu::GuestTsc(tsc));
        state->apic.read_msr(0x839, cpu::GuestTsc(tsc));
        state->apic.write_msr(0x83e, 0xb, cpu::GuestTsc(tsc));
        if (const auto vector = state->apic.injectable()) state->apic.begin_service(*vector);
        state->apic.write_msr(0x80b, 0, cpu::GuestTsc(tsc));
    }
    return 0;
}
