// Each micro-guest on two and three nodes, its vCPUs spread over them before it begins.
#include <gtest/gtest.h>

#include "test/e2e/micro_guest.hpp"
#include "test/skip.hpp"

namespace vsmp::e2e {
namespace {

struct Shape {
    unsigned nodes, vcpus_per_node;
};

class MicroGuests : public testing::TestWithParam<Shape> {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
    }
    unsigned vcpus() const { return machine_.vcpus(); }

    // Runs the program to a good end.
    void run_well(const std::string& program, std::vector<std::uint64_t> arguments) {
        MicroGuest guest{machine_, program, std::move(arguments), Begin::spread};
        ASSERT_TRUE(guest.ready()) << guest.transcript();
        std::uint64_t arrived = 0;
        for (const auto& node : guest.stats()) arrived += node.ships_in();
        EXPECT_EQ(arrived, vcpus() - machine_.vcpus_per_node) << "ships from node 0";
        guest.type_line();
        ASSERT_TRUE(guest.ends_well()) << guest.transcript();
        for (unsigned vcpu = 0; vcpu < vcpus(); ++vcpu)
            for (unsigned code : {1u, 2u, 3u}) reports_[{vcpu, code}] = guest.reports(vcpu, code);
    }
    std::uint64_t report(unsigned vcpu, unsigned code) {
        const auto& values = reports_[{vcpu, code}];
        EXPECT_EQ(values.size(), 1u) << "vCPU " << vcpu << ", code " << code;
        return values.empty() ? 0 : values.front();
    }

  private:
    Machine machine_{.nodes = GetParam().nodes, .vcpus_per_node = GetParam().vcpus_per_node};
    std::map<std::pair<unsigned, unsigned>, std::vector<std::uint64_t>> reports_;
};

TEST_P(MicroGuests, ScanSeesWhatOthersWrote) {
    run_well("scan", {0, 64, 4, 7});
    for (unsigned vcpu = 1; vcpu < vcpus(); ++vcpu) EXPECT_EQ(report(vcpu, 1), report(0, 1));
}

// Beyond node 0's memory, too: pages whose home is another node.
TEST_P(MicroGuests, ScanOfPagesAtHomeElsewhere) {
    run_well("scan", {(16u << 20) - 16 * 4096, 32, 4, 7});
    for (unsigned vcpu = 1; vcpu < vcpus(); ++vcpu) EXPECT_EQ(report(vcpu, 1), report(0, 1));
}

TEST_P(MicroGuests, BounceLosesNoUpdate) {
    constexpr std::uint64_t kIncrements = 3'000'000;
    run_well("bounce", {0, kIncrements});
    for (unsigned vcpu = 0; vcpu < vcpus(); ++vcpu)
        EXPECT_EQ(report(vcpu, 1), kIncrements * vcpus());
}

TEST_P(MicroGuests, ShareNeverGoesBack) {
    run_well("share", {0, 300});
    for (unsigned vcpu = 0; vcpu < vcpus(); ++vcpu) EXPECT_GE(report(vcpu, 1), 1u);
}

TEST_P(MicroGuests, MoveBetweenTwoPages) {
    run_well("twopages", {0, 300, 0});
}
TEST_P(MicroGuests, StoreAcrossTwoPages) {
    run_well("twopages", {0, 300, 1});
}
TEST_P(MicroGuests, CopyOverThreePages) {
    run_well("twopages", {0, 100, 2});
}

TEST_P(MicroGuests, AvxKeepsItsRegisters) {
    run_well("avx", {300, 10'000});
    for (unsigned vcpu = 0; vcpu < vcpus(); ++vcpu) {
        EXPECT_EQ(report(vcpu, 1), 300u);
        EXPECT_GE(report(vcpu, 2), 16u);
    }
}

TEST_P(MicroGuests, IpisAllArriveOnce) {
    run_well("ipi", {100});
    for (unsigned vcpu = 0; vcpu < vcpus(); ++vcpu) EXPECT_EQ(report(vcpu, 1), 100u);
}

INSTANTIATE_TEST_SUITE_P(Shapes, MicroGuests,
                         testing::Values(Shape{2, 1}, Shape{3, 1}, Shape{2, 2}),
                         [](const auto& param) {
                             return std::to_string(param.param.nodes) + "x" +
                                    std::to_string(param.param.vcpus_per_node);
                         });

}  // namespace
}  // namespace vsmp::e2e
