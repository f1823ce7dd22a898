#include "vmm/node/vcpu_directory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dpdk_transport/core/frame.hpp"
#include "test/fake_fabric.hpp"

namespace vsmp {
namespace {

using shipper::Epoch;
using shipper::Interrupt;
using shipper::InterruptKind;
using shipper::Message;
using shipper::MessageKind;
using shipper::NackReason;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr NodeId kFirst{0}, kSecond{1}, kThird{2};
constexpr VcpuId kVcpu{1};
constexpr std::size_t kVcpus = 2;
constexpr Interrupt kTimer{InterruptKind::fixed, 0xec};
constexpr Duration kBlackout = std::chrono::microseconds(250);

std::vector<std::byte> encoded(const shipper::VcpuState& state) {
    std::vector<std::byte> bytes(shipper::kMaxStateBytes);
    ByteWriter writer{bytes};
    shipper::encode(state, writer);
    bytes.resize(writer.size());
    return bytes;
}

std::vector<std::byte> encoded(const Message& message, ByteView body = {}) {
    std::vector<std::byte> bytes(shipper::kMessageHeaderSize + body.size());
    ByteWriter writer{bytes};
    shipper::encode(message, writer);
    writer.write(body);
    return bytes;
}

Message make(MessageKind kind, std::uint64_t epoch) {
    Message message;
    message.kind = kind;
    message.vcpu = kVcpu;
    message.epoch = Epoch{epoch};
    return message;
}

shipper::VcpuState example_state() {
    shipper::VcpuState state;
    state.general.rip = 0xffffffff81000000;
    return state;
}

struct Sent {
    NodeId to;
    Message message;
    std::vector<std::byte> state;
};

class FakeFabric final : public test::SendOnlyFabric {
  public:
    void send(NodeId to, fabric::Channel channel, ByteView head, ByteView body) override {
        EXPECT_EQ(channel, fabric::Channel::vcpu);
        std::vector<std::byte> whole{head.begin(), head.end()};
        whole.insert(whole.end(), body.begin(), body.end());
        const auto decoded = shipper::decode_message(whole, kVcpus);
        ASSERT_TRUE(decoded);
        sent.push_back({to, decoded->message, {decoded->state.begin(), decoded->state.end()}});
    }

    std::vector<Sent> take() { return std::exchange(sent, {}); }
    std::vector<Sent> sent;
};

class MockVcpus : public LocalVcpus {
  public:
    MOCK_METHOD(void, capture, (VcpuId vcpu, NodeId to), (override));
    MOCK_METHOD(void, resume, (VcpuId vcpu), (override));
    MOCK_METHOD(void, install, (VcpuId vcpu, shipper::VcpuState state), (override));
    MOCK_METHOD(void, deliver, (VcpuId vcpu, const Interrupt& interrupt), (override));
};

// Three nodes; every vCPU begins on the first.
class VcpuDirectoryTest : public testing::Test {
  protected:
    VcpuDirectory make_directory(NodeId self) {
        return VcpuDirectory{self,   3,        kVcpus,
                             vcpus_, &fabric_, [this](const Error&) { ++violations_; }};
    }
    // `directory`, of the first node, has sent kVcpu to the second.
    void ship_away(VcpuDirectory& directory) {
        EXPECT_CALL(vcpus_, capture(kVcpu, kSecond));
        ASSERT_TRUE(directory.ship(kVcpu, kSecond));
        directory.on_captured(kVcpu, encoded(example_state()));
        fabric_.take();
    }
    // `directory`, of the second node, is loading kVcpu, which came from the first.
    void arrive(VcpuDirectory& directory) {
        EXPECT_CALL(vcpus_, install(kVcpu, example_state()));
        directory.on_message(kFirst,
                             encoded(make(MessageKind::ship_state, 1), encoded(example_state())));
    }

    testing::StrictMock<MockVcpus> vcpus_;
    FakeFabric fabric_;
    int violations_ = 0;
};

TEST_F(VcpuDirectoryTest, AShippedVcpuIsCapturedAndItsStateSent) {
    VcpuDirectory directory = make_directory(kFirst);
    EXPECT_CALL(vcpus_, capture(kVcpu, kSecond));
    EXPECT_TRUE(directory.ship(kVcpu, kSecond));
    EXPECT_TRUE(directory.is_here(kVcpu));
    EXPECT_THAT(fabric_.sent, IsEmpty());

    const std::vector<std::byte> state = encoded(example_state());
    directory.on_captured(kVcpu, state);
    EXPECT_FALSE(directory.is_here(kVcpu));
    ASSERT_EQ(fabric_.sent.size(), 1u);
    EXPECT_EQ(fabric_.sent[0].to, kSecond);
    EXPECT_EQ(fabric_.sent[0].message, make(MessageKind::ship_state, 1));
    EXPECT_EQ(fabric_.sent[0].state, state);

    const std::size_t frame = fabric::kHeaderSize + shipper::kMessageHeaderSize + state.size();
    EXPECT_EQ(directory.counters().out, 1u);
    EXPECT_EQ(directory.counters().frame_bytes_max, frame);
    EXPECT_THAT(directory.counters().frame_bytes, ElementsAre(frame));
}

TEST_F(VcpuDirectoryTest, RefusesToShipWhatIsNotHereOrIsLeaving) {
    VcpuDirectory directory = make_directory(kFirst);
    EXPECT_CALL(vcpus_, capture(kVcpu, kSecond));
    EXPECT_TRUE(directory.ship(kVcpu, kSecond));
    EXPECT_FALSE(directory.ship(kVcpu, kThird));
    directory.on_captured(kVcpu, encoded(example_state()));
    EXPECT_FALSE(directory.ship(kVcpu, kThird));
    EXPECT_EQ(directory.counters().refused, 2u);
}

TEST_F(VcpuDirectoryTest, AFailedCaptureLetsItGoOn) {
    VcpuDirectory directory = make_directory(kFirst);
    EXPECT_CALL(vcpus_, capture(kVcpu, kSecond));
    directory.ship(kVcpu, kSecond);
    directory.raise(kVcpu, kTimer);  // waits in the stash
    testing::InSequence in_order;
    EXPECT_CALL(vcpus_, resume(kVcpu));
    EXPECT_CALL(vcpus_, deliver(kVcpu, kTimer));
    directory.on_capture_failed(kVcpu);
    EXPECT_TRUE(directory.is_here(kVcpu));
    EXPECT_THAT(fabric_.sent, IsEmpty());
}

TEST_F(VcpuDirectoryTest, AnArrivalIsInstalledThenAcknowledgedAndAnnounced) {
    VcpuDirectory directory = make_directory(kSecond);
    arrive(directory);
    EXPECT_FALSE(directory.is_here(kVcpu));
    EXPECT_THAT(fabric_.sent, IsEmpty()) << "nobody may hear of it before it runs";

    directory.on_installed(kVcpu, kBlackout);
    EXPECT_TRUE(directory.is_here(kVcpu));
    ASSERT_EQ(fabric_.sent.size(), 2u);
    EXPECT_EQ(fabric_.sent[0].to, kFirst);
    EXPECT_EQ(fabric_.sent[0].message, make(MessageKind::ship_ack, 1));
    EXPECT_EQ(fabric_.sent[1].to, kThird);
    EXPECT_EQ(fabric_.sent[1].message, make(MessageKind::location, 1));
    EXPECT_EQ(directory.counters().in, 1u);
    EXPECT_THAT(directory.counters().blackout_us, ElementsAre(250u));
}

TEST_F(VcpuDirectoryTest, AStateThatIsNoneGoesBack) {
    VcpuDirectory directory = make_directory(kSecond);
    const std::array garbage{std::byte{0xff}, std::byte{0xff}};
    directory.on_message(kFirst, encoded(make(MessageKind::ship_state, 1), garbage));
    ASSERT_EQ(fabric_.sent.size(), 1u);
    EXPECT_EQ(fabric_.sent[0].to, kFirst);
    EXPECT_EQ(fabric_.sent[0].message.kind, MessageKind::ship_nack);
    EXPECT_EQ(fabric_.sent[0].message.reason, NackReason::bad_state);
    EXPECT_EQ(directory.counters().malformed, 1u);
    EXPECT_FALSE(directory.is_here(kVcpu));
}

TEST_F(VcpuDirectoryTest, WhatCannotBeLoadedIsResumedAtItsSource) {
    VcpuDirectory directory = make_directory(kFirst);
    ship_away(directory);
    Message nack = make(MessageKind::ship_nack, 1);
    nack.reason = NackReason::cannot_load;
    EXPECT_CALL(vcpus_, resume(kVcpu));
    directory.on_message(kSecond, encoded(nack));
    EXPECT_TRUE(directory.is_here(kVcpu));
    EXPECT_EQ(directory.counters().refused, 1u);
}

TEST_F(VcpuDirectoryTest, InterruptsForAVcpuThatIsHereAreDelivered) {
    VcpuDirectory directory = make_directory(kFirst);
    EXPECT_CALL(vcpus_, deliver(kVcpu, kTimer));
    directory.raise(kVcpu, kTimer);
    EXPECT_THAT(fabric_.sent, IsEmpty());
}

TEST_F(VcpuDirectoryTest, InterruptsForAVcpuElsewhereAreForwarded) {
    VcpuDirectory directory = make_directory(kFirst);
    ship_away(directory);
    directory.raise(kVcpu, kTimer);
    Message expected = make(MessageKind::interrupt, 1);
    expected.interrupt = kTimer;
    ASSERT_EQ(fabric_.sent.size(), 1u);
    EXPECT_EQ(fabric_.take()[0].message, expected);

    directory.on_message(kSecond, encoded(make(MessageKind::ship_ack, 1)));
    directory.on_message(kThird, encoded(make(MessageKind::location, 2)));
    directory.raise(kVcpu, kTimer);
    ASSERT_EQ(fabric_.sent.size(), 1u);
    EXPECT_EQ(fabric_.sent[0].to, kThird);
}

TEST_F(VcpuDirectoryTest, InterruptsOfALeavingVcpuFollowItsState) {
    VcpuDirectory directory = make_directory(kFirst);
    EXPECT_CALL(vcpus_, capture(kVcpu, kSecond));
    directory.ship(kVcpu, kSecond);
    directory.raise(kVcpu, kTimer);
    directory.on_captured(kVcpu, encoded(example_state()));
    ASSERT_EQ(fabric_.sent.size(), 2u);
    EXPECT_EQ(fabric_.sent[0].message.kind, MessageKind::ship_state);
    EXPECT_EQ(fabric_.sent[1].message.kind, MessageKind::interrupt);
    EXPECT_EQ(fabric_.sent[1].message.interrupt, kTimer);
}

TEST_F(VcpuDirectoryTest, InterruptsOfAnArrivingVcpuAreDeliveredOnceItRuns) {
    VcpuDirectory directory = make_directory(kSecond);
    arrive(directory);
    directory.raise(kVcpu, kTimer);
    EXPECT_CALL(vcpus_, deliver(kVcpu, kTimer));
    directory.on_installed(kVcpu, kBlackout);
}

TEST_F(VcpuDirectoryTest, MalformedMessagesAreCountedAndIgnored) {
    VcpuDirectory directory = make_directory(kSecond);
    std::vector<std::byte> bytes = encoded(make(MessageKind::location, 5));
    directory.on_message(kFirst, ByteView{bytes}.first(bytes.size() - 1));
    bytes[0] = std::byte{99};
    directory.on_message(kFirst, bytes);
    directory.on_message(kFirst, {});
    EXPECT_EQ(directory.counters().malformed, 3u);
    EXPECT_THAT(fabric_.sent, IsEmpty());
    EXPECT_EQ(violations_, 0);
}

TEST_F(VcpuDirectoryTest, ASecondOwnerIsAViolation) {
    VcpuDirectory directory = make_directory(kFirst);
    directory.on_message(kSecond,
                         encoded(make(MessageKind::ship_state, 1), encoded(example_state())));
    EXPECT_EQ(violations_, 1);
    EXPECT_TRUE(directory.is_here(kVcpu));
}

TEST_F(VcpuDirectoryTest, AGuestOfOneNodeNeedsNoFabric) {
    VcpuDirectory directory{kFirst, 1, kVcpus, vcpus_, nullptr, [](const Error&) { FAIL(); }};
    EXPECT_CALL(vcpus_, deliver(kVcpu, kTimer));
    directory.raise(kVcpu, kTimer);
    EXPECT_TRUE(directory.is_here(kVcpu));
}

}  // namespace
}  // namespace vsmp
