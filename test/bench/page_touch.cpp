#include "test/bench/page_touch.hpp"

#include <chrono>
#include <optional>

#include "proto/monotonic_clock.hpp"
#include "test/kvm_glue/tiny_guest.hpp"

namespace vsmp::bench {
namespace {

// The MMIX generator of Knuth; the loaded word, a zero, makes each step wait for the last one.
constexpr std::uint64_t kFactor = 6364136223846793005u;
constexpr unsigned kShift = 20;  // its low bits are poor
constexpr std::uint64_t kGuestArea = 256 << 20;

double ns_each(Duration took, std::uint64_t touches) {
    return std::chrono::duration<double, std::nano>(took).count() / static_cast<double>(touches);
}

std::uint64_t offset_mask(std::span<std::byte> memory) {
    return (memory.size() - 1) & ~std::uint64_t{7};
}

// touch_here's loop, at CPL 3: a software KVM may interpret what runs at CPL 0.
// rax: state, rbx: factor, rcx: touches, r8: area, r9: mask.
void assemble(const test::TinyGuest& guest) {
    constexpr std::uint8_t kLoop[] = {0x48, 0x0f, 0xaf, 0xc3,          // imul rax, rbx
                                      0x48, 0xff, 0xc0,                // inc rax
                                      0x48, 0x89, 0xc2,                // mov rdx, rax
                                      0x48, 0xc1, 0xea, kShift,        // shr rdx, kShift
                                      0x4c, 0x21, 0xca,                // and rdx, r9
                                      0x49, 0x03, 0x04, 0x10,          // add rax, [r8 + rdx]
                                      0x48, 0xff, 0xc9, 0x75,   0xe6,  // dec rcx; jnz to the first
                                      0xe6, 0x10};                     // out 0x10, al
    std::memcpy(guest.at(test::TinyGuest::kCode), kLoop, sizeof kLoop);
}

Result<Duration> run_loop(kvm::Vcpu& vcpu, std::span<std::byte> memory, std::uint64_t touches) {
    kvm_regs regs = test::TinyGuest::regs(test::TinyGuest::kCode);
    regs.rflags |= 3 << 12;  // IOPL 3, for the OUT
    regs.rax = 1;
    regs.rbx = kFactor;
    regs.rcx = touches;
    regs.r8 = kGuestArea;
    regs.r9 = offset_mask(memory);
    VSMP_TRY(vcpu.set_regs(regs));
    const Instant begin = monotonic_now();
    for (;;) {
        const kvm::Exit exit = vcpu.run();
        if (std::holds_alternative<kvm::IoExit>(exit)) break;
        if (!std::holds_alternative<kvm::InterruptedExit>(exit))
            return Error{"the guest that touches memory did not get to its end"};
    }
    const Duration took = monotonic_now() - begin;
    vcpu.complete_io();
    return took;
}

}  // namespace

double touch_here(std::span<std::byte> memory, std::uint64_t touches) {
    const std::uint64_t mask = offset_mask(memory);
    std::uint64_t state = 1;
    const Instant begin = monotonic_now();
    for (std::uint64_t i = 0; i < touches; ++i) {
        state = state * kFactor + 1;
        const std::byte* at = memory.data() + (state >> kShift & mask);
        state += *reinterpret_cast<const volatile std::uint64_t*>(at);
    }
    return ns_each(monotonic_now() - begin, touches);
}

struct TouchingGuest::Parts {
    std::span<std::byte> memory;
    test::TinyVm tiny;
    std::optional<kvm::Vcpu> vcpu;
};

TouchingGuest::TouchingGuest(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
TouchingGuest::TouchingGuest(TouchingGuest&&) noexcept = default;
TouchingGuest::~TouchingGuest() = default;

Result<TouchingGuest> TouchingGuest::start(std::span<std::byte> memory, std::uint64_t touches) {
    TouchingGuest guest{std::make_unique<Parts>()};
    Parts& parts = *guest.parts_;
    parts.memory = memory;
    assemble(parts.tiny.guest);
    VSMP_TRY(parts.tiny.vm.set_memory(kvm::MemorySlot(1), Gpa(kGuestArea), memory));
    parts.vcpu = parts.tiny.vcpu(VcpuId(0), test::TinyGuest::kCode, test::Ring::user);
    VSMP_TRY(guest.touch(touches));
    return guest;
}

Result<double> TouchingGuest::touch(std::uint64_t touches) {
    VSMP_TRY_ASSIGN(const Duration took, run_loop(*parts_->vcpu, parts_->memory, touches));
    return ns_each(took, touches);
}

}  // namespace vsmp::bench
