// Accepted bytes are the one encoding of a valid state.
#include <algorithm>
#include <array>

#include "test/vcpu_shipper/example_states.hpp"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t room);

// Begins with real states: random bytes hardly ever get past the fixed part.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t room, unsigned seed) {
    using namespace vsmp::shipper;
    if (size < 4 || seed % 64 == 0) {
        const auto example =
            encoded(seed / 64 % 2 == 0 ? idle_fpu_state() : everything_live_state());
        if (example.size() <= room) {
            std::memcpy(data, example.data(), example.size());
            size = example.size();
        }
    }
    return LLVMFuzzerMutate(data, size, room);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace vsmp;
    const ByteView bytes = std::as_bytes(std::span{data, size});
    const Result<shipper::VcpuState> state = shipper::decode(bytes);
    if (!state) return 0;
    const std::vector<std::byte> again = shipper::encoded(*state);
    VSMP_CHECK(std::ranges::equal(again, bytes), "decode accepts a second encoding");
    return 0;
}
