// The wire form of a VcpuState, version 1. Little-endian:
//
//   version u8, MP state u8, sections u16, stopped at u64
//   general registers 18 x u64, segments 8 x 16, GDT and IDT 2 x 10, CR0 CR2 CR3 CR4 u64,
//   CR8 u8, EFER and APIC base u64
//   XCR0 u64, MXCSR u32, component count u8, components: index u8, then for index >= 2
//   offset u16 and size u16, then the bytes
//   and, each only when its bit in `sections` is set: debug registers, events, interrupt bitmap,
//   MSRs (count u16, then index u32 and value u64 each), local APIC (size u16, bytes)
//
// A section that is present but holds just the defaults is refused: one state, one encoding.
#include <bit>

#include "vcpu_shipper/core/vcpu_state.hpp"

namespace vsmp::shipper {
namespace {

constexpr std::uint8_t kVersion = 1;

enum Section : std::uint16_t {
    kDebug = 1 << 0,
    kEvents = 1 << 1,
    kInterruptBitmap = 1 << 2,
    kMsrs = 1 << 3,
    kLocalApic = 1 << 4,
    kAllSections = (1 << 5) - 1,
};

enum EventFlag : std::uint16_t {
    kExceptionInjected = 1 << 0,
    kExceptionPending = 1 << 1,
    kExceptionHasError = 1 << 2,
    kExceptionHasPayload = 1 << 3,
    kInterruptInjected = 1 << 4,
    kInterruptSoft = 1 << 5,
    kNmiInjected = 1 << 6,
    kNmiMasked = 1 << 7,
    kTripleFault = 1 << 8,
    kAllEventFlags = (1 << 9) - 1,
};

// No accepted state is longer: components do not overlap, so together they fit the area.
constexpr std::size_t kFixedBytes =
    4 + 8 + 18 * 8 + 8 * 16 + 2 * 10 + 4 * 8 + 1 + 2 * 8 + 8 + 4 + 1;
constexpr std::size_t kExtendedComponents = std::popcount(kShippableXcr0) - 2;
constexpr std::size_t kXsaveBytes = 1 + kLegacyFpuBytes + 1 + kLegacySseBytes +
                                    (kMaxXsaveArea - kExtendedXsaveOffset) +
                                    5 * kExtendedComponents;
constexpr std::size_t kSectionBytes =
    6 * 8 + (2 + 1 + 4 + 8 + 4) + 4 * 8 + (2 + 12 * kMaxMsrs) + (2 + kMaxLocalApicBytes);
static_assert(kFixedBytes + kXsaveBytes + kSectionBytes <= kMaxStateBytes);

// A Codec is a Writer or a Reader below. Each field is named once, so that the two cannot differ.
template <class Codec, class T>
void fields(Codec& codec, T& s) requires std::is_same_v<std::remove_const_t<T>, GeneralRegisters> {
    for (auto& reg : s.gpr) codec(reg);
    codec(s.rip);
    codec(s.rflags);
}

template <class Codec, class T>
void fields(Codec& codec, T& s) requires std::is_same_v<std::remove_const_t<T>, SystemRegisters> {
    for (auto* segment : {&s.cs, &s.ds, &s.es, &s.fs, &s.gs, &s.ss, &s.tr, &s.ldt}) {
        codec(segment->base);
        codec(segment->limit);
        codec(segment->selector);
        codec(segment->rights);
    }
    for (auto* table : {&s.gdt, &s.idt}) {
        codec(table->base);
        codec(table->limit);
    }
    codec(s.cr0);
    codec(s.cr2);
    codec(s.cr3);
    codec(s.cr4);
    codec(s.cr8);
    codec(s.efer);
    codec(s.apic_base);
}

template <class Codec, class T>
void fields(Codec& codec, T& s) requires std::is_same_v<std::remove_const_t<T>, DebugRegisters> {
    for (auto& reg : s.dr) codec(reg);
    codec(s.dr6);
    codec(s.dr7);
}

template <class Codec, class T>
void fields(Codec& codec, T& s) requires std::is_same_v<std::remove_const_t<T>, PendingEvents> {
    std::uint16_t flags = 0;
    const auto each_flag = [&](auto visit) {
        visit(s.exception_injected, kExceptionInjected);
        visit(s.exception_pending, kExceptionPending);
        visit(s.exception_has_error, kExceptionHasError);
        visit(s.exception_has_payload, kExceptionHasPayload);
        visit(s.interrupt_injected, kInterruptInjected);
        visit(s.interrupt_soft, kInterruptSoft);
        visit(s.nmi_injected, kNmiInjected);
        visit(s.nmi_masked, kNmiMasked);
        visit(s.triple_fault, kTripleFault);
    };
    each_flag([&](const bool& set, EventFlag bit) {
        if (set) flags = static_cast<std::uint16_t>(flags | bit);
    });
    codec(flags);
    if constexpr (!std::is_const_v<T>) {
        codec.require((flags & ~kAllEventFlags) == 0, "unknown event flags");
        each_flag([&](bool& set, EventFlag bit) { set = (flags & bit) != 0; });
    }
    codec(s.exception_vector);
    codec(s.exception_error);
    codec(s.exception_payload);
    codec(s.interrupt_vector);
    codec(s.shadow);
    codec(s.nmi_pending);
}

template <class Codec, class T>
void fields(Codec& codec, T& bitmap) requires
    std::is_same_v<std::remove_const_t<T>, std::array<std::uint64_t, 4>> {
    for (auto& word : bitmap) codec(word);
}

class Writer {
  public:
    explicit Writer(ByteWriter& to) : to_(to) {}
    template <class T>
    void operator()(const T& value) {
        to_.write(value);
    }

  private:
    ByteWriter& to_;
};

class Reader {
  public:
    explicit Reader(ByteReader& from) : from_(from) {}
    template <class T>
    void operator()(T& value) {
        value = from_.read<T>();
    }
    void require(bool holds, const char* what) {
        if (!holds && wrong_ == nullptr) wrong_ = what;
    }
    const char* wrong() const { return wrong_; }

  private:
    ByteReader& from_;
    const char* wrong_ = nullptr;
};

void encode_xsave(const XsaveState& xsave, ByteWriter& to) {
    to.write(xsave.xcr0);
    to.write(xsave.mxcsr);
    to.write(static_cast<std::uint8_t>(xsave.components.size()));
    for (const XsaveComponent& component : xsave.components) {
        to.write(component.index);
        if (component.index >= 2) {
            to.write(component.offset);
            to.write(static_cast<std::uint16_t>(component.bytes.size()));
        }
        to.write(ByteView{component.bytes});
    }
}

std::vector<std::byte> take_bytes(ByteReader& from, std::size_t size) {
    const ByteView bytes = from.take(size);
    return {bytes.begin(), bytes.end()};
}

XsaveState decode_xsave(ByteReader& from) {
    XsaveState xsave;
    xsave.xcr0 = from.read<std::uint64_t>();
    xsave.mxcsr = from.read<std::uint32_t>();
    const unsigned count = from.read<std::uint8_t>();
    for (unsigned i = 0; i < count && from.ok(); ++i) {
        XsaveComponent& component = xsave.components.emplace_back();
        component.index = from.read<std::uint8_t>();
        std::size_t size = component.index == 0 ? kLegacyFpuBytes : kLegacySseBytes;
        component.offset = component.index == 0 ? 0 : kLegacyFpuBytes;
        if (component.index >= 2) {
            component.offset = from.read<std::uint16_t>();
            size = from.read<std::uint16_t>();
        }
        component.bytes = take_bytes(from, size);
    }
    return xsave;
}

std::uint16_t sections_of(const VcpuState& state) {
    const VcpuState idle;
    unsigned sections = 0;
    if (state.debug != idle.debug) sections |= kDebug;
    if (state.events != idle.events) sections |= kEvents;
    if (state.interrupt_bitmap != idle.interrupt_bitmap) sections |= kInterruptBitmap;
    if (!state.msrs.empty()) sections |= kMsrs;
    if (!state.local_apic.empty()) sections |= kLocalApic;
    return static_cast<std::uint16_t>(sections);
}

void decode_sections(unsigned sections, ByteReader& from, Reader& reader, VcpuState& state) {
    if (sections & kDebug) fields(reader, state.debug);
    if (sections & kEvents) fields(reader, state.events);
    if (sections & kInterruptBitmap) fields(reader, state.interrupt_bitmap);
    if (sections & kMsrs) {
        const unsigned count = from.read<std::uint16_t>();
        for (unsigned i = 0; i < count && from.ok(); ++i) {
            Msr& msr = state.msrs.emplace_back();
            reader(msr.index);
            reader(msr.value);
        }
    }
    if (sections & kLocalApic) state.local_apic = take_bytes(from, from.read<std::uint16_t>());
}

}  // namespace

void encode(const VcpuState& state, ByteWriter& to) {
    const Result<void> valid = validate(state);
    VSMP_CHECK(valid, valid.error().message);
    const std::uint16_t sections = sections_of(state);
    Writer writer{to};
    to.write(kVersion);
    to.write(static_cast<std::uint8_t>(state.mp));
    to.write(sections);
    to.write(state.stopped_at);
    fields(writer, state.general);
    fields(writer, state.system);
    encode_xsave(state.xsave, to);
    if (sections & kDebug) fields(writer, state.debug);
    if (sections & kEvents) fields(writer, state.events);
    if (sections & kInterruptBitmap) fields(writer, state.interrupt_bitmap);
    if (sections & kMsrs) {
        to.write(static_cast<std::uint16_t>(state.msrs.size()));
        for (const Msr& msr : state.msrs) {
            to.write(msr.index);
            to.write(msr.value);
        }
    }
    if (sections & kLocalApic) {
        to.write(static_cast<std::uint16_t>(state.local_apic.size()));
        to.write(ByteView{state.local_apic});
    }
}

Result<VcpuState> decode(ByteView bytes) {
    if (bytes.size() > kMaxStateBytes) return Error{"vCPU state: too long"};
    ByteReader from{bytes};
    Reader reader{from};
    VcpuState state;
    if (from.read<std::uint8_t>() != kVersion) return Error{"vCPU state: unknown version"};
    const auto mp = from.read<std::uint8_t>();
    if (mp > static_cast<std::uint8_t>(MpState::sipi_received))
        return Error{"vCPU state: unknown MP state"};
    state.mp = static_cast<MpState>(mp);
    const auto sections = from.read<std::uint16_t>();
    if ((sections & ~kAllSections) != 0) return Error{"vCPU state: unknown section"};
    state.stopped_at = from.read<std::uint64_t>();
    fields(reader, state.general);
    fields(reader, state.system);
    state.xsave = decode_xsave(from);
    decode_sections(sections, from, reader, state);
    if (!from.ok() || !from.at_end()) return Error{"vCPU state: wrong length"};
    if (reader.wrong() != nullptr) return Error{std::string{"vCPU state: "} + reader.wrong()};
    if (sections_of(state) != sections) return Error{"vCPU state: section without contents"};
    VSMP_TRY(validate(state));
    return state;
}

}  // namespace vsmp::shipper
