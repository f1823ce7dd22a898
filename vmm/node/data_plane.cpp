#include "vmm/node/data_plane.hpp"

#include <poll.h>
#include <pthread.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>

#include "proto/polling_clock.hpp"

namespace vsmp {
namespace {

// How long a vCPU that was told to leave may take before its page is fetched instead.
constexpr Duration kLeaveTimeout = std::chrono::milliseconds(10);

// Between two looks at the ways to the peers, which are made when there is something else to do.
constexpr Duration kLookAtPaths = std::chrono::seconds(1);

// Of so many rounds with frames, one looks for faults too after one that found none.
constexpr unsigned kFaultlessRounds = 4;

constexpr NodeId kClockMaster{0};

}  // namespace

DataPlane::DataPlane(DataPlaneOptions options, DataPlaneHooks hooks, fabric::Fabric* fabric,
                     UserfaultFd& userfault, Broker& broker, VcpuDirectory& directory,
                     locality::Policy& policy, CommandQueue<Command>& commands)
    : options_(options),
      hooks_(std::move(hooks)),
      fabric_(fabric),
      userfault_(userfault),
      broker_(broker),
      directory_(directory),
      commands_(commands),
      clock_(options.host_id),
      pilot_({.self = options.self,
              .node_count = options.node_count,
              .vcpu_count = options.vcpu_count,
              .cpu_set = options.cpu_set,
              .cpus = options.cpus},
             {.idle_time = [this](VcpuId vcpu) { return hooks_.idle_time(vcpu); },
              .send =
                  [this](std::optional<NodeId> to, const PolicyMessage& message) {
                      std::array<std::byte, kMaxPolicyMessage> buffer;
                      ByteWriter writer{buffer};
                      encode(message, writer);
                      send(to, fabric::Channel::locality, writer.written());
                  }},
             policy, broker, directory) {
    broker_.set_turn_clock(this);
}

DataPlane::~DataPlane() {
    stop();
    broker_.set_turn_clock(nullptr);
}

void DataPlane::start() {
    thread_ = std::jthread([this] { run(); });
}

void DataPlane::stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    commands_.push(command::Inspect{[] {}});  // wakes it
    thread_.join();
}

void DataPlane::run() {
    ::pthread_setname_np(::pthread_self(), "vsmp-data");  // for top -H
    if (const auto scheduled = fabric::schedule_this_thread(options_.scheduling); !scheduled)
        fail(scheduled.error());
    PollingClock clock;
    while (!stopping_) {
        const Instant now = clock.turn();
        bool worked = poll_fabric(now);
        worked |= read_faults(now, worked);
        worked |= run_commands(now);
        run_timers(now);
        if (worked) {
            busy_until_ = now + options_.spin;
            clock.passed();
        } else if (now >= busy_until_) {
            watch_peers();
            sleep(now);
            clock.passed();
        }
    }
}

bool DataPlane::poll_fabric(Instant now) {
    if (!fabric_) {
        if (!ready_) {
            ready_ = true;
            hooks_.on_ready(options_.guest_tsc_offset);
        }
        return false;
    }
    const bool received = poll_fabric_once(now);
    if (received) poll_fabric_once(now);  // what was answered leaves before anything else is done
    if (!links_up_) watch_peers();
    return received;
}

bool DataPlane::poll_fabric_once(Instant now) {
    broker_.begin_batch();
    const bool received =
        fabric_->poll(now, [&](NodeId from, fabric::Channel channel, ByteView payload) {
            deliver(from, channel, payload, now);
        });
    broker_.end_batch();
    return received;
}

void DataPlane::deliver(NodeId from, fabric::Channel channel, ByteView payload, Instant now) {
    switch (channel) {
        case fabric::Channel::coherence:
        case fabric::Channel::page:
            broker_.on_message(from, payload, now);
            return;
        case fabric::Channel::vcpu:
            directory_.on_message(from, payload);
            return;
        case fabric::Channel::clock:
            on_clock_message(from, payload);
            return;
        case fabric::Channel::device:
            if (const auto message = decode_node_message(payload, options_.vcpu_count))
                hooks_.on_node_message(from, *message);
            else
                ++counters_.malformed;
            return;
        case fabric::Channel::locality:
            if (const auto message = decode_policy_message(payload, options_.vcpu_count))
                pilot_.on_message(from, *message);
            else
                ++counters_.malformed;
            return;
        case fabric::Channel::test:
            ++counters_.malformed;
            return;
    }
    ++counters_.malformed;
}

// Node 0 answers at once; the others ask again until they have believed enough answers.
void DataPlane::on_clock_message(NodeId from, ByteView payload) {
    const std::uint64_t tsc = __rdtsc();
    std::array<std::byte, kClockMessageSize> buffer;
    ByteWriter writer{buffer};
    if (const auto ping = decode_clock_ping(payload)) {
        const std::uint64_t offset = options_.guest_tsc_offset;
        encode(ClockPong{ping->asker_tsc, tsc + offset, offset, options_.host_id}, writer);
        fabric_->send(from, fabric::Channel::clock, writer.written());
        return;
    }
    const auto pong = decode_clock_pong(payload);
    if (!pong || from != kClockMaster || ready_) {
        ++counters_.malformed;
        return;
    }
    clock_.on_pong(*pong, tsc);
    if (!clock_.settled()) return ask_for_time();
    ready_ = true;
    hooks_.on_ready(clock_.offset());
}

void DataPlane::ask_for_time() {
    std::array<std::byte, kClockMessageSize> buffer;
    ByteWriter writer{buffer};
    encode(ClockPing{__rdtsc()}, writer);
    fabric_->send(kClockMaster, fabric::Channel::clock, writer.written());
}

void DataPlane::watch_peers() {
    if (!fabric_) return;
    for (std::size_t i = 0; i < options_.node_count && !failed_; ++i) {
        const NodeId peer{static_cast<std::uint8_t>(i)};
        if (peer != options_.self && fabric_->peer_state(peer) == fabric::PeerState::lost)
            fail(Error{fabric_->peer_problem(peer)});
    }
    if (links_up_ || !all_links_up()) return;
    links_up_ = true;
    if (options_.self != kClockMaster) return ask_for_time();
    ready_ = true;
    hooks_.on_ready(options_.guest_tsc_offset);
}

// Tells of a way to a peer that swallows large frames, or has gone silent, and when it is well.
void DataPlane::look_at_paths(Instant now) {
    if (!fabric_ || now < paths_due_) return;
    paths_due_ = now + kLookAtPaths;
    told_.resize(options_.node_count);
    for (std::size_t i = 0; i < options_.node_count; ++i) {
        const NodeId peer{static_cast<std::uint8_t>(i)};
        if (peer == options_.self || fabric_->peer_state(peer) != fabric::PeerState::up) continue;
        std::string problem = fabric_->peer_problem(peer);
        if (problem == told_[i]) continue;
        hooks_.on_notice(problem.empty() ? "no longer so: " + told_[i] : problem);
        told_[i] = std::move(problem);
    }
}

bool DataPlane::all_links_up() const {
    for (std::size_t i = 0; i < options_.node_count; ++i) {
        const NodeId peer{static_cast<std::uint8_t>(i)};
        if (peer != options_.self && fabric_->peer_state(peer) != fabric::PeerState::up)
            return false;
    }
    return true;
}

bool DataPlane::read_faults(Instant now, bool received) {
    // Faults are where new traffic comes from; answers to what is under way always go through.
    if (fabric_ && fabric_->congested()) return false;
    // A system call: while frames stream in and faults do not, not with every few of them.
    if (received && ++faultless_rounds_ % kFaultlessRounds != 0) return false;
    std::array<Userfault, 16> faults;
    const auto count = userfault_.read(faults);
    if (!count) {
        fail(count.error());
        return false;
    }
    for (const Userfault& fault : std::span{faults}.first(*count)) on_fault(fault, now);
    if (*count > 0) faultless_rounds_ = kFaultlessRounds - 1;  // more may come: look again at once
    return *count > 0;
}

// Claimants that are no vCPU have no turns.
std::optional<Duration> DataPlane::had(coherence::Claimant claimant) const {
    if (claimant.value() >= options_.vcpu_count) return std::nullopt;
    return hooks_.turn_time(VcpuId{static_cast<std::uint16_t>(claimant.value())});
}

void DataPlane::on_fault(const Userfault& fault, Instant now) {
    const std::optional<VcpuId> vcpu = hooks_.vcpu_of_thread(fault.thread);
    const bool asks = vcpu && broker_.is_remote(fault);
    if (asks && pilot_.on_fault(fault, *vcpu, now) == Pilot::Course::shipping) {
        shipped_faults_.push_back({fault, *vcpu, now + kLeaveTimeout});
        return;
    }
    // Claimants that are no vCPU (KVM's own threads) are told apart by their thread.
    const std::uint32_t claimant =
        vcpu ? vcpu->value()
             : static_cast<std::uint32_t>(kMaxVcpus) + static_cast<std::uint32_t>(fault.thread);
    broker_.on_fault(fault, coherence::Claimant{claimant}, now);
    if (asks) pilot_.prefetch(fault.access, now);
}

void DataPlane::forget_shipped_fault(VcpuId vcpu) {
    std::erase_if(shipped_faults_, [&](const ShippedFault& f) { return f.vcpu == vcpu; });
}

bool DataPlane::run_commands(Instant now) {
    commands_.take(taken_);
    for (Command& command : taken_) std::visit([&](auto& c) { perform(c, now); }, command);
    return !taken_.empty();
}

void DataPlane::perform(command::Raise& raise, Instant) {
    directory_.raise(raise.vcpu, raise.interrupt);
}

void DataPlane::perform(command::Captured& captured, Instant now) {
    forget_shipped_fault(captured.vcpu);
    broker_.on_abandoned(coherence::Claimant{captured.vcpu.value()}, now);
    pilot_.on_departing(captured.vcpu, directory_.peer(captured.vcpu), now);
    directory_.on_captured(captured.vcpu, std::move(captured.state));
}

void DataPlane::perform(command::CaptureFailed& failed, Instant now) {
    pilot_.on_ship_failed(failed.vcpu, now);
    directory_.on_capture_failed(failed.vcpu);
}

void DataPlane::perform(command::Installed& installed, Instant now) {
    const NodeId from = directory_.peer(installed.vcpu);
    directory_.on_installed(installed.vcpu, installed.blackout);
    pilot_.on_arrived(installed.vcpu, from, installed.blackout, now);
}

void DataPlane::perform(command::InstallFailed& failed, Instant) {
    directory_.on_install_failed(failed.vcpu, shipper::NackReason::cannot_load);
}

void DataPlane::perform(command::Ship& ship, Instant) {
    ship.accepted.set_value(directory_.ship(ship.vcpu, ship.to));
}

void DataPlane::perform(command::Send& send_order, Instant) {
    std::array<std::byte, kMaxNodeMessage> buffer;
    ByteWriter writer{buffer};
    encode(send_order.message, writer);
    send(send_order.to, fabric::Channel::device, writer.written());
}

// To one node, or to all others.
void DataPlane::send(std::optional<NodeId> to, fabric::Channel channel, ByteView payload) {
    if (!fabric_) return;
    for (std::size_t i = 0; i < options_.node_count; ++i) {
        const NodeId peer{static_cast<std::uint8_t>(i)};
        if (peer != options_.self && (!to || *to == peer)) fabric_->send(peer, channel, payload);
    }
}

void DataPlane::perform(command::Inspect& inspect, Instant) {
    inspect.look();
}

void DataPlane::run_timers(Instant now) {
    housekeeping_due_ = hooks_.housekeeping(now);
    if (const auto due = broker_.next_deadline(); due && *due <= now) broker_.on_timer(now);
    if (ready_) pilot_.on_timer(now);
    look_at_paths(now);
    while (!shipped_faults_.empty() && shipped_faults_.front().give_up <= now) {
        const ShippedFault late = shipped_faults_.front();
        shipped_faults_.erase(shipped_faults_.begin());
        ++counters_.ships_not_taken;
        broker_.on_fault(late.fault, coherence::Claimant{late.vcpu.value()}, now);
    }
}

std::optional<Instant> DataPlane::next_deadline() const {
    std::optional<Instant> next = broker_.next_deadline();
    const auto consider = [&](std::optional<Instant> other) {
        if (other && (!next || *other < *next)) next = other;
    };
    consider(housekeeping_due_);
    if (ready_) consider(pilot_.next_deadline());
    if (fabric_) consider(fabric_->next_deadline());
    if (!shipped_faults_.empty()) consider(shipped_faults_.front().give_up);
    return next;
}

void DataPlane::sleep(Instant now) {
    if (fabric_ && !fabric_->arm_wakeup()) {
        fabric_->disarm_wakeup();
        return;
    }
    // While congested, faults wait in the kernel: they must not end the sleep.
    const bool want_faults = !fabric_ || !fabric_->congested();
    std::array<pollfd, 3> fds{pollfd{commands_.wakeup_fd(), POLLIN, 0},
                              pollfd{want_faults ? userfault_.fd() : -1, POLLIN, 0},
                              pollfd{fabric_ ? fabric_->wakeup_fd() : -1, POLLIN, 0}};
    std::optional<timespec> timeout;
    if (const auto deadline = next_deadline()) {
        const auto left = std::max(*deadline - now, Duration::zero());
        const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
        timeout = timespec{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    }
    ++counters_.sleeps;
    ::ppoll(fds.data(), fds.size(), timeout ? &*timeout : nullptr, nullptr);
    if (fabric_) fabric_->disarm_wakeup();
}

void DataPlane::fail(Error error) {
    if (std::exchange(failed_, true)) return;
    hooks_.on_failed(std::move(error));
}

}  // namespace vsmp
