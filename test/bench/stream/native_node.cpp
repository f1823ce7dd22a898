#include "test/bench/stream/native_node.hpp"

#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "dpdk_transport/make_fabric.hpp"
#include "locality_ml/policies.hpp"
#include "vmm/node/data_plane.hpp"

namespace vsmp::bench {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 30s;
constexpr std::uint64_t kHostId = 1;  // both nodes are here: their clocks agree

// The one vCPU that there would be never moves.
class NoVcpus final : public LocalVcpus {
    void capture(VcpuId, NodeId) override {}
    void resume(VcpuId) override {}
    void install(VcpuId, shipper::VcpuState) override {}
    void deliver(VcpuId, const shipper::Interrupt&) override {}
};

// Ready or failed, told by the data plane, awaited by another thread.
class Outcome {
  public:
    void ready() {
        const std::lock_guard guard{mutex_};
        ready_ = true;
        changed_.notify_all();
    }
    void failed(Error error) {
        const std::lock_guard guard{mutex_};
        error_ = std::move(error);
        changed_.notify_all();
    }
    Result<> wait() {
        std::unique_lock lock{mutex_};
        if (!changed_.wait_for(lock, kPatience, [this] { return ready_ || error_; }))
            return Error{"the links do not come up"};
        if (error_) return *error_;
        return {};
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool ready_ = false;
    std::optional<Error> error_;
};

class NativeNodeImpl final : public NativeNode {
  public:
    NativeNodeImpl(const NativeNodeOptions& options, GuestMemory memory, UserfaultFd userfault,
                   std::unique_ptr<fabric::Fabric> fabric)
        : memory_(std::move(memory)),
          userfault_(std::move(userfault)),
          fabric_(std::move(fabric)),
          peer_(static_cast<std::uint8_t>(1 - options.self.value())),
          broker_(options.self, HomeMap{options.pages},
                  coherence::hold_limits(options.self, options.pages.size(), options.hold,
                                         4 * options.hold),
                  memory_, userfault_, options.limit),
          policy_(locality::make_always_fetch()),
          directory_(options.self, options.pages.size(), 1, vcpus_, fabric_.get(),
                     [this](Error error) { outcome_.failed(std::move(error)); }),
          data_plane_({.self = options.self,
                       .node_count = options.pages.size(),
                       .vcpu_count = 1,
                       .host_id = kHostId,
                       .spin = options.spin,
                       .scheduling = fabric::Scheduling::automatic},
                      {.vcpu_of_thread = [](pid_t) { return std::optional{VcpuId{0}}; },
                       .on_node_message = [](NodeId, const NodeMessage&) {},
                       .on_ready = [this](std::uint64_t) { outcome_.ready(); },
                       .housekeeping = [](Instant) { return std::nullopt; },
                       .idle_time = [](VcpuId) { return Duration::zero(); },
                       .turn_time = [](VcpuId) { return std::optional<Duration>{}; },
                       .on_notice =
                           [](const std::string& text) {
                               std::fprintf(stderr, "bench_stream: %s\n", text.c_str());
                           },
                       .on_failed = [this](Error error) { outcome_.failed(std::move(error)); }},
                      fabric_.get(), userfault_, broker_, directory_, *policy_, commands_) {
        broker_.attach(fabric_.get());
        data_plane_.start();
    }

    Result<> wait_until_ready() override { return outcome_.wait(); }
    std::span<std::byte> memory() override {
        return {memory_.guest_base(), memory_.page_count() * kPageSize};
    }
    void with_broker(const std::function<void(Broker&)>& look) override {
        on_data_plane([&] { look(broker_); });
    }
    fabric::PeerCounters traffic() override {
        fabric::PeerCounters counters;
        on_data_plane([&] { counters = fabric_->counters(peer_); });
        return counters;
    }

  private:
    void on_data_plane(const std::function<void()>& what) {
        std::promise<void> done;
        commands_.push(command::Inspect{[&] {
            what();
            done.set_value();
        }});
        done.get_future().wait();
    }

    GuestMemory memory_;
    UserfaultFd userfault_;
    std::unique_ptr<fabric::Fabric> fabric_;
    NodeId peer_;
    Broker broker_;
    std::unique_ptr<locality::Policy> policy_;
    NoVcpus vcpus_;
    Outcome outcome_;
    VcpuDirectory directory_;
    CommandQueue<Command> commands_;
    DataPlane data_plane_;  // last: its thread uses all of the above
};

}  // namespace

Result<std::unique_ptr<NativeNode>> NativeNode::start(const NativeNodeOptions& options,
                                                      std::unique_ptr<fabric::Port> port) {
    const HomeMap homes{options.pages};
    VSMP_TRY_ASSIGN(GuestMemory memory, GuestMemory::create(homes.page_count()));
    VSMP_TRY_ASSIGN(UserfaultFd userfault,
                    UserfaultFd::watch({memory.guest_base(), homes.page_count() * kPageSize}));
    std::vector<std::unique_ptr<fabric::Port>> ports;
    ports.push_back(std::move(port));
    VSMP_TRY_ASSIGN(auto fabric, fabric::make_fabric({.self = options.self,
                                                      .node_count = options.pages.size(),
                                                      .guest = options.guest,
                                                      .incarnation = fabric::random_incarnation(),
                                                      .timing = {}},
                                                     std::move(ports)));
    return std::unique_ptr<NativeNode>{std::make_unique<NativeNodeImpl>(
        options, std::move(memory), std::move(userfault), std::move(fabric))};
}

}  // namespace vsmp::bench
