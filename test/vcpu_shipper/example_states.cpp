#include "test/vcpu_shipper/example_states.hpp"

namespace vsmp::shipper {
namespace {

XsaveComponent component(unsigned index, unsigned offset, unsigned size) {
    XsaveComponent made{static_cast<std::uint8_t>(index), static_cast<std::uint16_t>(offset), {}};
    for (unsigned i = 0; i < size; ++i)
        made.bytes.push_back(static_cast<std::byte>(1 + (index * 37 + i) % 255));
    return made;
}

}  // namespace

VcpuState idle_fpu_state() {
    VcpuState state;
    for (unsigned i = 0; i < 16; ++i) state.general.gpr[i] = 0x1111111111111111u * i;
    state.general.rip = 0xffffffff81000000;
    state.general.rflags = 0x246;
    state.system.cs = {0, 0xffffffff, 0x10, 0xa09b};
    state.system.tr = {0xfffffe0000003000, 0x4087, 0x40, 0x008b};
    state.system.ldt.rights = kSegmentUnusable;
    state.system.gdt = {0xfffffe0000001000, 0x7f};
    state.system.idt = {0xfffffe0000000000, 0xfff};
    state.system.cr0 = 0x80050033;
    state.system.cr3 = 0x1000;
    state.system.cr4 = 0x3506f0;
    state.system.efer = 0xd01;
    state.system.apic_base = 0xfee00d00;
    state.xsave.xcr0 = kShippableXcr0;
    for (const std::uint32_t index : {0x174u, 0x175u, 0x176u, 0x277u, 0xc0000081u, 0xc0000082u,
                                      0xc0000084u, 0xc0000102u, 0xc0000103u})
        state.msrs.push_back({index, 0xffffffff80000000 | index});
    return state;
}

VcpuState everything_live_state() {
    VcpuState state = idle_fpu_state();
    state.mp = MpState::halted;
    state.system.cr8 = 15;
    state.debug = {{1, 2, 3, 4}, 0xffff0ff1, 0x455};
    state.events = {.exception_injected = true,
                    .exception_pending = true,
                    .exception_has_error = true,
                    .exception_has_payload = true,
                    .exception_vector = 14,
                    .exception_error = 7,
                    .exception_payload = ~0ull,
                    .interrupt_injected = true,
                    .interrupt_soft = true,
                    .interrupt_vector = 0x80,
                    .shadow = 3,
                    .nmi_injected = true,
                    .nmi_masked = true,
                    .nmi_pending = 2,
                    .triple_fault = true};
    state.interrupt_bitmap = {1, 2, 3, ~0ull};
    state.xsave.mxcsr = 0xffff;
    // SDM vol. 1, 13.5: x87, SSE, AVX, BNDREGS, BNDCSR, opmask, ZMM_Hi256, Hi16_ZMM, PKRU
    state.xsave.components = {
        component(0, 0, 160),    component(1, 160, 256),   component(2, 576, 256),
        component(3, 960, 64),   component(4, 1024, 64),   component(5, 1088, 64),
        component(6, 1152, 512), component(7, 1664, 1024), component(9, 2688, 8)};
    for (unsigned i = 24; i < 32; ++i) state.xsave.components[0].bytes[i] = std::byte{};
    state.msrs.clear();
    for (std::uint32_t i = 0; i < kMaxMsrs; ++i) state.msrs.push_back({0xc0000000 + i, ~0ull - i});
    state.local_apic.assign(kMaxLocalApicBytes, std::byte{0x5a});
    state.stopped_at = 0x1122334455667788;
    return state;
}

std::vector<std::byte> encoded(const VcpuState& state) {
    std::vector<std::byte> buffer(kMaxStateBytes);
    ByteWriter writer{buffer};
    encode(state, writer);
    buffer.resize(writer.size());
    return buffer;
}

}  // namespace vsmp::shipper
