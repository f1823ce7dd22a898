#include "vmm/acpi/acpi_tables.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "vmm/acpi/fixed_tables.hpp"
#include "vmm/acpi/table.hpp"
#include "vmm/acpi/topology_tables.hpp"

namespace vsmp::acpi {
namespace {

constexpr std::size_t kRsdpBytes = 36;
constexpr std::size_t kAlignment = 64;  // what the FACS needs is enough for all

Result<> check_distances(const std::vector<std::vector<std::uint8_t>>& distances) {
    constexpr std::uint8_t kLocal = 10;
    for (std::size_t from = 0; from < distances.size(); ++from) {
        if (distances[from].size() != distances.size())
            return Error{fmt::format("ACPI SLIT: row {} has {} distances for {} cells", from,
                                     distances[from].size(), distances.size())};
        for (std::size_t to = 0; to < distances.size(); ++to) {
            const std::uint8_t distance = distances[from][to];
            if (from == to ? distance != kLocal : distance <= kLocal)
                return Error{fmt::format("ACPI SLIT: distance {} from cell {} to {} ({})", distance,
                                         from, to,
                                         from == to ? "must be 10" : "must be more than 10")};
        }
    }
    return {};
}

// 5.2.5.3
std::vector<std::byte> make_rsdp(Gpa xsdt) {
    constexpr std::size_t kFirstPart = 20, kChecksum = 8, kExtendedChecksum = 32;
    constexpr std::uint8_t kRevision = 2;
    ByteBuilder out;
    out.text("RSD PTR ").u8(0).text(kOemId).u8(kRevision).u32(0);  // no RSDT
    out.u32(kRsdpBytes).u64(xsdt.value()).u8(0).zeros(3);
    std::vector<std::byte> bytes = std::move(out).take();
    VSMP_CHECK(bytes.size() == kRsdpBytes, "RSDP size");
    bytes[kChecksum] = std::byte{checksum_of(ByteView{bytes}.first(kFirstPart))};
    bytes[kExtendedChecksum] = std::byte{checksum_of(bytes)};
    return bytes;
}

// Puts tables one after the other behind the RSDP and knows their addresses.
class Placement {
  public:
    explicit Placement(Gpa base) : base_(base) { out_.zeros(kRsdpBytes); }

    Gpa place(const std::vector<std::byte>& table) {
        out_.align(kAlignment);
        const Gpa at{base_.value() + out_.size()};
        out_.bytes(table);
        return at;
    }
    std::vector<std::byte> finish(const std::vector<std::byte>& rsdp) && {
        std::vector<std::byte> all = std::move(out_).take();
        std::ranges::copy(rsdp, all.begin());
        return all;
    }

  private:
    Gpa base_;
    ByteBuilder out_;
};

}  // namespace

Result<Tables> build_tables(const Machine& machine, Gpa at) {
    VSMP_CHECK(at.value() % kAlignment == 0, "ACPI tables must be aligned");
    if (machine.cpus.empty()) return Error{"ACPI tables: no CPU"};
    VSMP_TRY(check_distances(machine.distances));
    Placement placement{at};
    const Gpa facs = placement.place(make_facs());
    const Gpa dsdt = placement.place(make_dsdt());
    ByteBuilder entries;
    entries.u64(placement.place(make_fadt(facs, dsdt)).value());
    entries.u64(placement.place(make_madt(machine)).value());
    entries.u64(placement.place(make_srat(machine)).value());
    if (!machine.distances.empty()) entries.u64(placement.place(make_slit(machine)).value());
    const Gpa xsdt = placement.place(make_table("XSDT", 1, entries));
    Tables tables{at, std::move(placement).finish(make_rsdp(xsdt))};
    if (tables.bytes.size() > kTablesLimit)
        return Error{fmt::format("ACPI tables: {} bytes do not fit in {}", tables.bytes.size(),
                                 kTablesLimit)};
    return tables;
}

}  // namespace vsmp::acpi
