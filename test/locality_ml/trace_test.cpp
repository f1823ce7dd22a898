#include "locality_ml/trace.hpp"

#include <gtest/gtest.h>

#include "locality_ml/bin/compare.hpp"
#include "locality_ml/model.hpp"
#include "locality_ml/policies.hpp"
#include "locality_ml/replay.hpp"

namespace vsmp::locality {
namespace {

using namespace std::chrono_literals;

const sim::NamedWorkload& workload(std::string_view name) {
    for (const sim::NamedWorkload& candidate : sim::workloads())
        if (candidate.name == name) return candidate;
    VSMP_CHECK(false, "no such workload");
}

RecordedRun recorded(const SimulatedTraces& traces) {
    const std::vector<ByteView> views{traces.nodes.begin(), traces.nodes.end()};
    auto run = read_run(views);
    VSMP_CHECK(static_cast<bool>(run), "unreadable");
    return *run;
}

class Replayed : public testing::TestWithParam<const char*> {};

TEST_P(Replayed, DecidesTheSameBitForBit) {
    const auto traces = record_simulated(workload("g+d"), GetParam(), 3);
    for (const auto& bytes : traces.nodes) {
        const auto trace = TraceReader::open(bytes);
        ASSERT_TRUE(trace);
        const auto policy = *make_policy(GetParam(), trace->header().setup);
        const auto result = replay(bytes, *policy);
        ASSERT_TRUE(result);
        EXPECT_GT(result->decisions, 100u);
        EXPECT_EQ(result->differing, 0u);
    }
}

INSTANTIATE_TEST_SUITE_P(Policies, Replayed,
                         testing::Values("always-fetch", "always-ship", "learned", "threshold"),
                         [](const auto& tested) {
                             std::string name{tested.param};
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

TEST(Replay, SeesThatAnotherPolicyDecidesOtherwise) {
    const auto traces = record_simulated(workload("a"), "learned", 1);
    const auto trace = TraceReader::open(traces.nodes[0]);
    const auto result = replay(traces.nodes[0], *make_always_fetch());
    ASSERT_TRUE(trace && result);
    EXPECT_GT(result->differing, 0u);
}

TEST(Trace, ACutOffRecordIsTheEnd) {
    const auto traces = record_simulated(workload("a"), "learned", 1);
    const ByteView whole{traces.nodes[0]};
    for (std::size_t cut = 1; cut < 40; ++cut) {
        EXPECT_TRUE(replay(whole.first(whole.size() - cut), *make_always_fetch()));
    }
    for (std::size_t size = 0; size < 20; ++size)
        EXPECT_FALSE(TraceReader::open(whole.first(size)));
}

TEST(Trace, NoChangedByteMakesTheReaderCrash) {
    const auto traces = record_simulated(workload("b"), "learned", 1);
    std::vector<std::byte> bytes = traces.nodes[0];
    bytes.resize(std::min<std::size_t>(bytes.size(), 4000));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::byte before = bytes[i];
        for (const unsigned flip : {0x01U, 0x80U, 0xffU}) {
            bytes[i] = before ^ static_cast<std::byte>(flip);
            auto trace = TraceReader::open(bytes);
            if (!trace) continue;
            for (;;) {
                const auto record = trace->next();
                if (!record || !*record) break;
            }
        }
        bytes[i] = before;
    }
}

TEST(Model, OfAlwaysFetchIsTheRunItWasRecordedFrom) {
    const auto traces = record_simulated(workload("a"), "always-fetch", 1);
    const RecordedRun run = recorded(traces);
    const Modelled again = model(run, [](const PolicySetup&) { return make_always_fetch(); });
    EXPECT_EQ(again.fetches, traces.result.faults);
    EXPECT_NEAR(static_cast<double>(again.time.count()),
                static_cast<double>(traces.result.time.count()),
                static_cast<double>(traces.result.time.count()) * 0.05);
    EXPECT_NEAR(static_cast<double>(run.costs.fetch.count()), 142e3, 10e3);
}

TEST(Oracle, ShipsOnceToAnArrayThatIsElsewhere) {
    const RecordedRun run = recorded(record_simulated(workload("a"), "always-fetch", 1));
    const Modelled bound = oracle(run);
    EXPECT_EQ(bound.ships, 1u);
    EXPECT_EQ(bound.fetches, 0u);
}

TEST(Oracle, IsNoWorseThanTheRunItKnows) {
    for (const char* name : {"a", "d", "e-communities", "g"}) {
        const RecordedRun run = recorded(record_simulated(workload(name), "always-fetch", 1));
        const Duration bound = oracle(run).time;
        EXPECT_LE(bound, model(run, [](const PolicySetup&) { return make_always_fetch(); }).time)
            << name;
    }
}

}  // namespace
}  // namespace vsmp::locality
