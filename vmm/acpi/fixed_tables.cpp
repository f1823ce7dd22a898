#include "vmm/acpi/fixed_tables.hpp"

#include "vmm/acpi/aml.hpp"
#include "vmm/acpi/table.hpp"
#include "vmm/devices/platform_map.hpp"

namespace vsmp::acpi {
namespace {

// ACPI 6.5, 5.2.3.2: Generic Address Structure.
void put_io_register(ByteBuilder& out, std::uint16_t port, std::uint8_t bytes) {
    constexpr std::uint8_t kSystemIo = 1;
    const std::uint8_t access = bytes == 4 ? 3 : bytes;  // 1 byte, 2 word, 3 dword
    out.u8(kSystemIo).u8(static_cast<std::uint8_t>(8 * bytes)).u8(0).u8(access).u64(port);
}
void put_no_register(ByteBuilder& out) {
    out.zeros(12);
}

// Table 5.9: there are ISA devices, but no keyboard controller and no VGA; the CMOS RTC is there.
constexpr std::uint16_t kLegacyDevices = 1u << 0, kNoVga = 1u << 2;

// Table 5.10. The power button is a fixed one; there is no sleep button and no RTC wake-up.
constexpr std::uint32_t kWbinvd = 1u << 0, kC1OnAllProcessors = 1u << 2;
constexpr std::uint32_t kNoFixedSleepButton = 1u << 5, kNoFixedRtcWake = 1u << 6;
constexpr std::uint32_t kTimer32Bits = 1u << 8, kResetRegister = 1u << 10;

void put_legacy_half(ByteBuilder& out, Gpa facs, Gpa dsdt) {
    constexpr std::uint8_t kReserved = 0, kEnterpriseServer = 4;
    constexpr std::uint16_t kNoC2 = 101, kNoC3 = 1001;  // latencies that say: not supported
    constexpr std::uint8_t kCenturyCell = 0x32;
    out.u32(static_cast<std::uint32_t>(facs.value())).u32(static_cast<std::uint32_t>(dsdt.value()));
    out.u8(kReserved).u8(kEnterpriseServer).u16(platform::kSciIrq);
    out.u32(0).zeros(4);  // no SMI command port: always in ACPI mode
    out.u32(platform::kPm1EventPort).u32(0).u32(platform::kPm1ControlPort).u32(0).u32(0);
    out.u32(platform::kPmTimerPort).u32(0).u32(0);
    out.u8(4).u8(2).u8(0).u8(4).u8(0).u8(0).u8(0).u8(0);  // lengths of the blocks above
    out.u16(kNoC2).u16(kNoC3).u16(0).u16(0).u8(0).u8(0).u8(0).u8(0).u8(kCenturyCell);
    out.u16(kLegacyDevices | kNoVga).u8(kReserved);
    out.u32(kWbinvd | kC1OnAllProcessors | kNoFixedSleepButton | kNoFixedRtcWake | kTimer32Bits |
            kResetRegister);
    put_io_register(out, platform::kResetPort, 1);
    out.u8(platform::kResetValue).u16(0);
}

void put_extended_half(ByteBuilder& out, Gpa dsdt) {
    out.u64(0).u64(dsdt.value());  // the FACS has a 32-bit address and then no 64-bit one
    put_io_register(out, platform::kPm1EventPort, 4);
    put_no_register(out);
    put_io_register(out, platform::kPm1ControlPort, 2);
    put_no_register(out);
    put_no_register(out);
    put_io_register(out, platform::kPmTimerPort, 4);
    put_no_register(out);  // GPE0
    put_no_register(out);  // GPE1
    put_no_register(out);  // sleep control
    put_no_register(out);  // sleep status
    out.u64(0);            // hypervisor vendor
}

aml::Aml serial_port() {
    using namespace aml;
    return device("COM1", name("_HID", eisa_id("PNP0501")) + name("_UID", integer(1)) +
                              name("_CRS", resource_template(io_ports(platform::kCom1Port, 8) +
                                                             irq(platform::kCom1Irq))));
}

aml::Aml clock() {
    using namespace aml;
    return device("RTC_", name("_HID", eisa_id("PNP0B00")) +
                              name("_CRS", resource_template(io_ports(platform::kRtcPort, 2) +
                                                             irq(platform::kRtcIrq))));
}

aml::Aml soft_off() {
    using namespace aml;
    const Aml type = integer(platform::kS5SleepType);
    return name("_S5_", package({type, type, integer(0), integer(0)}));
}

}  // namespace

// 5.2.10
std::vector<std::byte> make_facs() {
    ByteBuilder facs;
    facs.text("FACS").u32(64).zeros(24).u8(2).zeros(31);
    return std::move(facs).take();
}

// 5.2.11.1
std::vector<std::byte> make_dsdt() {
    using namespace aml;
    ByteBuilder body;
    body.bytes(soft_off() + scope("_SB_", serial_port() + clock()));
    return make_table("DSDT", 2, body);
}

// 5.2.9
std::vector<std::byte> make_fadt(Gpa facs, Gpa dsdt) {
    constexpr std::uint8_t kMajor = 6, kMinor = 5;
    ByteBuilder body;
    put_legacy_half(body, facs, dsdt);
    body.u8(kMinor);
    put_extended_half(body, dsdt);
    VSMP_CHECK(body.size() == 276 - 36, "FADT of revision 6 has 276 bytes");
    return make_table("FACP", kMajor, body);
}

}  // namespace vsmp::acpi
