#include "test/bench/stream/stream_run.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "dpdk_transport/bench/meeting.hpp"
#include "dpdk_transport/bench/network_sandbox.hpp"
#include "proto/monotonic_clock.hpp"
#include "test/bench/stream/native_node.hpp"
#include "test/bench/stream/raw_pages.hpp"

namespace vsmp::bench {
namespace {

using fabric::Meeting;
using fabric::Port;

constexpr int kNice = -10;
constexpr std::uint64_t kPagesPerMib = (1 << 20) / kPageSize;
constexpr std::uint64_t kOwnPages = kPagesPerMib;  // of node 1's own cell
constexpr std::uint64_t kRawPages = 16384;
constexpr std::size_t kWords = kPageSize / sizeof(std::uint64_t);
constexpr unsigned kMaxRounds = 64;

// What the two processes leave for their parent. Zeros are a valid start.
struct Found {
    double raw_one_way[kMaxRounds], raw_both_ways[kMaxRounds], raw_memory[kMaxRounds];
    double loop[kMaxRounds], without[kMaxRounds];
    StreamCosts costs;
};

std::uint64_t region_pages(const StreamPlan& plan) {
    return 2 * plan.limit_mib * kPagesPerMib;
}

double per_second(std::uint64_t pages, Duration took) {
    return static_cast<double>(pages) / std::chrono::duration<double>(took).count();
}

double cpu_us(clockid_t of) {
    timespec spent{};
    ::clock_gettime(of, &spent);
    return static_cast<double>(spent.tv_sec) * 1e6 + static_cast<double>(spent.tv_nsec) / 1e3;
}

// What one end has counted so far.
struct Snapshot {
    BrokerCounters pages;
    coherence::ReadAheadCounters ahead;
    fabric::PeerCounters traffic;
    double process_cpu_us = 0, own_cpu_us = 0;

    static Snapshot of(NativeNode& node) {
        Snapshot snapshot;
        node.with_broker([&](Broker& broker) {
            snapshot.pages = broker.counters();
            snapshot.ahead = broker.read_ahead_counters();
        });
        snapshot.traffic = node.traffic();
        snapshot.process_cpu_us = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
        snapshot.own_cpu_us = cpu_us(CLOCK_THREAD_CPUTIME_ID);
        return snapshot;
    }
};

// One end of everything.
class End {
  public:
    End(const StreamPlan& plan, Meeting& meeting, Found& found)
        : plan_(plan), meeting_(meeting), found_(found) {}

    Result<> run();

  private:
    Result<> open();
    Result<> raw(unsigned round);
    Result<double> raw_rate(Direction direction, std::span<std::byte> memory);
    Result<> loops(unsigned round);
    Result<Duration> write_all(std::uint64_t pages);
    void add_costs(const Snapshot& before, const Snapshot& after);
    bool is_writer() const { return meeting_.self() == 1; }

    const StreamPlan& plan_;
    Meeting& meeting_;
    Found& found_;
    std::unique_ptr<Port> port_;
    std::unique_ptr<NativeNode> node_;
    std::vector<std::byte> raw_memory_;        // as large as what the loop uses at this end
    std::uint64_t passes_ = 0;                 // over the whole region
    std::vector<std::uint64_t> last_written_;  // by page, its tag
};

Result<> End::open() {
    const int self = meeting_.self();
    VSMP_TRY_ASSIGN(const auto eal, fabric::Eal::start({}));
    VSMP_TRY_ASSIGN(port_,
                    fabric::open_port(eal, port_options(plan_.port, plan_.folder, "raw", self)));
    VSMP_TRY_ASSIGN(auto port,
                    fabric::open_port(eal, port_options(plan_.port, plan_.folder, "node", self)));
    VSMP_TRY_ASSIGN(node_,
                    NativeNode::start({.self = NodeId{static_cast<std::uint8_t>(self)},
                                       .pages = {region_pages(plan_), kOwnPages},
                                       .limit = is_writer() ? plan_.limit_mib * kPagesPerMib : 0},
                                      std::move(port)));
    VSMP_TRY(node_->wait_until_ready());
    last_written_.resize(region_pages(plan_));
    raw_memory_.resize((is_writer() ? plan_.limit_mib * kPagesPerMib : region_pages(plan_)) *
                       kPageSize);
    return meeting_.meet();
}

Result<double> End::raw_rate(Direction direction, std::span<std::byte> memory) {
    double best = 0;
    for (std::size_t pages_per_frame : {1, 2}) {
        const RawPagesJob job{direction, pages_per_frame, kRawPages, memory};
        VSMP_TRY_ASSIGN(const Duration took, move_raw_pages(*port_, meeting_, job));
        best = std::max(best, per_second(kRawPages, took));
    }
    return best;
}

Result<> End::raw(unsigned round) {
    VSMP_TRY_ASSIGN(const double one_way, raw_rate(Direction::one_way, {}));
    VSMP_TRY_ASSIGN(const double both_ways, raw_rate(Direction::both_ways, {}));
    VSMP_TRY_ASSIGN(const double memory, raw_rate(Direction::both_ways, raw_memory_));
    if (meeting_.self() != 0) return {};
    found_.raw_one_way[round] = one_way;
    found_.raw_both_ways[round] = both_ways;
    found_.raw_memory[round] = memory;
    return {};
}

// Every word of every page; the first of each has to be what was written last.
Result<Duration> End::write_all(std::uint64_t pages) {
    auto* words = reinterpret_cast<volatile std::uint64_t*>(node_->memory().data());
    const std::uint64_t tag = ++passes_ << 32;
    const Instant begin = monotonic_now();
    for (std::uint64_t page = 0; page < pages; ++page) {
        volatile std::uint64_t* at = words + page * kWords;
        if (*at != last_written_[page])
            return Error{"page " + std::to_string(page) + " is not what was written there"};
        for (std::size_t i = 0; i < kWords; ++i) at[i] = tag + page;
        last_written_[page] = tag + page;
    }
    return monotonic_now() - begin;
}

void End::add_costs(const Snapshot& before, const Snapshot& after) {
    const double pages = static_cast<double>(region_pages(plan_)) * plan_.rounds;
    const auto add = [&](double& to, auto from, auto until) {
        to += (static_cast<double>(until) - static_cast<double>(from)) / pages;
    };
    StreamCosts& costs = found_.costs;
    if (!is_writer()) return add(costs.cpu_us_home, before.process_cpu_us, after.process_cpu_us);
    add(costs.cpu_us_writer, before.process_cpu_us, after.process_cpu_us);
    add(costs.cpu_us_loop, before.own_cpu_us, after.own_cpu_us);
    add(costs.faults, before.pages.faults, after.pages.faults);
    add(costs.frames_sent, before.traffic.frames_sent, after.traffic.frames_sent);
    add(costs.frames_received, before.traffic.frames_received, after.traffic.frames_received);
    add(costs.read_ahead, before.ahead.asked, after.ahead.asked);
    add(costs.wasted, before.ahead.wasted, after.ahead.wasted);
    add(costs.fetched, before.pages.fetches_read + before.pages.fetches_write,
        after.pages.fetches_read + after.pages.fetches_write);
    add(costs.taken_home, before.pages.written_back, after.pages.written_back);
    add(costs.messages_sent, before.traffic.messages_sent, after.traffic.messages_sent);
}

Result<> End::loops(unsigned round) {
    const std::uint64_t plain = std::uint64_t{plan_.plain_mib} * kPagesPerMib;
    VSMP_TRY(meeting_.meet());
    if (is_writer() && plan_.beside == Beside::others) {
        node_->with_broker([](Broker& broker) { broker.set_read_ahead(0); });
        VSMP_TRY_ASSIGN(const Duration took, write_all(plain));
        node_->with_broker([](Broker& broker) { broker.set_read_ahead(coherence::kMaxReadAhead); });
        found_.without[round] = per_second(plain, took);
    }
    VSMP_TRY(meeting_.meet());
    const Snapshot before = Snapshot::of(*node_);
    if (is_writer()) {
        VSMP_TRY_ASSIGN(const Duration took, write_all(region_pages(plan_)));
        found_.loop[round] = per_second(region_pages(plan_), took);
    }
    VSMP_TRY(meeting_.meet());
    add_costs(before, Snapshot::of(*node_));
    return {};
}

Result<> End::run() {
    (void)::setpriority(PRIO_PROCESS, 0, kNice);  // without the right to it, so be it
    VSMP_TRY(open());
    if (is_writer()) VSMP_TRY(write_all(region_pages(plan_)));  // until now all pages are zero
    VSMP_TRY(meeting_.meet());
    for (unsigned round = 0; round < plan_.rounds; ++round) {
        if (plan_.beside == Beside::others) VSMP_TRY(raw(round));
        VSMP_TRY(loops(round));
    }
    return meeting_.meet();
}

[[noreturn]] void finish(const Result<>& result, Meeting* meeting) {
    if (!result) {
        if (meeting != nullptr) meeting->fail();
        std::fprintf(stderr, "bench_stream: %s\n", result.error().message.c_str());
    }
    ::_exit(result ? 0 : 1);
}

[[noreturn]] void one_end(const StreamPlan& plan, std::shared_ptr<Meeting::Shared> shared, int self,
                          Found& found) {
    Meeting meeting{std::move(shared), self};
    finish(End{plan, meeting, found}.run(), &meeting);
}

// A process that has both ends as its children, so that its network namespace ends with them.
[[noreturn]] void both_ends(const StreamPlan& plan, Found& found) {
    if (plan.port == PortKind::veth) {
        const std::string problem = fabric::enter_network_sandbox();
        if (!problem.empty() || !fabric::add_veth("raw0", "raw1") ||
            !fabric::add_veth("node0", "node1"))
            finish(Error{"no veth pair: " + problem}, nullptr);
    }
    auto shared = Meeting::make_shared();
    if (!shared) finish(shared.error(), nullptr);
    const pid_t other = ::fork();
    if (other == 0) one_end(plan, *shared, 1, found);
    const pid_t self = ::fork();
    if (self == 0) one_end(plan, *shared, 0, found);
    int status = 0, other_status = 0;
    ::waitpid(self, &status, 0);
    ::waitpid(other, &other_status, 0);
    ::_exit(status == 0 && other_status == 0 ? 0 : 1);
}

}  // namespace

Result<StreamReport> run_stream(const StreamPlan& plan) {
    VSMP_CHECK(plan.rounds <= kMaxRounds, "too many rounds");
    VSMP_TRY_ASSIGN(const Mapping memory, Mapping::shared(-1, sizeof(Found)));
    auto& found = *reinterpret_cast<Found*>(memory.data());
    const pid_t stage = ::fork();
    if (stage < 0) return Error::from_errno("fork");
    if (stage == 0) both_ends(plan, found);
    int status = 0;
    ::waitpid(stage, &status, 0);
    if (status != 0) return Error{"one of the two nodes has failed"};
    const auto all = [&](const double* figures) {
        return std::vector<double>(figures, figures + plan.rounds);
    };
    return StreamReport{.port = plan.port,
                        .limit_mib = plan.limit_mib,
                        .rates = {.raw_one_way = all(found.raw_one_way),
                                  .raw_both_ways = all(found.raw_both_ways),
                                  .raw_memory = all(found.raw_memory),
                                  .loop = all(found.loop),
                                  .loop_without_read_ahead = all(found.without)},
                        .costs = found.costs};
}

}  // namespace vsmp::bench
