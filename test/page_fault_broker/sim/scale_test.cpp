// Messages per miss do not grow with the number of nodes, except for the sharers that must be
// invalidated.
#include "scale.hpp"

#include <gtest/gtest.h>

namespace vsmp::coherence::sim {
namespace {

// Request, forward, contents, done: a miss of three hops.
constexpr double kMostMessages = 4;

class Scale : public testing::TestWithParam<Pattern> {
  protected:
    ScalePoint at(std::size_t nodes) const {
        return measure(GetParam(), nodes, {.pages = 128, .rounds = 2});
    }
};

TEST_P(Scale, MessagesForAMissDoNotGrowWithTheNumberOfNodes) {
    for (const std::size_t nodes : {2, 4, 8, 16, 32, 64}) {
        const ScalePoint point = at(nodes);
        EXPECT_EQ(point.problem, "");
        EXPECT_GT(point.misses, 0u);
        EXPECT_GT(point.messages, 1.0) << nodes << " nodes";
        EXPECT_LE(point.messages - point.for_sharers, kMostMessages) << nodes << " nodes";
    }
}

INSTANTIATE_TEST_SUITE_P(Patterns, Scale, testing::ValuesIn(kPatterns),
                         [](const auto& param) { return std::string{name_of(param.param)}; });

// Two messages for each sharer that a write takes the page from.
TEST(ScaleOfSharing, AWritePaysForItsSharers) {
    const ScalePoint few = measure(Pattern::broadcast, 4, {.pages = 128, .rounds = 3});
    const ScalePoint many = measure(Pattern::broadcast, 64, {.pages = 128, .rounds = 3});
    EXPECT_GT(few.for_sharers, 0.5);
    EXPECT_GT(many.for_sharers, few.for_sharers / 2);
    EXPECT_LE(many.for_sharers, 2.0) << "every sharer had a miss of its own before";
}

}  // namespace
}  // namespace vsmp::coherence::sim
