#include "page_fault_broker/core/home_page.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace vsmp::coherence {
namespace {

using enum MessageKind;

constexpr NodeId kHome{0};
constexpr PageNumber kPage{7};

Message from(int node, MessageKind kind) {
    return {.kind = kind, .page = kPage, .requester = NodeId{static_cast<std::uint8_t>(node)}};
}

// A directory entry that is told things and remembers what it sent last.
struct Directory {
    HomePage page = initial_home_page(kHome);
    std::vector<Action> sent;

    void hears(int node, MessageKind kind) {
        const HomeStep result = step(kHome, page, from(node, kind));
        page = result.next;
        sent.assign(result.actions.begin(), result.actions.end());
    }
    void serves(int node, MessageKind kind) {
        hears(node, kind);
        hears(node, done);
    }
    bool sent_only(std::vector<Action> expected) const { return sent == expected; }
};

Action send(int to, MessageKind kind, int requester, int acks = 0) {
    Message message = from(requester, kind);
    message.acks = static_cast<std::uint8_t>(acks);
    return {
        .kind = ActionKind::send, .to = NodeId{static_cast<std::uint8_t>(to)}, .message = message};
}

TEST(HomePage, ReadOfAnExclusivePageGoesToItsOwner) {
    Directory directory;
    directory.serves(1, write_request);
    directory.hears(2, read_request);
    EXPECT_TRUE(directory.sent_only({send(1, forward_read, 2)}));
    EXPECT_FALSE(directory.page.exclusive);
    EXPECT_EQ(directory.page.sharers, 0b110u);
}

TEST(HomePage, ReadOfASharedPagePrefersHomesOwnCopy) {
    Directory directory;
    directory.serves(1, write_request);
    directory.serves(2, read_request);
    directory.hears(3, read_request);
    EXPECT_TRUE(directory.sent_only({send(1, forward_read, 3)}));
    directory.hears(3, done);
    directory.serves(0, read_request);
    directory.hears(4, read_request);
    EXPECT_TRUE(directory.sent_only({send(0, forward_read, 4)}));
}

TEST(HomePage, WriteOfAnExclusivePageNeedsNoAcks) {
    Directory directory;
    directory.hears(2, write_request);
    EXPECT_TRUE(directory.sent_only({send(0, forward_write, 2)}));
    EXPECT_TRUE(directory.page.exclusive);
    EXPECT_EQ(directory.page.owner, 2);
    EXPECT_EQ(directory.page.sharers, 0b100u);
}

TEST(HomePage, WriteOfASharedPageInvalidatesAllButTheProvider) {
    Directory directory;
    directory.serves(1, read_request);
    directory.serves(2, read_request);
    directory.hears(3, write_request);
    EXPECT_TRUE(directory.sent_only(
        {send(0, forward_write, 3, 2), send(1, invalidate, 3), send(2, invalidate, 3)}));
    EXPECT_EQ(directory.page.sharers, 0b1000u);
}

TEST(HomePage, UpgradeInvalidatesTheOthersAndMovesNoContents) {
    Directory directory;
    directory.serves(1, read_request);
    directory.serves(2, read_request);
    directory.hears(1, upgrade_request);
    EXPECT_TRUE(directory.sent_only(
        {send(1, upgrade_grant, 1, 2), send(0, invalidate, 1), send(2, invalidate, 1)}));
}

TEST(HomePage, SecondUpgraderWhoseCopyWentMeanwhileGetsContents) {
    Directory directory;
    directory.serves(1, read_request);
    directory.serves(2, read_request);
    directory.hears(1, upgrade_request);
    directory.hears(2, upgrade_request);
    EXPECT_TRUE(directory.sent_only({}));
    directory.hears(1, done);
    Action late = send(1, forward_write, 2);
    late.message.waited = true;
    EXPECT_TRUE(directory.sent_only({late}));
}

TEST(HomePage, WaitingRequestsAreServedRoundRobinFromTheLastRequester) {
    Directory directory;
    directory.hears(2, write_request);
    directory.hears(1, write_request);
    directory.hears(3, read_request);
    directory.hears(63, write_request);
    for (const int expected : {3, 63, 1}) {
        directory.hears(directory.page.requester, done);
        EXPECT_TRUE(directory.page.busy);
        EXPECT_EQ(directory.page.requester, expected);
    }
    directory.hears(1, done);
    EXPECT_FALSE(directory.page.busy);
    EXPECT_TRUE(directory.sent_only({}));
}

TEST(HomePage, ServesEveryNodeThereCanBe) {
    Directory directory;
    for (int node = 1; node < static_cast<int>(kMaxNodes); ++node)
        directory.serves(node, read_request);
    EXPECT_EQ(directory.page.sharers, ~std::uint64_t{0});
    directory.hears(63, upgrade_request);
    EXPECT_EQ(directory.sent.size(), kMaxNodes);
    EXPECT_EQ(directory.sent.front(), send(63, upgrade_grant, 63, 63));
}

TEST(HomePage, ASharerThatDroppedItsCopyGetsContentsAgain) {
    Directory directory;
    directory.serves(1, read_request);
    directory.serves(2, read_request);
    directory.hears(1, read_request);
    EXPECT_TRUE(directory.sent_only({send(0, forward_read, 1)}));
    directory.hears(1, done);
    directory.hears(1, write_request);
    EXPECT_TRUE(directory.sent_only({send(0, forward_write, 1, 1), send(2, invalidate, 1)}));
}

TEST(HomePage, AReleasedPageIsTakenHomeToWriteIfNobodyElseHasIt) {
    Directory directory;
    directory.serves(1, write_request);
    directory.hears(1, release);
    EXPECT_TRUE(directory.sent_only({{.kind = ActionKind::take_home, .to = {}, .message = {}}}));
    EXPECT_EQ(access_to_take_home(kHome, directory.page), Access::write);
    directory.serves(2, read_request);
    EXPECT_EQ(access_to_take_home(kHome, directory.page), Access::read);
    directory.serves(0, read_request);
    EXPECT_EQ(access_to_take_home(kHome, directory.page), std::nullopt);
}

TEST(HomePage, ReleaseOfAPageThatIsBeingMovedIsRefused) {
    Directory directory;
    directory.serves(1, write_request);
    directory.hears(2, write_request);
    directory.hears(1, release);
    EXPECT_TRUE(directory.sent_only({send(1, release_refused, 1)}));
    directory.hears(2, done);
    directory.hears(1, release);
    EXPECT_TRUE(directory.sent_only({send(1, release_refused, 1)})) << "somebody else's now";
}

TEST(HomePage, OnlyARequestThatNeedNotWaitKeepsItsVersion) {
    Directory directory;
    Message request = from(1, read_request);
    request.version = 77;
    HomeStep result = step(kHome, directory.page, request);
    EXPECT_EQ(result.actions.begin()->message.version, 77u);
    request = from(2, read_request);
    request.version = 78;
    result = step(kHome, result.next, request);
    EXPECT_TRUE(result.actions.empty());
    result = step(kHome, result.next, from(1, done));
    EXPECT_EQ(result.actions.begin()->message.requester, NodeId{2});
    EXPECT_EQ(result.actions.begin()->message.version, 0u);
}

TEST(HomePageDeathTest, MessagesThatCannotBeAbort) {
    Directory directory;
    EXPECT_DEATH(directory.hears(1, done), "not being served");
    EXPECT_DEATH(directory.hears(0, read_request), "what it has");
    EXPECT_DEATH(directory.hears(0, write_request), "what it may write");
    EXPECT_DEATH(directory.hears(0, shared_data), "came to its directory");
    directory.hears(1, read_request);
    EXPECT_DEATH(directory.hears(1, write_request), "before it is done");
    EXPECT_DEATH(directory.hears(2, done), "not being served");
    directory.hears(2, read_request);
    EXPECT_DEATH(directory.hears(2, write_request), "two requests");
}

}  // namespace
}  // namespace vsmp::coherence
