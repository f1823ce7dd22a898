// A guest larger than any of its nodes: random reads and writes all over its memory, every one
// checked, while each node keeps to its limit. Short by default; `tools/dev soak memory` gives
// other sizes: --nodes N --limit MIB --guest MIB --ops N --seed S.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <thread>

#include "test/e2e/memory_cgroup.hpp"
#include "test/e2e/micro_guest.hpp"
#include "test/skip.hpp"

namespace vsmp::e2e {
namespace {

struct Sizes {
    unsigned nodes = 4;  // with one vCPU each
    unsigned limit_mib = 8;
    unsigned guest_mib = 28;
    std::uint64_t operations = 20'000;  // of all vCPUs together
    std::uint64_t seed = 1;
    unsigned hold_us = 100;
    bool large_pages = false;
    unsigned minutes = 1;  // patience

    std::string flags() const {
        return fmt::format("--nodes {} --limit {} --guest {} --ops {} --seed {} --hold {}{}", nodes,
                           limit_mib, guest_mib, operations, seed, hold_us,
                           large_pages ? " --large-pages" : "");
    }
};

// What a node needs besides guest memory after it has started: page tables, KVM's too, and links.
constexpr std::uint64_t kCgroupRoom = 16u << 20;
constexpr double kMostOfLimit = 1.02;

// Asks for statistics again and again, and keeps how many pages the kernel counted at most.
class Watch {
  public:
    explicit Watch(MicroGuest& guest)
        : guest_(guest), thread_([this](std::stop_token stop) { run(stop); }) {}
    // Of each node, those of a last look included.
    std::vector<std::uint64_t> kernel_most(const std::vector<wire::NodeStats>& last) {
        thread_.request_stop();
        thread_.join();
        add(last);
        return most_;
    }

  private:
    void run(const std::stop_token& stop) {
        std::unique_lock lock{mutex_};
        const auto stopped = [&] { return stop.stop_requested(); };
        while (!changed_.wait_for(lock, stop, std::chrono::milliseconds(100), stopped))
            add(guest_.stats());
    }
    void add(const std::vector<wire::NodeStats>& nodes) {
        most_.resize(std::max(most_.size(), nodes.size()));
        for (std::size_t n = 0; n < nodes.size(); ++n)
            most_[n] = std::max(most_[n], nodes[n].memory().resident_kernel());
    }

    MicroGuest& guest_;
    std::vector<std::uint64_t> most_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::jthread thread_;
};

void print(std::size_t number, const wire::NodeStats& node, std::uint64_t kernel_most) {
    const wire::MemoryStats& memory = node.memory();
    const double limit = static_cast<double>(memory.limit());
    std::cout << fmt::format(
        "node {}: of {} pages at most {} resident ({:.2f}%), {} as the kernel counts ({:.2f}%); "
        "{} faults, {} read and {} write fetches ({} zero, {} revalidated), {} upgrades, "
        "{} copies dropped, {} pages written back, {} discarded, {} waits for memory, {} pages of "
        "2 MiB made and {} split, {} frames and {} MiB sent\n",
        number, memory.limit(), memory.resident_max(),
        100 * static_cast<double>(memory.resident_max()) / limit, kernel_most,
        100 * static_cast<double>(kernel_most) / limit, node.faults(), node.fetches_read(),
        node.fetches_write(), node.zero_pages(), memory.revalidated(), node.upgrades(),
        memory.dropped(), memory.written_back(), memory.discarded(), memory.waits(),
        memory.large_made(), memory.large_split(), node.fabric().frames_sent(),
        node.fabric().bytes_sent() >> 20);
}

// Each node in a cgroup just above its limit; fewer, with a word why, where there can be none.
std::vector<MemoryCgroup> confine(MicroGuest& guest, const Sizes& sizes) {
    std::vector<MemoryCgroup> cgroups;
    for (unsigned n = 0; n < sizes.nodes; ++n) {
        auto cgroup = MemoryCgroup::create(fmt::format("{}-{}", guest.scratch().name(), n),
                                           (std::uint64_t{sizes.limit_mib} << 20) + kCgroupRoom);
        if (!cgroup) {
            std::cout << "SKIPPED: nodes in memory cgroups: " << cgroup.error().message << '\n';
            break;
        }
        const auto added = cgroup->add(guest.scratch().node_process(n).value());
        EXPECT_TRUE(added) << added.error().message;
        cgroups.push_back(std::move(*cgroup));
    }
    return cgroups;
}

class Soak : public testing::Test {
  public:
    explicit Soak(const Sizes& sizes) : sizes_(sizes) {}
    void TestBody() override;

  private:
    // Runs the guest up to its last report: all that it did was checked.
    bool all_checked(MicroGuest& guest) const {
        for (unsigned vcpu = 0; vcpu < sizes_.nodes; ++vcpu)
            if (!guest.run().wait_for(fmt::format("micro vcpu={} report code=3", vcpu)))
                return false;
        return true;
    }

    Sizes sizes_;
};

void Soak::TestBody() {
    if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
    if (emulated()) VSMP_SKIP() << "each of its thousands of fetches takes too long when emulated";
    ASSERT_EQ(sizes_.guest_mib % sizes_.nodes, 0u) << "--guest has to be a multiple of --nodes";
    const Machine machine{.nodes = sizes_.nodes,
                          .memory_mib = sizes_.guest_mib / sizes_.nodes,
                          .limit_mib = sizes_.limit_mib,
                          .hold_us = sizes_.hold_us,
                          .large_pages = sizes_.large_pages,
                          .patience = std::chrono::minutes(sizes_.minutes)};
    const std::uint64_t each = sizes_.operations / sizes_.nodes;
    MicroGuest guest{machine, "soak", {each, sizes_.seed}, Begin::spread};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    const std::vector<MemoryCgroup> cgroups = confine(guest, sizes_);

    Watch watch{guest};
    const auto begin = std::chrono::steady_clock::now();
    guest.type_line();
    ASSERT_TRUE(all_checked(guest))
        << guest.transcript() << "\nsee it again with " << sizes_.flags();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    const std::vector<wire::NodeStats> nodes = guest.stats();
    ASSERT_EQ(nodes.size(), sizes_.nodes);
    const std::vector<std::uint64_t> kernel_most = watch.kernel_most(nodes);
    std::cout << fmt::format("{} operations, all checked, in {:.1f} s: {}\n", each * sizes_.nodes,
                             took.count(), sizes_.flags());

    std::uint64_t evicted = 0;
    for (std::size_t n = 0; n < nodes.size(); ++n) {
        print(n, nodes[n], kernel_most[n]);
        const wire::MemoryStats& memory = nodes[n].memory();
        EXPECT_LE(memory.resident_max(), memory.limit()) << "node " << n;
        EXPECT_LE(static_cast<double>(kernel_most[n]),
                  kMostOfLimit * static_cast<double>(memory.limit()))
            << "node " << n;
        evicted += memory.dropped() + memory.written_back();
    }
    if (sizes_.limit_mib < sizes_.guest_mib) {
        EXPECT_GT(evicted, 0u);
    }
    for (std::size_t n = 0; n < cgroups.size(); ++n) {
        std::cout << fmt::format("node {}: peak of its cgroup {:.1f} MiB\n", n,
                                 static_cast<double>(cgroups[n].peak_bytes()) / (1 << 20));
        EXPECT_EQ(cgroups[n].kills(), 0u) << "node " << n;
    }
    guest.type_line();
    EXPECT_TRUE(guest.ends_well()) << guest.transcript();
}

void add_test(const char* name, const Sizes& sizes) {
    testing::RegisterTest("MemorySoak", name, nullptr, nullptr, __FILE__, __LINE__,
                          [sizes]() -> testing::Test* { return new Soak{sizes}; });
}

}  // namespace
}  // namespace vsmp::e2e

// With sizes on the command line: them alone.
int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    vsmp::e2e::Sizes sizes{.minutes = 600};
    CLI::App app{"A guest larger than any of its nodes"};
    app.add_option("--nodes", sizes.nodes, "nodes, with one vCPU each")->capture_default_str();
    app.add_option("--limit", sizes.limit_mib, "of each node, MiB")->capture_default_str();
    app.add_option("--guest", sizes.guest_mib, "memory of the guest, MiB")->capture_default_str();
    app.add_option("--ops", sizes.operations, "operations in all")->capture_default_str();
    app.add_option("--seed", sizes.seed, "of the operations")->capture_default_str();
    app.add_flag("--large-pages", sizes.large_pages, "2 MiB pages where nobody shares");
    app.add_option("--hold", sizes.hold_us, "hold time, us")->capture_default_str();
    app.add_option("--minutes", sizes.minutes, "patience")->capture_default_str();
    const bool given = argc > 1;
    CLI11_PARSE(app, argc, argv);
    if (given) {
        vsmp::e2e::add_test("AsAsked", sizes);
    } else {
        vsmp::e2e::add_test("TwoNodes", {.nodes = 2, .guest_mib = 14});
        vsmp::e2e::add_test("FourNodes", {});
    }
    return RUN_ALL_TESTS();
}
