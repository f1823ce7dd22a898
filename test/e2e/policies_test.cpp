// Micro-guests under every policy that ships vCPUs by itself: they come to a good end, and vsmpctl
// can tell why what happened.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "test/e2e/micro_guest.hpp"
#include "test/skip.hpp"

namespace vsmp::e2e {
namespace {

class Policies : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
    }
    Machine machine() const { return {.policy = GetParam()}; }
};

TEST_P(Policies, BounceLosesNoUpdate) {
    constexpr std::uint64_t kIncrements = 1'000'000;
    MicroGuest guest{machine(), "bounce", {0, kIncrements}, Begin::at_once};
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
    for (unsigned vcpu : {0, 1})
        EXPECT_EQ(guest.reports(vcpu, 1), std::vector<std::uint64_t>{2 * kIncrements});
}

// Pages of both nodes, so that whoever is on one lacks those of the other.
TEST_P(Policies, ScanSeesWhatOthersWrote) {
    MicroGuest guest{machine(), "scan", {(16u << 20) - 32 * 4096, 64, 8, 7}, Begin::at_once};
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
    EXPECT_EQ(guest.reports(0, 1), guest.reports(1, 1));
}

TEST_P(Policies, VsmpctlExplains) {
    MicroGuest guest{machine(), "scan", {}, Begin::at_gate};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    EXPECT_NE(guest.vsmpctl({"explain", "1"}).find(GetParam()), std::string::npos);
    const auto json = nlohmann::json::parse(guest.vsmpctl({"explain", "1", "--json"}));
    EXPECT_EQ(json["vcpu"], 1);
    ASSERT_EQ(json["nodes"].size(), 2u);
    EXPECT_EQ(json["nodes"][0]["policy"], GetParam());
    EXPECT_NE(guest.vsmpctl({"explain", "2"}, 1).find("there is no vCPU 2"), std::string::npos);
    guest.type_line();
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
}

INSTANTIATE_TEST_SUITE_P(Names, Policies, testing::Values("always-ship", "threshold", "learned"),
                         [](const auto& param) {
                             std::string name = param.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

}  // namespace
}  // namespace vsmp::e2e
