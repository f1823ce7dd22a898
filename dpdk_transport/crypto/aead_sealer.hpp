// Frames sealed with AES-256-GCM (NIST SP 800-38D), by OpenSSL.
//
// A sealed payload is
//
//    0  number of the cluster key   2    | 16  ciphertext, as long as the payload
//    2  counter                     6    | ..  tag   16
//    8  session of the sender       8    |
//
// Frames of one sender to one receiver have a key of their own, derived from the cluster's (HKDF
// with SHA-256, RFC 5869) with the session as salt and guest, sender and receiver as info; the
// nonce is the counter, which never repeats in a session. A session is the wall-clock time of its
// start in nanoseconds, so each start of a node and each change of keys has another; a receiver
// takes no session older than the newest it has heard of a peer, which is what keeps frames
// recorded earlier from being played again. A node whose clock was set back is refused until its
// clock has caught up.
#pragma once

#include <functional>
#include <memory>

#include "dpdk_transport/core/frame_sealer.hpp"
#include "dpdk_transport/crypto/key_ring.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

inline constexpr std::size_t kSealOverhead = 32;  // bytes in each frame

struct AeadOptions {
    NodeId self;
    std::uint64_t guest = 0;
    KeyRing keys;
    // Asked for newer keys about once a second while frames flow; may be empty.
    std::function<std::optional<KeyRing>()> newer_keys;
    // For tests; else the clocks of this host.
    std::function<std::uint64_t()> session_clock;  // ns
    std::function<Instant()> clock;
};

std::unique_ptr<FrameSealer> make_aead_sealer(AeadOptions options);

}  // namespace vsmp::fabric
