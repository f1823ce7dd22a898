#include "page_fault_broker/core/local_page.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace vsmp::coherence {
namespace {

using enum MessageKind;
using enum ActionKind;

constexpr NodeId kHome{0};
constexpr NodeId kSelf{1};
constexpr PageNumber kPage{7};

Message message(MessageKind kind, int requester, int acks = 0, Contents contents = Contents::none) {
    return {.kind = kind,
            .page = kPage,
            .requester = NodeId{static_cast<std::uint8_t>(requester)},
            .acks = static_cast<std::uint8_t>(acks),
            .contents = contents};
}
Message late(Message message) {
    message.waited = true;
    return message;
}
Action act(ActionKind kind) {
    return {.kind = kind, .to = {}, .message = {}};
}
Action send_to(int to, const Message& what) {
    return {.kind = send, .to = NodeId{static_cast<std::uint8_t>(to)}, .message = what};
}

// A page of node 1 whose home is node 0. Each call returns the actions of that step.
struct Page {
    LocalPage state = initial_local_page(kSelf, kHome);
    using Actions = std::vector<Action>;

    Actions happens(const LocalEvent& event) {
        const LocalStep result = step(kSelf, kHome, kPage, state, event);
        state = result.next;
        return {result.actions.begin(), result.actions.end()};
    }
    Actions fault(Access access) {
        return happens({.kind = LocalEventKind::fault, .access = access, .message = {}});
    }
    Actions hears(const Message& what) {
        return happens({.kind = LocalEventKind::message, .access = Access::read, .message = what});
    }
    Actions evict() {
        return happens({.kind = LocalEventKind::evict, .access = {}, .message = {}});
    }
    Actions hold_expires() {
        return happens({.kind = LocalEventKind::hold_expired, .access = {}, .message = {}});
    }
    // Obtains the page and lets the hold pass.
    void obtain(Access access) {
        fault(access);
        hears(message(access == Access::read ? shared_data : exclusive_data, 1, 0, Contents::page));
        hold_expires();
    }
};

TEST(LocalPage, StartsExclusiveAtHomeOnly) {
    EXPECT_EQ(initial_local_page(kHome, kHome).permission, Permission::exclusive);
    EXPECT_EQ(initial_local_page(kSelf, kHome).permission, Permission::none);
}

TEST(LocalPage, FaultAsksHomeOnce) {
    Page page;
    EXPECT_EQ(page.fault(Access::read), Page::Actions{send_to(0, message(read_request, 1))});
    EXPECT_TRUE(page.fault(Access::read).empty());
    EXPECT_TRUE(page.fault(Access::write).empty());
    Page other;
    EXPECT_EQ(other.fault(Access::write), Page::Actions{send_to(0, message(write_request, 1))});
}

TEST(LocalPage, SharedDataIsStoredMappedHeldAndReported) {
    Page page;
    page.fault(Access::read);
    EXPECT_EQ(page.hears(message(shared_data, 1, 0, Contents::page)),
              (Page::Actions{act(store_contents), act(map_shared), act(start_hold),
                             send_to(0, message(done, 1))}));
    EXPECT_EQ(page.state, (LocalPage{.permission = Permission::shared, .held = true}));
}

TEST(LocalPage, ExclusiveDataWaitsForItsAcks) {
    Page page;
    page.fault(Access::write);
    EXPECT_EQ(page.hears(message(exclusive_data, 1, 2, Contents::page)),
              Page::Actions{act(store_contents)});
    EXPECT_EQ(page.state.permission, Permission::none);
    EXPECT_TRUE(page.hears(message(invalidate_ack, 1)).empty());
    EXPECT_EQ(page.hears(message(invalidate_ack, 1)),
              (Page::Actions{act(map_exclusive), act(start_hold), send_to(0, message(done, 1))}));
    EXPECT_EQ(page.state, (LocalPage{.permission = Permission::exclusive, .held = true}));
}

TEST(LocalPage, AcksMayOvertakeTheGrant) {
    Page page;
    page.obtain(Access::read);
    EXPECT_EQ(page.fault(Access::write), Page::Actions{send_to(0, message(upgrade_request, 1))});
    EXPECT_TRUE(page.hears(message(invalidate_ack, 1)).empty());
    EXPECT_EQ(page.hears(message(upgrade_grant, 1, 1)),
              (Page::Actions{act(map_exclusive), act(start_hold), send_to(0, message(done, 1))}));
}

TEST(LocalPage, ReadersMayGoOnWhileAnUpgradeWaits) {
    Page page;
    page.obtain(Access::read);
    page.fault(Access::write);
    EXPECT_EQ(page.fault(Access::read), Page::Actions{act(map_shared)});
    page.hears(message(upgrade_grant, 1, 1));
    EXPECT_EQ(page.fault(Access::read), Page::Actions{act(map_shared)});
}

TEST(LocalPage, SpuriousFaultsMapAgain) {
    Page page;
    page.obtain(Access::write);
    EXPECT_EQ(page.fault(Access::read), Page::Actions{act(map_exclusive)});
    EXPECT_EQ(page.fault(Access::write), Page::Actions{act(map_exclusive)});
}

TEST(LocalPage, GivesWhatItHas) {
    Page page;
    page.obtain(Access::write);
    EXPECT_EQ(
        page.hears(message(forward_read, 2)),
        (Page::Actions{act(revoke_write), send_to(2, message(shared_data, 2, 0, Contents::page))}));
    EXPECT_EQ(page.state, (LocalPage{.permission = Permission::shared, .source = true}));
    EXPECT_EQ(page.hears(message(forward_read, 3)),
              (Page::Actions{send_to(3, message(shared_data, 3, 0, Contents::page))}));
    EXPECT_EQ(page.hears(message(forward_write, 2, 1)),
              (Page::Actions{act(revoke_all),
                             send_to(2, message(exclusive_data, 2, 1, Contents::page))}));
    EXPECT_EQ(page.state, LocalPage{});
}

TEST(LocalPage, InvalidationIsAcknowledgedToTheWriter) {
    Page page;
    page.obtain(Access::read);
    EXPECT_EQ(page.hears(message(invalidate, 2)),
              (Page::Actions{act(revoke_all), send_to(2, message(invalidate_ack, 2))}));
    EXPECT_EQ(page.state, LocalPage{});
}

TEST(LocalPage, AHeldPageStaysUntilTheHoldIsOver) {
    for (const MessageKind kind : {forward_read, forward_write}) {
        Page page;
        page.fault(Access::write);
        page.hears(message(exclusive_data, 1, 0, Contents::page));
        EXPECT_TRUE(page.hears(message(kind, 2, 0)).empty());
        EXPECT_EQ(page.state.permission, Permission::exclusive);
        EXPECT_EQ(page.hold_expires().size(), 2u);
        EXPECT_TRUE(page.hold_expires().empty());
        EXPECT_FALSE(page.state.held);
    }
}

TEST(LocalPage, ADeferredForwardKeepsItsAcks) {
    Page page;
    page.fault(Access::read);
    page.hears(message(shared_data, 1, 0, Contents::page));
    EXPECT_TRUE(page.hears(message(forward_write, 2, 3)).empty());
    EXPECT_EQ(page.hold_expires(),
              (Page::Actions{act(revoke_all),
                             send_to(2, late(message(exclusive_data, 2, 3, Contents::page)))}));
    EXPECT_EQ(page.state, LocalPage{});
}

TEST(LocalPage, WhatHadToWaitAtHomeIsSaidToHaveWaited) {
    Page page;
    page.obtain(Access::write);
    EXPECT_EQ(page.hears(late(message(forward_write, 2, 1))),
              (Page::Actions{act(revoke_all),
                             send_to(2, late(message(exclusive_data, 2, 1, Contents::page)))}));
}

TEST(LocalPage, AHeldSharedPageServesReadersAtOnce) {
    Page page;
    page.fault(Access::read);
    page.hears(message(shared_data, 1, 0, Contents::page));
    EXPECT_EQ(page.hears(message(forward_read, 2)).size(), 1u);
    EXPECT_TRUE(page.state.held);
}

TEST(LocalPage, AnInvalidationMayComeWhileTheUpgradeWaits) {
    Page page;
    page.fault(Access::read);
    page.hears(message(shared_data, 1, 0, Contents::page));
    page.fault(Access::write);
    EXPECT_TRUE(page.hears(message(invalidate, 2)).empty());
    EXPECT_EQ(page.hold_expires(),
              (Page::Actions{act(revoke_all), send_to(2, late(message(invalidate_ack, 2)))}));
    EXPECT_EQ(page.state, (LocalPage{.request = Request::write}));
    EXPECT_EQ(page.hears(message(exclusive_data, 1, 0, Contents::zero)).size(), 4u);
}

TEST(LocalPage, TheVersionThatWasOfferedComesWithTheContents) {
    Page page;
    page.obtain(Access::write);
    Message asked = message(forward_read, 2);
    asked.version = 77;
    Message answer = message(shared_data, 2, 0, Contents::page);
    answer.version = 77;
    EXPECT_EQ(page.hears(asked), (Page::Actions{act(revoke_write), send_to(2, answer)}));
}

TEST(LocalPage, AHeldPageKeepsTheVersionThatWasOffered) {
    Page page;
    page.fault(Access::write);
    page.hears(message(exclusive_data, 1, 0, Contents::page));
    Message asked = message(forward_write, 2, 1);
    asked.version = 77;
    Message answer = message(exclusive_data, 2, 1, Contents::page);
    answer.version = 77;
    EXPECT_TRUE(page.hears(asked).empty());
    EXPECT_EQ(page.hold_expires(), (Page::Actions{act(revoke_all), send_to(2, late(answer))}));
    EXPECT_EQ(page.state, LocalPage{});
}

TEST(LocalPage, ACopyThatHomeHasTooIsDroppedAtOnce) {
    Page page;
    page.obtain(Access::read);
    EXPECT_EQ(page.evict(), Page::Actions{act(revoke_all)});
    EXPECT_EQ(page.state, LocalPage{});
    EXPECT_EQ(page.hears(message(invalidate, 2)),
              Page::Actions{send_to(2, message(invalidate_ack, 2))});
    EXPECT_EQ(page.fault(Access::write), Page::Actions{send_to(0, message(write_request, 1))});
}

TEST(LocalPage, WhatHomeHasNotIsReleasedAndStaysUntilItIsTaken) {
    Page page;
    page.obtain(Access::write);
    EXPECT_EQ(page.evict(), Page::Actions{send_to(0, message(release, 1))});
    EXPECT_TRUE(page.evict().empty()) << "once is enough";
    EXPECT_EQ(page.fault(Access::write), Page::Actions{act(map_exclusive)});
    EXPECT_EQ(page.hears(message(forward_write, 0)).size(), 2u);
    EXPECT_EQ(page.state, LocalPage{});
}

TEST(LocalPage, ASourceIsDroppedOnceHomeHasReadIt) {
    Page page;
    page.obtain(Access::write);
    page.hears(message(forward_read, 2));
    EXPECT_EQ(page.evict(), Page::Actions{send_to(0, message(release, 1))});
    page.hears(message(release_refused, 1));
    EXPECT_EQ(page.evict(), Page::Actions{send_to(0, message(release, 1))});
    page.hears(message(forward_read, 0));
    EXPECT_EQ(page.evict(), Page::Actions{act(revoke_all)});
    EXPECT_EQ(page.state, LocalPage{});
}

TEST(LocalPage, EvictionLeavesAloneWhatIsInUseOrAtHome) {
    Page page;
    EXPECT_TRUE(page.evict().empty());
    page.fault(Access::read);
    EXPECT_TRUE(page.evict().empty());
    page.hears(message(shared_data, 1, 0, Contents::page));
    EXPECT_TRUE(page.evict().empty()) << "held";
    page.hold_expires();
    page.fault(Access::write);
    EXPECT_TRUE(page.evict().empty()) << "waits for an upgrade";
    const LocalEvent evict{.kind = LocalEventKind::evict, .access = {}, .message = {}};
    EXPECT_TRUE(step(kHome, kHome, kPage, initial_local_page(kHome, kHome), evict).actions.empty());
}

TEST(LocalPageDeathTest, MessagesThatCannotBeAbort) {
    Page page;
    EXPECT_DEATH(page.hears(message(shared_data, 1, 0, Contents::page)), "not asked for");
    EXPECT_DEATH(page.hears(message(exclusive_data, 1, 0, Contents::page)), "not asked for");
    EXPECT_DEATH(page.hears(message(upgrade_grant, 1)), "not shared");
    EXPECT_DEATH(page.hears(message(invalidate_ack, 1)), "an ack for nothing");
    EXPECT_DEATH(page.hears(message(forward_read, 2)), "not here");
    EXPECT_DEATH(page.hears(message(forward_write, 2)), "not here");
    EXPECT_DEATH(page.hears(message(done, 2)), "came to a node's own page");
    page.fault(Access::write);
    page.hears(message(exclusive_data, 1, 0, Contents::page));
    page.hold_expires();
    EXPECT_DEATH(page.hears(message(invalidate, 2)), "unshared");
    page.hears(message(forward_write, 2));
    page.fault(Access::write);
    page.hears(message(exclusive_data, 1, 0, Contents::page));
    page.hears(message(forward_write, 2));
    EXPECT_DEATH(page.hears(message(forward_write, 2)), "two requests");
}

}  // namespace
}  // namespace vsmp::coherence
