// Both ends of everything that bench_fabric compares over one kind of port.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "dpdk_transport/bench/meeting.hpp"
#include "dpdk_transport/bench/wire.hpp"
#include "dpdk_transport/eal.hpp"

namespace vsmp::fabric {

enum class BenchPort : std::uint8_t {
    memory,      // two threads; a reference without any wire
    vhost_user,  // two processes
    af_packet,   // two processes in network namespaces of their own, joined by a veth pair
};
std::string to_string(BenchPort port);

// One end; moved between threads or made after fork().
struct End {
    std::shared_ptr<Eal> eal;
    std::vector<std::unique_ptr<Wire>> wires;  // the bare port, the fabric, sealed too, and others

    End() = default;
    End(End&&) = default;
    End& operator=(End&&) = default;
    ~End();  // last the wires that others stand on

    Wire* find(const std::string& name);
};

// What the two ends are made from. Prepared before they part.
struct Stage {
    BenchPort port{};
    std::string folder;  // for sockets
    std::shared_ptr<Meeting::Shared> shared;
    std::shared_ptr<SharedRings> rings;
};

// Network and other preparations of the process that will be end 0. Empty: done; else why this
// kind of port cannot be had here.
std::string prepare(const Stage& stage);
// What is left to do once the process `other` is there: it gets its half of the veth pair.
Result<> hand_over_link(const Stage& stage, pid_t other);
// First thing in that process.
Result<> enter_other_side(const Stage& stage);

// Runs at both ends at once.
Result<End> open_end(const Stage& stage, Meeting& meeting);
// Both ends of BenchPort::memory.
Result<std::vector<End>> open_memory_ends(const Stage& stage);

}  // namespace vsmp::fabric
