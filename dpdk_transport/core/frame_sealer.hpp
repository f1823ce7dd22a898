// The seam for authenticated encryption of frames. The fabric asks for `overhead()` when links are
// made, so that sealed frames fit the MTU, and calls the rest on the data-plane thread for each
// frame, also the acknowledgements and hellos. Retransmissions are sealed anew: a nonce is never
// used twice. Implementations are in dpdk_transport/crypto.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "proto/bytes.hpp"
#include "proto/ids.hpp"

namespace vsmp::fabric {

struct SealCounters {
    std::uint64_t sealed = 0, opened = 0;
    std::uint64_t unauthentic = 0;  // changed, forged, or of another cluster, guest or direction
    std::uint64_t replayed = 0;     // seen before, or of an older session
    std::uint64_t unknown_key = 0;
};

class FrameSealer {
  public:
    virtual ~FrameSealer() = default;

    // Bytes that a sealed payload is longer than the plain one: what names the nonce, and the tag.
    virtual std::size_t overhead() const = 0;

    // Writes `payload` sealed into `to`, which has payload.size() + overhead() bytes. `header` (our
    // header, kMtuOverhead bytes) is authenticated but stays readable.
    virtual void seal(NodeId peer, ByteView header, ByteView payload, std::span<std::byte> to) = 0;

    // The plain payload, valid until the next call; nothing if it does not authenticate or was seen
    // before. `header` as it was received.
    virtual std::optional<ByteView> open(NodeId peer, ByteView header, ByteView sealed) = 0;

    virtual const SealCounters& counters() const = 0;
};

}  // namespace vsmp::fabric
