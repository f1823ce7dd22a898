// Computes in all vector registers, as wide as the CPU has them, and checks every value: what a
// ship or an interrupt loses or mixes up is seen at the next check. The mask registers, MXCSR and
// an x87 register hold values to be kept throughout. Time must never go backwards.
//
// Arguments: 0 blocks (100), 1 additions in a block (10000), 2 TSC ticks to run for (then argument
//            0 is ignored), 3 address of a word that ends the run when it is not 0 (0: none),
//            4 not 0: the run ends when the console has input, looked at after so many blocks.
// Reports: 1 = blocks done, 2 = bytes of a register, 3 = checksum of all registers.
// Failures: 1 = a vector register; 2 = a mask register; 3 = MXCSR; 4 = x87; 5 = the TSC went
//           backwards. Values: register << 32 | block, or what was found.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

constexpr u64 kSse = 1 << 1, kAvx = 1 << 2, kAvx512 = 7 << 5;
constexpr unsigned kMaxRegisters = 32, kMaxLanes = 8, kMasks = 7;

// The last register holds what is added to all others.
struct alignas(kPageBytes) Registers {
    double lanes[kMaxRegisters * kMaxLanes];
    u64 masks[kMasks];
};
Registers memory_of[MAX_VCPUS];

struct Width {
    unsigned registers;
    unsigned lanes;
    void (*add_in_registers)(Registers* memory, u64 count);
};

#define XMM_CLOBBERS                                                                         \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define FIRST_15 "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14"
#define NEXT_16 "15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30"

void add_sse(Registers* memory, u64 count) {
    asm volatile(".irp r," FIRST_15
                 ",15\n movupd 16*\\r(%1), %%xmm\\r\n .endr\n"
                 "1:\n .irp r," FIRST_15
                 "\n addpd %%xmm15, %%xmm\\r\n .endr\n dec %0\n jnz 1b\n"
                 ".irp r," FIRST_15 ",15\n movupd %%xmm\\r, 16*\\r(%1)\n .endr\n"
                 : "+r"(count)
                 : "r"(memory)
                 : "memory", "cc", XMM_CLOBBERS);
}

void add_avx(Registers* memory, u64 count) {
    asm volatile(".irp r," FIRST_15
                 ",15\n vmovupd 32*\\r(%1), %%ymm\\r\n .endr\n"
                 "1:\n .irp r," FIRST_15
                 "\n vaddpd %%ymm15, %%ymm\\r, %%ymm\\r\n .endr\n dec %0\n jnz 1b\n"
                 ".irp r," FIRST_15 ",15\n vmovupd %%ymm\\r, 32*\\r(%1)\n .endr\n vzeroupper\n"
                 : "+r"(count)
                 : "r"(memory)
                 : "memory", "cc", XMM_CLOBBERS);
}

void add_avx512(Registers* memory, u64 count) {
    asm volatile(".irp r," FIRST_15 "," NEXT_16
                 ",31\n vmovupd 64*\\r(%1), %%zmm\\r\n .endr\n"
                 ".irp k,1,2,3,4,5,6,7\n kmovw 8*(\\k-1)(%2), %%k\\k\n .endr\n"
                 "1:\n .irp r," FIRST_15 "," NEXT_16
                 "\n vaddpd %%zmm31, %%zmm\\r, %%zmm\\r\n .endr\n dec %0\n jnz 1b\n"
                 ".irp r," FIRST_15 "," NEXT_16
                 ",31\n vmovupd %%zmm\\r, 64*\\r(%1)\n .endr\n"
                 ".irp k,1,2,3,4,5,6,7\n kmovw %%k\\k, 8*(\\k-1)(%2)\n .endr\n vzeroupper\n"
                 : "+r"(count)
                 : "r"(memory->lanes), "r"(memory->masks)
                 : "memory", "cc", XMM_CLOBBERS);
}

Width widest(u64 xcr0) {
    constexpr u64 kAllAvx512 = kSse | kAvx | kAvx512;
    if ((xcr0 & kAllAvx512) == kAllAvx512) return {32, 8, add_avx512};
    if ((xcr0 & (kSse | kAvx)) == (kSse | kAvx)) return {16, 4, add_avx};
    return {16, 2, add_sse};
}

// All values are integers below 2^53, so that doubles add exactly.
u64 first_value(u64 vcpu, unsigned index) {
    return mix(vcpu, index, 0) >> 24;
}
u64 step_of(u64 vcpu, unsigned lane) {
    return vcpu + lane + 1;
}
u64 mask_value(unsigned index) {
    return 0x1111 * (index + 1);
}

void fill(Registers* memory, const Width& width, u64 vcpu) {
    for (unsigned r = 0; r < width.registers; ++r)
        for (unsigned lane = 0; lane < width.lanes; ++lane) {
            const unsigned i = r * width.lanes + lane;
            const bool is_step = r == width.registers - 1;
            memory->lanes[i] =
                static_cast<double>(is_step ? step_of(vcpu, lane) : first_value(vcpu, i));
        }
    for (unsigned k = 0; k < kMasks; ++k) memory->masks[k] = mask_value(k);
}

u64 check(const Registers* memory, const Width& width, u64 vcpu, u64 additions, u64 block) {
    u64 sum = 0;
    for (unsigned r = 0; r < width.registers; ++r)
        for (unsigned lane = 0; lane < width.lanes; ++lane) {
            const unsigned i = r * width.lanes + lane;
            const u64 step = step_of(vcpu, lane);
            const u64 expected =
                r == width.registers - 1 ? step : first_value(vcpu, i) + additions * step;
            // Bits, so that damage too small to change the integer is seen.
            const u64 found = __builtin_bit_cast(u64, memory->lanes[i]);
            if (found != __builtin_bit_cast(u64, static_cast<double>(expected)))
                fail(1, u64{r} << 32 | block);
            sum = sum * 31 + found;
        }
    for (unsigned k = 0; k < kMasks; ++k)
        if (memory->masks[k] != mask_value(k)) fail(2, memory->masks[k]);
    return sum;
}

constexpr u32 kMxcsr = 0xdf80;  // rounds toward zero, flushes to zero: not what a CPU starts with

void set_kept_registers() {
    const u32 value = kMxcsr;
    asm volatile("ldmxcsr %0\n fninit\n fldpi" : : "m"(value));
}

void check_kept_registers() {
    u32 mxcsr = 0;
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    if ((mxcsr & ~0x3fu) != kMxcsr) fail(3, mxcsr);
    struct {
        u64 mantissa;
        u64 exponent;
    } pi{};
    asm volatile("fld %%st(0)\n fstpt %0" : "=m"(pi));
    if (pi.mantissa != 0xc90fdaa22168c235 || (pi.exponent & 0xffff) != 0x4000) fail(4, pi.mantissa);
}

}  // namespace

Status run(const Guest& guest) {
    const u64 blocks = guest.argument(0, 100), per_block = guest.argument(1, 10000);
    const u64 ticks = guest.arguments[2], stop_word = guest.arguments[3];
    const u64 blocks_between_looks = guest.arguments[4];
    const Width width = widest(guest.extended_state());
    Registers* memory = &memory_of[guest.vcpu];
    fill(memory, width, guest.vcpu);
    set_kept_registers();
    const u64 begin = timestamp();
    u64 now = begin, block = 0, sum = 0;
    for (;;) {
        if (stop_word != 0              ? load(words_at(stop_word)) != 0
            : blocks_between_looks != 0 ? block % blocks_between_looks == 0 && console_has_input()
            : ticks != 0                ? now - begin >= ticks
                                        : block == blocks)
            break;
        width.add_in_registers(memory, per_block);
        ++block;
        sum = check(memory, width, guest.vcpu, block * per_block, block);
        check_kept_registers();
        const u64 later = timestamp();
        if (later < now) fail(5, now - later);
        now = later;
    }
    report(1, block);
    report(2, width.lanes * sizeof(double));
    report(3, sum);
    return kGood;
}

}  // namespace micro
