// How a node is put together, and taken apart again.
#include "vmm/node/node.hpp"

#include <sched.h>
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <future>

#include "kvm_glue/kick.hpp"
#include "locality_ml/policies.hpp"
#include "proto/monotonic_clock.hpp"
#include "vmm/boot/micro.hpp"
#include "vmm/node/console_buffer.hpp"
#include "vmm/node/data_plane.hpp"
#include "vmm/node/device_client.hpp"
#include "vmm/node/guest_image.hpp"
#include "vmm/node/host_id.hpp"
#include "vmm/node/links.hpp"
#include "vmm/node/micro_results.hpp"
#include "vmm/node/node_devices.hpp"
#include "vmm/node/node_vcpus.hpp"
#include "vmm/node/policy_decision.hpp"
#include "vmm/node/policy_trace.hpp"
#include "vmm/node/short_slices.hpp"

namespace vsmp {
namespace {

// The hold time is set for the hosts at hand: a fetch takes a few of it at most.
constexpr int kRoundTripHolds = 4;
constexpr Duration kSpin = std::chrono::microseconds(20);

// The CPUs that this node's threads may run on; none: more than fit the set.
std::optional<cpu_set_t> own_cpus() {
    cpu_set_t cpus;
    if (::sched_getaffinity(0, sizeof cpus, &cpus) != 0) return std::nullopt;
    return cpus;
}

// The same for nodes that share their CPUs, and hardly for any others.
std::uint64_t cpu_set_number(std::uint64_t host, const std::optional<cpu_set_t>& cpus) {
    std::string key(reinterpret_cast<const char*>(&host), sizeof host);
    if (cpus) key.append(reinterpret_cast<const char*>(&*cpus), sizeof *cpus);
    return std::hash<std::string>{}(key);
}

// Polling pays where every thread has a CPU. Where they are fewer, it keeps from its CPU the very
// vCPU that was just given its page (it is woken on the CPU of who woke it).
Duration spin_time(const NodeSetup& setup) {
    if (setup.guest.fabric.spin) return *setup.guest.fabric.spin;
    const std::string& host = setup.guest.nodes[setup.self.value()].host;
    const auto nodes_here = static_cast<std::size_t>(std::ranges::count(
        setup.guest.nodes, host, [](const NodeConfig& node) { return node.host; }));
    const std::optional<cpu_set_t> cpus = own_cpus();
    if (!cpus) return kSpin;
    const auto count = static_cast<std::size_t>(CPU_COUNT(&*cpus));
    return count < nodes_here + setup.guest.vcpu_count ? Duration::zero() : kSpin;
}

class NodeImpl final : public Node {
  public:
    NodeImpl(NodeSetup setup, NodeObserver& observer)
        : setup_(std::move(setup)),
          observer_(observer),
          console_([this](std::string bytes) { observer_.on_console_output(std::move(bytes)); }) {}
    ~NodeImpl() override;

    Result<void> open();

    Result<void> start() override;
    void console_input(std::string bytes) override;
    Result<void> ship(VcpuId vcpu, NodeId to) override;
    Result<void> set_policy(const std::string& name) override;
    NodeStats stats() const override;

  private:
    bool is_device_node() const { return setup_.self == NodeId{0}; }
    locality::PolicySetup policy_setup() const;
    Result<std::unique_ptr<locality::Policy>> new_policy(const std::string& name) const;
    void write_to_guest(const boot::GuestWrite& write);
    Result<void> make_memory();
    void make_devices();
    void make_vcpus();
    Result<void> make_data_plane(std::uint64_t host);

    void on_ready(std::uint64_t guest_tsc_offset);
    void on_node_message(NodeId from, const NodeMessage& message);
    void on_micro_report(const MicroReport& report);
    void on_guest_ended(GuestEnd how, std::string detail);
    std::optional<Instant> housekeeping(Instant now);
    NodeStats read_stats() const;
    MemoryStats read_memory_stats() const;

    NodeSetup setup_;
    NodeObserver& observer_;
    std::atomic<bool> ended_ = false;

    std::optional<MemoryLayout> layout_;
    std::optional<GuestMemory> memory_;
    std::optional<UserfaultFd> userfault_;
    std::unique_ptr<fabric::Fabric> fabric_;
    std::optional<Broker> broker_;
    std::unique_ptr<locality::Policy> policy_;
    mutable CommandQueue<Command> commands_;
    ConsoleBuffer console_;
    std::optional<InterruptHub> interrupts_;
    std::unique_ptr<NodeDevices> devices_;         // node 0
    std::unique_ptr<DeviceClient> device_client_;  // other nodes
    std::optional<MicroResults> micro_results_;    // node 0, micro-guests
    std::unique_ptr<NodeVcpus> vcpus_;
    std::optional<VcpuDirectory> directory_;
    std::unique_ptr<DataPlane> data_plane_;
};

Result<void> NodeImpl::open() {
    ask_for_short_slices();
    VSMP_TRY(kvm::install_kick_handler());
    VSMP_TRY_ASSIGN(const std::uint64_t host, host_id());
    VSMP_TRY(make_memory());
    // Only the policy that the guest begins with is recorded, not one that it is given later.
    VSMP_TRY_ASSIGN(policy_, new_policy(setup_.guest.policy));
    VSMP_TRY_ASSIGN(policy_,
                    record_if_asked(std::move(policy_), policy_setup(), setup_.guest.policy));
    VSMP_TRY_ASSIGN(fabric_, open_links(setup_));
    make_devices();
    make_vcpus();
    return make_data_plane(host);
}

locality::PolicySetup NodeImpl::policy_setup() const {
    return {.self = setup_.self,
            .node_count = setup_.guest.nodes.size(),
            .vcpu_count = setup_.guest.vcpu_count,
            .page_count = layout_->page_count()};
}

Result<std::unique_ptr<locality::Policy>> NodeImpl::new_policy(const std::string& name) const {
    return locality::make_policy(name, policy_setup());
}

Result<void> NodeImpl::make_memory() {
    std::vector<std::uint64_t> cells;
    std::vector<std::uint64_t> cell_pages;
    for (const NodeConfig& node : setup_.guest.nodes) {
        cells.push_back(node.memory_bytes);
        cell_pages.push_back(node.memory_bytes / kPageSize);
    }
    VSMP_TRY_ASSIGN(layout_, MemoryLayout::create(cells));
    VSMP_TRY_ASSIGN(memory_, GuestMemory::create(layout_->page_count()));
    VSMP_TRY_ASSIGN(userfault_,
                    UserfaultFd::watch({memory_->guest_base(), layout_->total_bytes()}));
    broker_.emplace(setup_.self, HomeMap{cell_pages},
                    coherence::hold_limits(setup_.self, cells.size(), setup_.guest.hold,
                                           kRoundTripHolds * setup_.guest.hold),
                    *memory_, *userfault_,
                    setup_.guest.nodes[setup_.self.value()].memory_limit_bytes / kPageSize);
    return {};
}

void NodeImpl::make_devices() {
    interrupts_.emplace(setup_.guest.vcpu_count,
                        [this](VcpuId vcpu, const cpu::Interrupt& interrupt) {
                            commands_.push(command::Raise{vcpu, interrupt});
                        });
    const auto wake = [this] { commands_.push(command::Inspect{[] {}}); };
    if (!is_device_node()) {
        device_client_ =
            std::make_unique<DeviceClient>(setup_.guest.vcpu_count, [this](NodeMessage message) {
                commands_.push(command::Send{.to = NodeId{0}, .message = message});
            });
        return;
    }
    devices_ = std::make_unique<NodeDevices>(
        LegacyDeviceHooks{
            .now = monotonic_now,
            .wall_clock =
                [] {
                    return std::chrono::floor<std::chrono::seconds>(
                        std::chrono::system_clock::now());
                },
            .interrupt = [this](const InterruptMessage& message) { interrupts_->send(message); },
            .console_output =
                [this, wake](std::string_view bytes) {
                    if (console_.append(bytes)) wake();
                },
            .power_off = [this] { on_guest_ended(GuestEnd::power_off, {}); },
            .reset = [this] { on_guest_ended(GuestEnd::reset, {}); }},
        wake);
    if (setup_.kind == GuestKind::micro_guest) micro_results_.emplace(setup_.guest.vcpu_count);
}

void NodeImpl::make_vcpus() {
    DeviceAccess& devices = is_device_node() ? static_cast<DeviceAccess&>(*devices_)
                                             : static_cast<DeviceAccess&>(*device_client_);
    vcpus_ = std::make_unique<NodeVcpus>(
        VcpuMachine{.vcpu_count = setup_.guest.vcpu_count,
                    .kind = setup_.kind,
                    .cpuid = setup_.cpuid,
                    .tsc_khz = setup_.tsc_khz},
        *interrupts_, devices, commands_,
        VcpuEvents{
            .micro_report = [this](const MicroReport& report) { on_micro_report(report); },
            .guest_ended = [this](GuestEnd how,
                                  std::string detail) { on_guest_ended(how, std::move(detail)); }});
}

Result<void> NodeImpl::make_data_plane(std::uint64_t host) {
    broker_->attach(fabric_.get());
    directory_.emplace(setup_.self, setup_.guest.nodes.size(), setup_.guest.vcpu_count, *vcpus_,
                       fabric_.get(), [this](Error error) { observer_.on_failed(error); });
    const std::optional<cpu_set_t> cpus = own_cpus();
    data_plane_ = std::make_unique<DataPlane>(
        DataPlaneOptions{.self = setup_.self,
                         .node_count = setup_.guest.nodes.size(),
                         .vcpu_count = setup_.guest.vcpu_count,
                         .guest_tsc_offset = 0 - __rdtsc(),  // the guest's TSC begins at 0
                         .host_id = host,
                         .cpu_set = cpu_set_number(host, cpus),
                         .cpus = static_cast<std::uint16_t>(cpus ? CPU_COUNT(&*cpus) : CPU_SETSIZE),
                         .spin = spin_time(setup_),
                         .scheduling = setup_.guest.fabric.scheduling},
        DataPlaneHooks{
            .vcpu_of_thread = [this](pid_t thread) { return vcpus_->vcpu_of_thread(thread); },
            .on_node_message = [this](NodeId from,
                                      const NodeMessage& m) { on_node_message(from, m); },
            .on_ready = [this](std::uint64_t offset) { on_ready(offset); },
            .housekeeping = [this](Instant now) { return housekeeping(now); },
            .idle_time = [this](VcpuId vcpu) { return vcpus_->idle_time(vcpu); },
            .on_notice = [this](std::string text) { observer_.on_notice(std::move(text)); },
            .on_failed = [this](Error error) { observer_.on_failed(std::move(error)); }},
        fabric_.get(), *userfault_, *broker_, *directory_, *policy_, commands_);
    data_plane_->start();
    return {};
}

// What vCPUs wait for is released in this order: device replies, then pages. From the moment the
// userfaultfd is closed they may read stale pages, but nothing they do leaves this process any
// more.
NodeImpl::~NodeImpl() {
    ended_ = true;
    if (device_client_) device_client_->stop();
    if (data_plane_) data_plane_->stop();
    userfault_.reset();
    if (vcpus_) vcpus_->stop();
}

void NodeImpl::on_ready(std::uint64_t guest_tsc_offset) {
    const auto created = vcpus_->create(*layout_, memory_->guest_base(), guest_tsc_offset);
    if (!created) return observer_.on_failed(created.error());
    observer_.on_links_up();
}

Result<void> NodeImpl::start() {
    if (!is_device_node()) return {};
    VSMP_TRY_ASSIGN(const boot::BootImage image, make_guest_image({.guest = setup_.guest,
                                                                   .kind = setup_.kind,
                                                                   .kernel = setup_.kernel,
                                                                   .initrd = setup_.initrd,
                                                                   .cpuid = setup_.cpuid,
                                                                   .tsc_khz = setup_.tsc_khz},
                                                                  *layout_));
    for (const boot::GuestWrite& write : image.writes) write_to_guest(write);
    setup_.kernel.clear();
    setup_.initrd.clear();
    vcpus_->start(image.start);
    return {};
}

void NodeImpl::write_to_guest(const boot::GuestWrite& write) {
    if (write.bytes.empty()) return;
    const auto first = layout_->page_of(write.at);
    const auto last = layout_->page_of(Gpa{write.at.value() + write.bytes.size() - 1});
    VSMP_CHECK(first && last, "an image's writes lie in RAM");
    const std::size_t offset = first->value() * kPageSize + write.at.value() % kPageSize;
    std::memcpy(memory_->alias().data() + offset, write.bytes.data(), write.bytes.size());
    broker_->mark_populated(*first, last->value() - first->value() + 1);
}

void NodeImpl::console_input(std::string bytes) {
    // What the UART's queue has no room for is lost, as on a real line without flow control.
    if (devices_) devices_->legacy().console_input(bytes);
}

Result<void> NodeImpl::ship(VcpuId vcpu, NodeId to) {
    if (vcpu.value() >= setup_.guest.vcpu_count)
        return Error{"no vCPU " + std::to_string(vcpu.value())};
    if (to.value() >= setup_.guest.nodes.size() || to == setup_.self)
        return Error{"cannot ship to node " + std::to_string(to.value())};
    std::promise<bool> promise;
    std::future<bool> accepted = promise.get_future();
    commands_.push(command::Ship{vcpu, to, std::move(promise)});
    if (accepted.get()) return {};
    return Error{"vCPU " + std::to_string(vcpu.value()) + " is not here, or is leaving already"};
}

Result<void> NodeImpl::set_policy(const std::string& name) {
    VSMP_TRY_ASSIGN(std::unique_ptr<locality::Policy> policy, new_policy(name));
    std::promise<void> done;
    commands_.push(command::Inspect{[&] {
        data_plane_->pilot().use(*policy);
        std::swap(policy_, policy);
        done.set_value();
    }});
    done.get_future().wait();
    return {};
}

void NodeImpl::on_node_message(NodeId from, const NodeMessage& message) {
    if (const auto* request = std::get_if<DeviceRequest>(&message)) {
        if (devices_)
            commands_.push(command::Send{.to = from, .message = devices_->serve(*request)});
    } else if (const auto* reply = std::get_if<DeviceReply>(&message)) {
        if (device_client_) device_client_->on_reply(*reply);
    } else if (const auto* eoi = std::get_if<EndOfInterrupt>(&message)) {
        if (devices_) devices_->end_of_interrupt(eoi->vector);
    } else if (const auto* moved = std::get_if<ApicMoved>(&message)) {
        interrupts_->set_address(moved->vcpu, moved->address);
    } else if (const auto* report = std::get_if<MicroReport>(&message)) {
        on_micro_report(*report);
    }
}

void NodeImpl::on_micro_report(const MicroReport& report) {
    if (!is_device_node()) {
        commands_.push(command::Send{.to = NodeId{0}, .message = report});
        return;
    }
    if (!micro_results_) return;
    observer_.on_console_output(micro_results_->add(report));
    if (const auto end = micro_results_->end()) on_guest_ended(end->how, end->detail);
}

void NodeImpl::on_guest_ended(GuestEnd how, std::string detail) {
    if (ended_.exchange(true)) return;
    console_.flush();
    observer_.on_guest_ended(how, std::move(detail));
}

std::optional<Instant> NodeImpl::housekeeping(Instant now) {
    if (!devices_) return std::nullopt;
    std::optional<Instant> next = devices_->legacy().next_deadline();
    if (next && *next <= now) {
        devices_->legacy().expire(now);
        next = devices_->legacy().next_deadline();
    }
    const std::optional<Instant> flush = console_.flush_if_due(now);
    return !next || (flush && *flush < *next) ? flush : next;
}

NodeStats NodeImpl::stats() const {
    std::promise<NodeStats> promise;
    std::future<NodeStats> stats = promise.get_future();
    commands_.push(command::Inspect{[&] { promise.set_value(read_stats()); }});
    return stats.get();
}

MemoryStats NodeImpl::read_memory_stats() const {
    const BrokerCounters& pages = broker_->counters();
    const coherence::MemoryCounters& memory = broker_->memory_counters();
    const auto kernel = memory_->resident_pages();
    return {.resident = memory.resident,
            .resident_max = memory.resident_max,
            .resident_kernel = kernel ? *kernel : 0,
            .limit = broker_->memory_limit(),
            .dropped = memory.dropped,
            .written_back = pages.written_back,
            .discarded = memory.discarded,
            .revalidated = pages.revalidated,
            .waits = pages.memory_waits};
}

NodeStats NodeImpl::read_stats() const {
    const BrokerCounters& pages = broker_->counters();
    const ShipCounters& ships = directory_->counters();
    NodeStats stats;
    stats.faults = pages.faults;
    stats.fetches_read = pages.fetches_read;
    stats.fetches_write = pages.fetches_write;
    stats.upgrades = pages.upgrades;
    stats.invalidations = pages.invalidations;
    stats.zero_pages = pages.zero_pages;
    stats.memory = read_memory_stats();
    stats.ships_out = ships.out;
    stats.ships_in = ships.in;
    stats.ship_frame_bytes_max = ships.frame_bytes_max;
    stats.ship_blackout_us = ships.blackout_us;
    stats.ship_frame_bytes = ships.frame_bytes;
    stats.vcpus = vcpus_->stats();
    // The directory says who is here, as it is what a next ship is asked of: a vCPU may run before
    // the directory has heard of its arrival.
    for (auto& vcpu : stats.vcpus) vcpu.here = directory_->is_here(vcpu.id);
    const Pilot& pilot = data_plane_->pilot();
    stats.prefetches = pages.prefetches;
    stats.prefetch_used = pilot.counters().prefetch_used;
    stats.prefetch_wasted = pilot.counters().prefetch_wasted;
    const Instant now = monotonic_now();
    for (NodeStats::VcpuStats& vcpu : stats.vcpus)
        vcpu.decision = to_decision(pilot.explain(vcpu.id), now);
    for (std::size_t i = 0; fabric_ && i < setup_.guest.nodes.size(); ++i) {
        const NodeId peer{static_cast<std::uint8_t>(i)};
        if (peer == setup_.self) continue;
        stats.fabric += fabric_->counters(peer);
        for (fabric::PathStats& path : fabric_->paths(peer))
            stats.paths.push_back({peer, std::move(path)});
    }
    if (fabric_) stats.drops = fabric_->drops();
    return stats;
}

}  // namespace

Result<std::unique_ptr<Node>> Node::create(NodeSetup setup, NodeObserver& observer) {
    auto node = std::make_unique<NodeImpl>(std::move(setup), observer);
    VSMP_TRY(node->open());
    return std::unique_ptr<Node>{std::move(node)};
}

}  // namespace vsmp
