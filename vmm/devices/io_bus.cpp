#include "vmm/devices/io_bus.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace vsmp {

Result<> IoBus::claim(IoRange range, IoHandler& handler) {
    std::lock_guard lock(devices_);
    VSMP_CHECK(range.bytes > 0 && range.base + range.bytes > range.base, "empty or wrapping range");
    auto above = claims_.lower_bound(range.base);
    const bool hits_above = above != claims_.end() && above->first < range.base + range.bytes;
    const bool hits_below = above != claims_.begin() &&
                            std::prev(above)->first + std::prev(above)->second.bytes > range.base;
    if (hits_above || hits_below) {
        const auto& taken = hits_above ? *above : *std::prev(above);
        return Error{fmt::format("claim I/O range 0x{:x}+0x{:x}: overlaps 0x{:x}+0x{:x}",
                                 range.base, range.bytes, taken.first, taken.second.bytes)};
    }
    claims_.emplace(range.base, Claim{range.bytes, &handler});
    return {};
}

void IoBus::read(std::uint64_t address, std::span<std::byte> out) {
    std::lock_guard lock(devices_);
    if (Hit hit = find(address, out.size()); hit.handler) {
        hit.handler->read(hit.offset, out);
        return;
    }
    std::ranges::fill(out, std::byte{0xff});
    unclaimed_.fetch_add(1, std::memory_order_relaxed);
}

void IoBus::write(std::uint64_t address, ByteView data) {
    std::lock_guard lock(devices_);
    if (Hit hit = find(address, data.size()); hit.handler) {
        hit.handler->write(hit.offset, data);
        return;
    }
    unclaimed_.fetch_add(1, std::memory_order_relaxed);
}

IoBus::Hit IoBus::find(std::uint64_t address, std::size_t bytes) const {
    auto above = claims_.upper_bound(address);
    if (above == claims_.begin()) return {};
    const auto& [base, claim] = *std::prev(above);
    const std::uint64_t offset = address - base;
    if (offset >= claim.bytes || bytes > claim.bytes - offset) return {};
    return {claim.handler, offset};
}

}  // namespace vsmp
