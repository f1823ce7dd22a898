// Each micro-guest does what it says on one node, and notices what it is there to notice.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>

#include "kvm_glue/kvm.hpp"
#include "kvm_glue/probe.hpp"
#include "test/micro/micro_machine.hpp"
#include "test/micro/programs.hpp"
#include "test/skip.hpp"
#include "vmm/boot/micro.hpp"

namespace vsmp::test {
namespace {

// A VM that lives as long as the tests. The first VM of a host and the end of its last one make
// Linux patch its scheduler's code; emulated on several threads, QEMU 7.2 does not always survive
// that ("Oops: int3" in __schedule), and a VM for each case would do it again and again.
class KeptVm : public testing::Environment {
    void SetUp() override {
        auto kvm = kvm::Kvm::open();
        if (!kvm) return;  // the cases say what is missing
        auto vm = kvm->create_vm();
        if (vm) vm_.emplace(*std::move(vm));
    }
    void TearDown() override { vm_.reset(); }
    std::optional<kvm::Vm> vm_;
};
const auto* const kept_vm = testing::AddGlobalTestEnvironment(new KeptVm);

class Micro : public testing::TestWithParam<std::uint16_t> {
  protected:
    void SetUp() override {
        const kvm::Facts facts = kvm::probe();
        if (kvm::usability(facts) == kvm::Usability::nothing) VSMP_SKIP() << kvm::describe(facts);
    }
    std::vector<MicroOutcome> run(const std::string& program,
                                  std::array<std::uint64_t, 16> arguments,
                                  MicroRun::Interlude interlude = {}) {
        auto outcomes = run_micro({.program = micro_program(program),
                                   .vcpus = GetParam(),
                                   .arguments = arguments,
                                   .interlude = std::move(interlude)});
        if (!outcomes) ADD_FAILURE() << outcomes.error().message;
        return outcomes ? *outcomes : std::vector<MicroOutcome>{};
    }
    std::vector<MicroOutcome> run_well(const std::string& program,
                                       std::array<std::uint64_t, 16> arguments,
                                       MicroRun::Interlude interlude = {}) {
        const auto outcomes = run(program, arguments, std::move(interlude));
        for (const MicroOutcome& outcome : outcomes) {
            EXPECT_EQ(outcome.status, 0u) << "value " << std::hex << outcome.value;
            EXPECT_EQ(outcome.trouble, "");
        }
        EXPECT_EQ(outcomes.size(), GetParam());
        return outcomes;
    }
};

TEST_P(Micro, ScanGivesTheSameChecksumToAll) {
    const auto outcomes = run_well("scan", {0, 32, 3, 99});
    for (const MicroOutcome& outcome : outcomes) {
        ASSERT_EQ(outcome.values(1).size(), 1u);
        EXPECT_EQ(outcome.values(1), outcomes[0].values(1));
    }
}

TEST_P(Micro, BounceLosesNothing) {
    for (const MicroOutcome& outcome : run_well("bounce", {0, 20000}))
        EXPECT_EQ(outcome.values(1), (std::vector<std::uint64_t>{20000u * GetParam()}));
}

TEST_P(Micro, ShareGoesForward) {
    run_well("share", {0, 50});
}

TEST_P(Micro, TwoPagesMakeProgress) {
    for (std::uint64_t kind : {0, 1, 2}) run_well("twopages", {0, 500, kind});
}

TEST_P(Micro, AvxKeepsItsRegisters) {
    const auto outcomes = run_well("avx", {20, 20000});
    for (const MicroOutcome& outcome : outcomes) {
        EXPECT_EQ(outcome.values(1), (std::vector<std::uint64_t>{20}));
        EXPECT_GE(outcome.values(2).at(0), 16u);
    }
}

TEST_P(Micro, AvxRunsForAsLongAsItIsTold) {
    for (const MicroOutcome& outcome : run_well("avx", {0, 1000, 1'000'000}))
        EXPECT_GE(outcome.values(1).at(0), 1u);
}

TEST_P(Micro, IpisAllArrive) {
    for (const MicroOutcome& outcome : run_well("ipi", {50}))
        EXPECT_EQ(outcome.values(1), (std::vector<std::uint64_t>{50}));
}

TEST_P(Micro, LatencyTimesEveryTouch) {
    for (std::uint64_t timed : {0, 1, 2}) {
        const auto outcomes = run_well("latency", {0, 64, 2, timed, 2, 0x300000});
        ASSERT_FALSE(outcomes.empty());
        EXPECT_EQ(outcomes[0].values(1).size(), 128u);
        EXPECT_EQ(outcomes[0].values(2), (std::vector<std::uint64_t>{128}));
    }
}

TEST_P(Micro, AvxSurvivesBeingReadAndWrittenBack) {
    constexpr std::uint64_t kStopWord = 12u << 20;
    std::atomic<int> interludes = 0;
    run_well("avx", {0, 10'000, 0, kStopWord}, [&](kvm::Vcpu& vcpu, auto memory) {
        std::vector<std::byte> area(vcpu.xsave_size());
        ASSERT_TRUE(vcpu.xsave(area));
        ASSERT_TRUE(vcpu.set_xsave(area));
        if (++interludes == 30 * GetParam()) memory[kStopWord] = std::byte{1};
    });
}

INSTANTIATE_TEST_SUITE_P(Vcpus, Micro, testing::Values(1, 2, 3));

using MicroFailure = Micro;

TEST_P(MicroFailure, AStatusOfTheProgramComesBack) {
    const auto outcomes = run("twopages", {0, 10, 77});
    ASSERT_EQ(outcomes.size(), 1u);
    EXPECT_EQ(outcomes[0].status, 3u) << "an unknown kind";
    EXPECT_EQ(outcomes[0].value, 77u);
}

// What a careless ship would do.
TEST_P(MicroFailure, AvxNoticesADamagedRegister) {
    constexpr std::size_t kXmm3 = 160 + 3 * 16;  // of the XSAVE area
    std::atomic<int> interludes = 0;
    const auto outcomes = run("avx", {1'000'000, 100'000}, [&](kvm::Vcpu& vcpu, auto) {
        std::vector<std::byte> area(vcpu.xsave_size());
        ASSERT_TRUE(vcpu.xsave(area));
        if (++interludes == 5) area[kXmm3 + 1] ^= std::byte{1};
        ASSERT_TRUE(vcpu.set_xsave(area));
    });
    ASSERT_EQ(outcomes.size(), 1u);
    EXPECT_EQ(outcomes[0].status, 1u);
    EXPECT_EQ(outcomes[0].value >> 32, 3u) << "the register";
    EXPECT_GE(interludes, 5);
}

TEST_P(MicroFailure, AnExceptionEndsTheVcpuWithItsVectorAndPlace) {
    // Beyond the identity map: a page fault in scan's first store.
    const auto outcomes = run("scan", {1ull << 40, 1, 1});
    ASSERT_EQ(outcomes.size(), 1u);
    EXPECT_EQ(outcomes[0].status, boot::kStatusException);
    EXPECT_EQ(outcomes[0].value >> 56, 14u);
    EXPECT_GE(outcomes[0].value & 0xffffff, boot::kMicroLoadBase.value());
}

INSTANTIATE_TEST_SUITE_P(OneVcpu, MicroFailure, testing::Values(1));

}  // namespace
}  // namespace vsmp::test
