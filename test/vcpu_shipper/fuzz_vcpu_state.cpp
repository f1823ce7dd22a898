// Accepted bytes are the one encoding of a valid state.
#include <algorithm>
#include <array>

#include "vcpu_shipper/core/vcpu_state.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace vsmp;
    const ByteView bytes = std::as_bytes(std::span{data, size});
    const Result<shipper::VcpuState> state = shipper::decode(bytes);
    if (!state) return 0;
    std::array<std::byte, shipper::kMaxStateBytes> buffer;
    ByteWriter writer{buffer};
    shipper::encode(*state, writer);
    VSMP_CHECK(std::ranges::equal(writer.written(), bytes), "decode accepts a second encoding");
    return 0;
}
