#include "test/vcpu_shipper/moving_guest.hpp"

#include <algorithm>

#include "proto/monotonic_clock.hpp"

namespace vsmp::shipper {
namespace {

using test::TinyGuest;

constexpr std::uint64_t kCr4Osxsave = 1ull << 18;
constexpr unsigned kRsp = 6;
constexpr unsigned kX87 = 0, kSse = 1, kAvx = 2, kOpmask = 5, kZmmHigh = 6, kZmm16To31 = 7,
                   kPkru = 9;

std::byte pattern(unsigned component, std::size_t at) {
    return static_cast<std::byte>(1 + (component * 59 + at * 7) % 253);
}

const XsaveComponent* find(const XsaveState& xsave, unsigned index) {
    for (const XsaveComponent& c : xsave.components)
        if (c.index == index) return &c;
    return nullptr;
}

std::uint64_t qword(const XsaveComponent& component, std::size_t at) {
    return ByteReader{ByteView{component.bytes}.subspan(at, 8)}.read<std::uint64_t>();
}

// The components without the lanes of register 0, which the guest computes in.
std::vector<XsaveComponent> constant_part(XsaveState xsave) {
    for (XsaveComponent& c : xsave.components) {
        const std::size_t computed = c.index == kSse || c.index == kAvx ? 16
                                     : c.index == kZmmHigh              ? 32
                                                                        : 0;
        std::fill_n(c.bytes.begin(), computed, std::byte{});
    }
    return xsave.components;
}

}  // namespace

MovingGuest::MovingGuest() : b_(*a_.kvm.create_vm()) {
    VSMP_CHECK(b_.set_memory(kvm::MemorySlot(0), Gpa(0), a_.guest.memory()), "memory");
    const auto cpuid = *a_.kvm.supported_cpuid();
    vcpus_.push_back(*a_.vm.create_vcpu(VcpuId(0)));
    vcpus_.push_back(*b_.create_vcpu(VcpuId(0)));
    for (const CpuidLeaf& leaf : cpuid)
        if (leaf.function == 1) has_xsave_ = (leaf.ecx >> 26 & 1) != 0;
    for (kvm::Vcpu& vcpu : vcpus_) {
        VSMP_CHECK(vcpu.set_cpuid(cpuid), "CPUID");
        timers_.push_back(*kvm::KickTimer::create_for_this_thread(vcpu.immediate_exit()));
    }
    plan_ = *plan_transfers(a_.kvm, vcpus_[0]);
    transfers_.assign(2, VcpuTransfer{plan_});
    if (plan_.xsave.place(kAvx).size != 0) vector_lanes_ = 4;
    if (plan_.xsave.place(kZmmHigh).size != 0) vector_lanes_ = 8;
    write_program();

    const kvm_sregs fresh = *vcpus_[0].sregs();
    VSMP_CHECK(vcpus_[0].set_sregs(TinyGuest::sregs(fresh, test::Ring::user)), "sregs");
    VSMP_CHECK(vcpus_[0].set_regs(TinyGuest::regs(TinyGuest::kCode)), "regs");
    start_ = *transfers_[0].capture(vcpus_[0]);
    fill_registers();
}

void MovingGuest::write_program() {
    TinyGuest& guest = a_.guest;
    std::uint64_t at = TinyGuest::kCode;
    const auto put = [&](std::initializer_list<std::uint8_t> bytes) {
        guest.code(at, bytes);
        at += bytes.size();
    };
    if (vector_lanes_ == 8) put({0x62, 0xf1, 0xfd, 0x48, 0xd4, 0xc1});  // vpaddq zmm0, zmm0, zmm1
    if (vector_lanes_ == 4) put({0xc5, 0xfd, 0xd4, 0xc1});              // vpaddq ymm0, ymm0, ymm1
    if (vector_lanes_ == 2) put({0x66, 0x0f, 0xd4, 0xc1});              // paddq xmm0, xmm1
    after_add_ = at;
    put({0x48, 0xff, 0xc0});                                // inc rax
    put({0x48, 0x89, 0x04, 0x25, 0x00, 0x00, 0x80, 0x00});  // mov [kCounter], rax
    put({0xeb, static_cast<std::uint8_t>(TinyGuest::kCode - at - 2)});
    // inc qword [kInterrupts]; iretq
    guest.code(kHandler, {0x48, 0xff, 0x04, 0x25, 0x08, 0x00, 0x80, 0x00, 0x48, 0xcf});
    guest.gate(kVector, kHandler);
}

void MovingGuest::fill_registers() {
    start_.general.rflags |= 1u << 9;  // IF
    for (unsigned i = 1; i < 16; ++i)
        if (i != kRsp) start_.general.gpr[i] = 0x0123456789abcdef * (i + 1);
    if (has_xsave_) start_.system.cr4 |= kCr4Osxsave;
    start_.system.fs.base = 0x7000123400;
    start_.system.gs.base = 0x7000567800;
    start_.debug.dr = {0x1000, 0x2000, 0x3000, 0x4000};
    for (Msr& msr : start_.msrs)
        if (msr.index == 0x277) msr.value = 0x0007010600070106;  // PAT
    const auto set = [&](std::uint32_t index, std::uint64_t value) {
        std::erase_if(start_.msrs, [&](const Msr& m) { return m.index == index; });
        start_.msrs.push_back({index, value});
    };
    set(0x174, 0x10);                     // SYSENTER_CS
    set(0x175, 0x123000);                 // SYSENTER_ESP; AMD keeps 32 bits
    set(0xc0000081, 0x0023001000000000);  // STAR
    set(0xc0000082, 0xffffffff81000040);  // LSTAR
    set(0xc0000084, 0x47700);             // SFMASK
    set(0xc0000102, 0xffff888012345000);  // KERNEL_GS_BASE
    std::ranges::sort(start_.msrs, {}, &Msr::index);

    XsaveState& xsave = start_.xsave;
    xsave.mxcsr = 0x7f80;  // round to zero
    xsave.components.clear();
    for (const unsigned index : {kX87, kSse, kAvx, kOpmask, kZmmHigh, kZmm16To31, kPkru}) {
        const XsavePlace place = plan_.xsave.place(index);
        if (place.size == 0) continue;
        if (has_xsave_) xsave.xcr0 |= std::uint64_t{1} << index;
        XsaveComponent component{static_cast<std::uint8_t>(index), place.offset, {}};
        for (std::size_t i = 0; i < place.size; ++i) component.bytes.push_back(pattern(index, i));
        if (index == kX87) {
            std::fill_n(component.bytes.begin(), 32, std::byte{});
            component.bytes[0] = std::byte{0x7f};
            component.bytes[1] = std::byte{0x03};
            component.bytes[4] = std::byte{0xff};  // all eight in use
            for (std::size_t st = 32; st < kLegacyFpuBytes; st += 16)
                std::fill_n(component.bytes.begin() + static_cast<std::ptrdiff_t>(st) + 10, 6,
                            std::byte{});
        }
        if (index == kPkru)
            std::fill(component.bytes.begin() + 4, component.bytes.end(), std::byte{});
        xsave.components.push_back(component);
    }
}

void MovingGuest::compute(std::size_t side) {
    kvm::Vcpu& vcpu = vcpus_[side];
    const std::uint64_t before = a_.guest.load64(kCounter);
    // Longer each time: an emulated host may need more than that to come to the first instruction.
    for (auto patience = std::chrono::microseconds(100); a_.guest.load64(kCounter) == before;
         patience *= 2) {
        vcpu.clear_immediate_exit();
        const auto armed = timers_[side].arm(monotonic_now() + patience);
        VSMP_CHECK(armed, "kick timer");
        const kvm::Exit exit = vcpu.run();
        if (const auto* failed = std::get_if<kvm::FailedExit>(&exit)) FAIL() << failed->text;
        ASSERT_TRUE(std::holds_alternative<kvm::InterruptedExit>(exit)) << exit.index();
    }
}

std::uint64_t MovingGuest::lane(const XsaveState& xsave, unsigned reg, std::size_t lane) const {
    const unsigned component = lane < 2 ? kSse : lane < 4 ? kAvx : kZmmHigh;
    const std::size_t lanes_there = component == kZmmHigh ? 4 : 2;
    const std::size_t first = component == kSse ? 0 : component == kAvx ? 2 : 4;
    return qword(*find(xsave, component), (reg * lanes_there + lane - first) * 8);
}

void MovingGuest::expect_right(const VcpuState& now) const {
    const std::uint64_t rax = now.general.gpr[0];
    const bool in_handler = now.general.rip >= kHandler;
    for (unsigned i = 1; i < 16; ++i) {
        if (i == kRsp) continue;
        EXPECT_EQ(now.general.gpr[i], start_.general.gpr[i]) << "register " << i;
    }
    const std::uint64_t stored = a_.guest.load64(kCounter);
    EXPECT_TRUE(stored == rax || stored + 1 == rax) << "somebody else computes, too";

    ASSERT_EQ(now.xsave.components.size(), start_.xsave.components.size());
    const std::uint64_t extra = now.general.rip == after_add_ ? 1 : 0;
    for (std::size_t l = 0; l < vector_lanes_; ++l) {
        const std::uint64_t begin = lane(start_.xsave, 0, l), add = lane(start_.xsave, 1, l);
        const std::uint64_t sum = lane(now.xsave, 0, l);
        if (in_handler)
            EXPECT_TRUE(sum == begin + rax * add || sum == begin + (rax + 1) * add);
        else
            EXPECT_EQ(sum, begin + (rax + extra) * add) << "lane " << l;
    }
    EXPECT_EQ(constant_part(now.xsave), constant_part(start_.xsave));
    EXPECT_EQ(now.xsave.xcr0, start_.xsave.xcr0);
    EXPECT_EQ(now.xsave.mxcsr, start_.xsave.mxcsr);
    EXPECT_EQ(now.msrs, start_.msrs);
    EXPECT_EQ(now.debug.dr, start_.debug.dr);
    EXPECT_EQ(now.system.fs.base, start_.system.fs.base);
    EXPECT_EQ(now.system.gs.base, start_.system.gs.base);
    EXPECT_EQ(now.system.cr3, start_.system.cr3);
    EXPECT_EQ(now.system.cr4, start_.system.cr4);
}

}  // namespace vsmp::shipper
