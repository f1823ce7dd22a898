// The thread that owns a node's pages, its links and the whereabouts of its vCPUs: a
// run-to-completion loop
//
//     frames -> faults -> commands of other threads -> timers -> sleep when nothing came
//
// Everything it calls is non-blocking. Other threads talk to it by commands only.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "dpdk_transport/fabric.hpp"
#include "dpdk_transport/scheduling.hpp"
#include "locality_ml/policy.hpp"
#include "page_fault_broker/io/broker.hpp"
#include "vmm/node/clock_sync.hpp"
#include "vmm/node/command_queue.hpp"
#include "vmm/node/node_message.hpp"
#include "vmm/node/pilot.hpp"
#include "vmm/node/vcpu_directory.hpp"

namespace vsmp {

namespace command {

struct Raise {  // an interrupt for a vCPU that is not here, or just leaving
    VcpuId vcpu;
    shipper::Interrupt interrupt;
};
struct Captured {
    VcpuId vcpu;
    std::vector<std::byte> state;
};
struct CaptureFailed {
    VcpuId vcpu;
};
struct Installed {
    VcpuId vcpu;
    Duration blackout;  // from its stop on the other node
};
struct InstallFailed {
    VcpuId vcpu;
};
struct Ship {  // `accepted` learns whether the vCPU could be asked
    VcpuId vcpu;
    NodeId to;
    std::promise<bool> accepted;
};
struct Send {  // to one node, or to all others
    std::optional<NodeId> to;
    NodeMessage message;
};
struct Inspect {  // runs on the data plane, to read what it owns
    std::function<void()> look;
};

}  // namespace command

using Command =
    std::variant<command::Raise, command::Captured, command::CaptureFailed, command::Installed,
                 command::InstallFailed, command::Ship, command::Send, command::Inspect>;

// What the data plane tells the rest of the node; called on its thread, must not block.
struct DataPlaneHooks {
    // Which vCPU's thread this is; none for other threads of the process.
    std::function<std::optional<VcpuId>(pid_t thread)> vcpu_of_thread;
    std::function<void(NodeId from, const NodeMessage& message)> on_node_message;
    // All links are up and this node's guest TSC offset is known.
    std::function<void(std::uint64_t guest_tsc_offset)> on_ready;
    // What else is to be done now and then; says when it wants to be called next.
    std::function<std::optional<Instant>(Instant now)> housekeeping;
    std::function<Duration(VcpuId vcpu)> idle_time;                 // PilotHooks
    std::function<std::optional<Duration>(VcpuId vcpu)> turn_time;  // coherence::TurnClock
    std::function<void(std::string)> on_notice;  // what a person should know of the links
    std::function<void(Error)> on_failed;
};

struct DataPlaneOptions {
    NodeId self;
    std::size_t node_count = 1;
    std::size_t vcpu_count = 1;
    std::uint64_t guest_tsc_offset = 0;  // node 0 decides it; others learn it
    std::uint64_t host_id = 0;           // of the running host kernel
    std::uint64_t cpu_set = 0;           // PilotOptions
    std::uint16_t cpus = 1;
    Duration spin = std::chrono::microseconds(20);  // polling before sleeping
    fabric::Scheduling scheduling = fabric::Scheduling::normal;
};

struct DataPlaneCounters {
    std::uint64_t malformed = 0;        // node and clock messages that make no sense
    std::uint64_t ships_not_taken = 0;  // decided by the policy, but the vCPU could not leave
    std::uint64_t sleeps = 0;
};

class DataPlane final : private coherence::TurnClock {
  public:
    // `fabric` is null for a guest of one node. Everything referred to outlives the data plane.
    DataPlane(DataPlaneOptions options, DataPlaneHooks hooks, fabric::Fabric* fabric,
              UserfaultFd& userfault, Broker& broker, VcpuDirectory& directory,
              locality::Policy& policy, CommandQueue<Command>& commands);
    ~DataPlane() override;

    void start();
    void stop();  // any thread but its own; joins

    // On the data-plane thread only (command::Inspect).
    const DataPlaneCounters& counters() const { return counters_; }
    const Pilot& pilot() const { return pilot_; }
    Pilot& pilot() { return pilot_; }

  private:
    std::optional<Duration> had(coherence::Claimant claimant) const override;
    // A fault whose vCPU was asked to go to the page instead. Should the vCPU be unable to leave
    // (a fault inside KVM's emulator does not end on a signal), the page is fetched after all.
    struct ShippedFault {
        Userfault fault;
        VcpuId vcpu;
        Instant give_up;
    };

    void run();
    bool poll_fabric(Instant now);
    bool poll_fabric_once(Instant now);
    // `received`: frames came in this round.
    bool read_faults(Instant now, bool received);
    bool run_commands(Instant now);
    void run_timers(Instant now);
    void sleep(Instant now);
    void deliver(NodeId from, fabric::Channel channel, ByteView payload, Instant now);
    void on_clock_message(NodeId from, ByteView payload);
    void on_fault(const Userfault& fault, Instant now);
    void send(std::optional<NodeId> to, fabric::Channel channel, ByteView payload);
    void watch_peers();
    void look_at_paths(Instant now);
    void ask_for_time();
    void forget_shipped_fault(VcpuId vcpu);
    std::optional<Instant> next_deadline() const;
    bool all_links_up() const;
    void fail(Error error);

    void perform(command::Raise& raise, Instant now);
    void perform(command::Captured& captured, Instant now);
    void perform(command::CaptureFailed& failed, Instant now);
    void perform(command::Installed& installed, Instant now);
    void perform(command::InstallFailed& failed, Instant now);
    void perform(command::Ship& ship, Instant now);
    void perform(command::Send& send, Instant now);
    void perform(command::Inspect& inspect, Instant now);

    DataPlaneOptions options_;
    DataPlaneHooks hooks_;
    fabric::Fabric* fabric_;
    UserfaultFd& userfault_;
    Broker& broker_;
    VcpuDirectory& directory_;
    CommandQueue<Command>& commands_;

    std::jthread thread_;
    std::atomic<bool> stopping_ = false;
    std::vector<Command> taken_;
    std::vector<ShippedFault> shipped_faults_;
    ClockEstimator clock_;
    Pilot pilot_;
    std::optional<Instant> housekeeping_due_;
    Instant paths_due_{};
    std::vector<std::string> told_;  // by peer: what is wrong with a way to it
    unsigned faultless_rounds_ = 0;
    Instant busy_until_{};  // polls without sleeping until then
    bool links_up_ = false;
    bool ready_ = false;
    bool failed_ = false;
    DataPlaneCounters counters_;
};

}  // namespace vsmp
