#include "vmm/acpi/table.hpp"

namespace vsmp::acpi {
namespace {

constexpr std::size_t kHeaderBytes = 36;
constexpr std::size_t kChecksumOffset = 9;

}  // namespace

std::uint8_t checksum_of(ByteView bytes) {
    unsigned sum = 0;
    for (std::byte b : bytes) sum += std::to_integer<unsigned>(b);
    return static_cast<std::uint8_t>(0x100 - sum % 0x100);
}

std::vector<std::byte> make_table(std::string_view signature, std::uint8_t revision,
                                  const ByteBuilder& body) {
    ByteBuilder table;
    table.text(signature).u32(static_cast<std::uint32_t>(kHeaderBytes + body.size()));
    table.u8(revision).u8(0);
    table.text(kOemId).text("VSMPGUES").u32(1);
    table.text("VSMP").u32(1);
    VSMP_CHECK(table.size() == kHeaderBytes, "ACPI table header");
    std::vector<std::byte> bytes = std::move(table.bytes(body.view())).take();
    bytes[kChecksumOffset] = std::byte{checksum_of(bytes)};
    return bytes;
}

}  // namespace vsmp::acpi
