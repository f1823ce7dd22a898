#include "vmm/node/device_client.hpp"

#include <gtest/gtest.h>

#include <future>

namespace vsmp {
namespace {

constexpr VcpuId kVcpu{1};

// The far end: hands each request to the test.
class DeviceClientTest : public testing::Test {
  protected:
    ~DeviceClientTest() override { client_.stop(); }  // before the futures wait for their threads

    DeviceRequest next_request() {
        std::unique_lock lock{mutex_};
        came_.wait(lock, [&] { return !requests_.empty(); });
        const DeviceRequest request = requests_.back();
        requests_.pop_back();
        return request;
    }
    void on_message(const NodeMessage& message) {
        std::lock_guard lock{mutex_};
        if (const auto* request = std::get_if<DeviceRequest>(&message))
            requests_.push_back(*request);
        else
            others_.push_back(message);
        came_.notify_one();
    }
    std::future<std::vector<std::byte>> read_in_thread(VcpuId vcpu, std::size_t size) {
        return std::async(std::launch::async, [this, vcpu, size] {
            std::vector<std::byte> data(size);
            client_.read(vcpu, AddressSpace::port, 0x3f8, data);
            return data;
        });
    }

    std::mutex mutex_;
    std::condition_variable came_;
    std::vector<DeviceRequest> requests_;
    std::vector<NodeMessage> others_;
    DeviceClient client_{2, [this](const NodeMessage& message) { on_message(message); }};
};

TEST_F(DeviceClientTest, AReadWaitsForItsReply) {
    auto value = read_in_thread(kVcpu, 2);
    const DeviceRequest request = next_request();
    EXPECT_EQ(request.vcpu, kVcpu);
    EXPECT_EQ(request.space, AddressSpace::port);
    EXPECT_EQ(request.access, Access::read);
    EXPECT_EQ(request.size, 2);
    EXPECT_EQ(request.address, 0x3f8u);
    client_.on_reply({.vcpu = kVcpu, .sequence = request.sequence, .data = 0xaabbccdd});
    EXPECT_EQ(value.get(), (std::vector{std::byte{0xdd}, std::byte{0xcc}}));
}

TEST_F(DeviceClientTest, AWriteWaitsToo) {
    auto done = std::async(std::launch::async, [this] {
        const std::array data{std::byte{0x78}, std::byte{0x56}, std::byte{0x34}, std::byte{0x12}};
        client_.write(kVcpu, AddressSpace::mmio, 0xfec00000, data);
    });
    const DeviceRequest request = next_request();
    EXPECT_EQ(request.access, Access::write);
    EXPECT_EQ(request.space, AddressSpace::mmio);
    EXPECT_EQ(request.size, 4);
    EXPECT_EQ(request.data, 0x12345678u);
    client_.on_reply({.vcpu = kVcpu, .sequence = request.sequence});
    done.get();
}

TEST_F(DeviceClientTest, OtherRepliesAreIgnored) {
    auto value = read_in_thread(kVcpu, 1);
    const DeviceRequest request = next_request();
    client_.on_reply({.vcpu = kVcpu, .sequence = request.sequence - 1, .data = 1});
    client_.on_reply({.vcpu = kVcpu, .sequence = request.sequence + 1, .data = 2});
    client_.on_reply({.vcpu = VcpuId{0}, .sequence = request.sequence, .data = 3});
    client_.on_reply({.vcpu = kVcpu, .sequence = request.sequence, .data = 4});
    client_.on_reply({.vcpu = kVcpu, .sequence = request.sequence, .data = 5});
    EXPECT_EQ(value.get(), std::vector{std::byte{4}});
}

TEST_F(DeviceClientTest, EachRequestOfAVcpuHasItsOwnSequence) {
    auto first = read_in_thread(kVcpu, 1);
    const DeviceRequest one = next_request();
    client_.on_reply({.vcpu = kVcpu, .sequence = one.sequence, .data = 1});
    first.get();
    auto second = read_in_thread(kVcpu, 1);
    const DeviceRequest two = next_request();
    EXPECT_NE(two.sequence, one.sequence);
    client_.on_reply({.vcpu = kVcpu, .sequence = two.sequence, .data = 2});
    EXPECT_EQ(second.get(), std::vector{std::byte{2}});
}

TEST_F(DeviceClientTest, StopEndsAllWaitingNowAndLater) {
    auto waiting = read_in_thread(VcpuId{0}, 4);
    next_request();
    client_.stop();
    EXPECT_EQ(waiting.get(), std::vector(4, std::byte{0xff}));
    EXPECT_EQ(read_in_thread(kVcpu, 1).get(), std::vector{std::byte{0xff}});
}

TEST_F(DeviceClientTest, AnEndOfInterruptWaitsForNothing) {
    client_.end_of_interrupt(0x31);
    ASSERT_EQ(others_.size(), 1u);
    EXPECT_EQ(others_[0], NodeMessage{EndOfInterrupt{0x31}});
}

}  // namespace
}  // namespace vsmp
