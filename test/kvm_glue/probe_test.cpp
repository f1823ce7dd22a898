#include "kvm_glue/probe.hpp"

#include <gtest/gtest.h>

#include "test/skip.hpp"

namespace vsmp::kvm {
namespace {

TEST(Probe, ReadsKernelReleases) {
    EXPECT_EQ(parse_kernel_release("6.12.9+bpo-cloud-amd64"), (KernelVersion{6, 12}));
    EXPECT_EQ(parse_kernel_release("6.4"), (KernelVersion{6, 4}));
    EXPECT_LT(*parse_kernel_release("6.1.0-37-amd64"), (KernelVersion{6, 4}));
    EXPECT_LT(*parse_kernel_release("5.19.1"), (KernelVersion{6, 4}));
    EXPECT_LT((KernelVersion{6, 4}), *parse_kernel_release("10.0.0"));
    for (const char* bad : {"", "6", "6.", "x.y", ".4"})
        EXPECT_EQ(parse_kernel_release(bad), std::nullopt) << bad;
}

TEST(Probe, NamesEverythingThatIsMissingAtOnce) {
    Facts facts;
    facts.missing = {"Linux 6.4 or newer (this is 6.1.0)", "KVM_CAP_XCRS"};
    EXPECT_EQ(usability(facts), Usability::nothing);
    EXPECT_EQ(describe(facts),
              "this host cannot run vsmp, it lacks: Linux 6.4 or newer (this is 6.1.0); "
              "KVM_CAP_XCRS");
}

TEST(Probe, ShadowPagingIsForOneNode) {
    Facts facts;
    facts.kvm_module = "kvm_other";
    EXPECT_EQ(usability(facts), Usability::single_node);
    EXPECT_NE(describe(facts).find("kvm_other"), std::string::npos);
    facts.paging = Paging::nested;
    EXPECT_EQ(usability(facts), Usability::everything);
}

TEST(Probe, SaysWhatThisHostIs) {
    const Facts facts = probe();
    EXPECT_FALSE(facts.kernel_release.empty());
    RecordProperty("host", describe(facts));
    std::printf("%s\n", describe(facts).c_str());
    if (usability(facts) == Usability::nothing) VSMP_SKIP() << describe(facts);
    EXPECT_GT(facts.tsc_khz, 0u);
}

}  // namespace
}  // namespace vsmp::kvm
