// A port: something that moves whole Ethernet frames, unreliably and perhaps out of order. One
// thread owns a port and calls everything here.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "dpdk_transport/core/frame_store.hpp"
#include "dpdk_transport/core/mac.hpp"
#include "proto/bytes.hpp"
#include "proto/function_ref.hpp"

namespace vsmp::fabric {

class Port {
  public:
    // `frame` starts at the destination MAC and is valid during the call only.
    using Receive = FunctionRef<void(ByteView frame)>;

    virtual ~Port() = default;

    // A frame's header, written at once and whole where it is sent from. To write it elsewhere and
    // copy it would be slow: the copy waits for all stores in front of it, of a page perhaps.
    struct Header {
        std::size_t size = 0;
        FunctionRef<void(std::span<std::byte> to)> write;
    };
    // Adds one frame, header followed by body (either may be empty), to the burst under
    // construction; both are copied before it returns. False: no room now, nothing was taken.
    virtual bool queue(const Header& header, ByteView body) = 0;
    bool queue_copy(ByteView header, ByteView body) {
        const auto copy = [header](std::span<std::byte> to) {
            if (!header.empty()) std::memcpy(to.data(), header.data(), header.size());
        };
        return queue({header.size(), copy}, body);
    }
    // Where messages may be put together so that queue_kept() takes them; null: nowhere, all are
    // copied. Its slots outlive neither the port nor its users.
    virtual FrameStore* frame_store() { return nullptr; }
    enum class Kept : std::uint8_t {
        queued,
        full,        // as queue() says it
        copy_needed  // the port still has it from an earlier time, or it is not of this port's
                     // store
    };
    // Like queue(), with a body of `size` bytes that lies in the slot and is not copied; the header
    // is put in front of it. The slot stays as it is until the port has let go of it, whatever
    // becomes of `frame`.
    virtual Kept queue_kept(const KeptFrame& frame, const Header& header, std::size_t size) {
        (void)frame, (void)header, (void)size;
        return Kept::copy_needed;
    }
    // Hands the burst to the wire. False: some of it stays queued because the wire takes no more
    // now; call again soon.
    virtual bool flush() = 0;

    // Calls `receive` for at most kBurst frames that have arrived; says how many there were.
    virtual std::size_t receive(const Receive& receive) = 0;
    static constexpr std::size_t kBurst = 32;

    // Becomes readable when a frame arrives after arm_wakeup(). For epoll or ppoll,
    // level-triggered. The descriptor stays the same for the life of the port.
    virtual int wakeup_fd() const = 0;
    // Right before sleeping. False: frames are already there, don't sleep.
    virtual bool arm_wakeup() = 0;
    // After sleeping, whether or not anything came.
    virtual void disarm_wakeup() = 0;

    virtual MacAddress mac() const = 0;
    // Largest Ethernet payload in bytes (that is, without the 14 bytes of Ethernet header).
    virtual std::size_t mtu() const = 0;
    // For people: "af_packet on veth0".
    virtual std::string name() const = 0;
};

}  // namespace vsmp::fabric
