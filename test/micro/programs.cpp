#include "test/micro/programs.hpp"

// VSMP_MICRO_DIR is the folder with the programs, as a string.
#define EMBED(name)                                                                        \
    asm(".section .rodata\n .balign 16\n micro_" #name "_begin: .incbin \"" VSMP_MICRO_DIR \
        "/" #name "\"\n micro_" #name "_end:\n .previous");                                \
    extern const std::byte micro_##name##_begin[] asm("micro_" #name "_begin");            \
    extern const std::byte micro_##name##_end[] asm("micro_" #name "_end");

EMBED(avx)
EMBED(bounce)
EMBED(hotspot)
EMBED(ipi)
EMBED(latency)
EMBED(nap)
EMBED(scan)
EMBED(share)
EMBED(soak)
EMBED(twopages)

namespace vsmp::test {

ByteView micro_program(std::string_view name) {
#define CHOOSE(known) \
    if (name == #known) return {micro_##known##_begin, micro_##known##_end}
    CHOOSE(avx);
    CHOOSE(bounce);
    CHOOSE(hotspot);
    CHOOSE(ipi);
    CHOOSE(latency);
    CHOOSE(nap);
    CHOOSE(scan);
    CHOOSE(share);
    CHOOSE(soak);
    CHOOSE(twopages);
    return {};
}

}  // namespace vsmp::test
