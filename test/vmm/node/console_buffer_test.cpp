#include "vmm/node/console_buffer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vsmp {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ConsoleBufferTest : public testing::Test {
  protected:
    static Instant at(int ms) { return Instant{std::chrono::milliseconds(ms)}; }

    std::vector<std::string> passed_on_;
    ConsoleBuffer console_{[this](std::string text) { passed_on_.push_back(std::move(text)); }};
};

TEST_F(ConsoleBufferTest, BytesBecomeLines) {
    for (const char c : std::string{"one\ntwo\n"}) console_.append({&c, 1});
    EXPECT_THAT(passed_on_, ElementsAre("one\n", "two\n"));
}

TEST_F(ConsoleBufferTest, AsksForATimerOnceForEachLeftover) {
    EXPECT_TRUE(console_.append("log"));
    EXPECT_FALSE(console_.append("in: "));
    EXPECT_FALSE(console_.append("\n"));
    EXPECT_TRUE(console_.append("next"));
    EXPECT_FALSE(console_.append(""));
}

TEST_F(ConsoleBufferTest, APromptIsPassedOnWhenItIsDue) {
    console_.append("login: ");
    EXPECT_EQ(console_.flush_if_due(at(100)), at(105));
    EXPECT_EQ(console_.flush_if_due(at(104)), at(105));
    EXPECT_THAT(passed_on_, IsEmpty());
    EXPECT_EQ(console_.flush_if_due(at(105)), std::nullopt);
    EXPECT_THAT(passed_on_, ElementsAre("login: "));
}

TEST_F(ConsoleBufferTest, TheNextLeftoverHasItsOwnDeadline) {
    console_.append("a");
    console_.flush_if_due(at(0));
    console_.append("\n");
    console_.append("b");
    EXPECT_EQ(console_.flush_if_due(at(50)), at(55));
}

TEST_F(ConsoleBufferTest, LongTextWithoutANewlineIsNotKept) {
    console_.append(std::string(1023, 'x'));
    EXPECT_THAT(passed_on_, IsEmpty());
    console_.append("x");
    EXPECT_THAT(passed_on_, ElementsAre(std::string(1024, 'x')));
}

TEST_F(ConsoleBufferTest, NothingIsPassedOnWhenNothingIsThere) {
    console_.flush();
    EXPECT_EQ(console_.flush_if_due(at(0)), std::nullopt);
    EXPECT_THAT(passed_on_, IsEmpty());
    console_.append("end");
    console_.flush();
    EXPECT_THAT(passed_on_, ElementsAre("end"));
}

}  // namespace
}  // namespace vsmp
