#include "vmm/node/micro_results.hpp"

#include <gtest/gtest.h>

#include "vmm/boot/micro.hpp"

namespace vsmp {
namespace {

MicroReport finish(std::uint16_t vcpu, std::uint32_t status, std::uint64_t value = 0) {
    return {.vcpu = VcpuId{vcpu}, .port = boot::kFinishPort, .code = status, .value = value};
}

TEST(MicroResults, LinesForTheConsole) {
    MicroResults results{1};
    EXPECT_EQ(results.add({.vcpu = VcpuId{0}, .port = boot::kReportPort, .code = 1, .value = 42}),
              "micro vcpu=0 report code=1 value=0x2a\n");
    EXPECT_EQ(results.add(finish(0, 0)), "micro vcpu=0 finish status=0 value=0x0\n");
}

TEST(MicroResults, EndsWhenEveryVcpuHasFinished) {
    MicroResults results{2};
    results.add({.vcpu = VcpuId{1}, .port = boot::kReportPort, .code = 1, .value = 0});
    results.add(finish(0, 0));
    results.add(finish(0, 0));  // once more does not count for the other
    EXPECT_FALSE(results.end());
    results.add(finish(1, 0));
    ASSERT_TRUE(results.end());
    EXPECT_EQ(results.end()->how, GuestEnd::power_off);
}

TEST(MicroResults, AFailureEndsItAtOnceAndIsTold) {
    MicroResults results{3};
    results.add(finish(2, 0x10, 0xbad));
    ASSERT_TRUE(results.end());
    EXPECT_EQ(results.end()->how, GuestEnd::crashed);
    results.add(finish(0, 1));
    EXPECT_EQ(results.end()->detail,
              "vCPU 2 finished with status 0x10, value 0xbad; "
              "vCPU 0 finished with status 0x1, value 0x0");
}

}  // namespace
}  // namespace vsmp
