// One end of something that carries messages between two threads or processes, so that a port, the
// fabric on it, kernel sockets and shared memory are all measured by the same code. One thread owns
// an end. No end reads the clock unless what it stands for has to.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "dpdk_transport/core/frame_sealer.hpp"
#include "dpdk_transport/fabric.hpp"
#include "dpdk_transport/port.hpp"
#include "proto/fd.hpp"
#include "proto/result.hpp"
#include "proto/time.hpp"

namespace vsmp::fabric {

class Wire {
  public:
    enum class Delivery : std::uint8_t { reliable, lossy };
    using Receive = FunctionRef<void(ByteView message)>;

    virtual ~Wire() = default;
    // What it is, as a key for JSON: "port", "fabric", "tcp".
    virtual std::string name() const = 0;
    virtual Delivery delivery() const = 0;

    // Before messages of another size: all of one job have the same. At least 16 bytes.
    virtual void begin(std::size_t message_size) { (void)message_size; }
    // Takes one message; false: no room now.
    virtual bool send(ByteView message) = 0;
    // Puts what was taken on the wire, hands over what has arrived; says how much that was.
    // `receive` may call send().
    virtual std::size_t poll(const Receive& receive) = 0;
    // Nothing of ours is under way any more.
    virtual bool settled() const { return true; }

    // As in Port; next_deadline as in Fabric.
    virtual int wakeup_fd() const = 0;
    virtual bool arm_wakeup() { return true; }
    virtual void disarm_wakeup() {}
    virtual std::optional<Instant> next_deadline() const { return std::nullopt; }
    // An error that ends the measurement, empty while there is none.
    virtual std::string problem() const { return {}; }
};

// Frames with the size that the fabric's would have, from one MAC to the other's. `port` outlives
// the wire. `peer` is the other port's MAC.
std::unique_ptr<Wire> bare_port_wire(Port& port, const MacAddress& peer);

// The fabric between nodes 0 and 1 on `port`. Both ends give the same name, no two on one port, and
// a sealer with the same keys, or none.
Result<std::unique_ptr<Wire>> fabric_wire(const std::string& name, std::unique_ptr<Port> port,
                                          int self, std::unique_ptr<FrameSealer> sealer = nullptr);

// A port that belongs to somebody else, who keeps it for as long. Each call takes one step more.
std::unique_ptr<Port> borrowed(Port& port);

// Kernel sockets that are connected already.
std::unique_ptr<Wire> udp_wire(UniqueFd socket);
std::unique_ptr<Wire> tcp_wire(UniqueFd socket);

// Rings of slots in memory that both ends share; polled only.
class SharedRings;
std::unique_ptr<Wire> shared_memory_wire(std::shared_ptr<SharedRings> rings, int self);
// Anonymous memory, shared with processes forked later.
Result<std::shared_ptr<SharedRings>> make_shared_rings();

}  // namespace vsmp::fabric
