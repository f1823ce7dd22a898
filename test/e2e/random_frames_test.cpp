// Somebody else's frames on the link of a running guest: rubbish with our EtherType, and real
// frames, captured from the link and damaged. Not among them is what only a forger would make: a
// frame that is right in everything but its contents. docs/PROTOCOL.md says what nodes drop.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <iostream>
#include <optional>
#include <random>
#include <unordered_set>

#include "dpdk_transport/core/frame.hpp"
#include "test/e2e/intruder.hpp"
#include "test/e2e/micro_guest.hpp"
#include "test/skip.hpp"

namespace vsmp::e2e {
namespace {

namespace at = fabric::field;
constexpr std::uint8_t kData = 3, kAck = 4;

class Damage {
  public:
    explicit Damage(std::uint64_t seed) : random_(seed) {}

    Frame of(Frame frame) {
        switch (random_() % 8) {
            case 0:  // another guest's
                scramble(frame, at::kGuest, frame.size());
                break;
            case 1:  // meant for a node that was here before
                frame[at::kKind] = random_() % 2 == 0 ? kData : kAck;
                scramble(frame, at::kSequence, frame.size());
                flip(frame, at::kReceiver, 4);
                break;
            case 2:
                frame[at::kVersion] =
                    static_cast<std::uint8_t>(fabric::kProtocolVersion + 1 + random_() % 200);
                scramble(frame, at::kLength, frame.size());
                break;
            case 3:
                frame[at::kKind] = static_cast<std::uint8_t>(7 + random_() % 249);
                break;
            case 4:
                frame[random_() % 2 == 0 ? at::kFlags : at::kChannel] |= 0x80;
                break;
            case 5:
                frame.resize(fabric::kEthernetHeaderSize +
                             random_() % (fabric::kHeaderSize - fabric::kEthernetHeaderSize));
                break;
            case 6:  // far outside the windows
                frame[(frame[at::kKind] == kData ? at::kSequence : at::kAcknowledged) + 3] ^= 0x40;
                break;
            case 7:  // the same once more
                break;
        }
        return frame;
    }
    Frame rubbish() {
        Frame frame(60 + random_() % 8900);
        scramble(frame, 0, frame.size());
        const std::array<std::uint8_t, 14> ethernet{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
                                                    0,    0,    0,    0,    1,    0x88, 0xb5};
        std::copy(ethernet.begin(), ethernet.end(), frame.begin());
        return frame;
    }

  private:
    void scramble(Frame& frame, std::size_t from, std::size_t to) {
        for (std::size_t i = from; i < to; ++i) frame[i] = static_cast<std::uint8_t>(random_());
    }
    void flip(Frame& frame, std::size_t at, std::size_t bytes) {
        frame[at + random_() % bytes] ^= static_cast<std::uint8_t>(1 + random_() % 255);
    }
    std::mt19937_64 random_;
};

// By its header, which damage always touches.
std::string text_of(const Frame& frame) {
    return {frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(
                                               std::min(frame.size(), fabric::kHeaderSize))};
}

class RandomFrames : public testing::TestWithParam<std::uint64_t> {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
    }
};

TEST_P(RandomFrames, DoNotDisturbAGuest) {
    MicroGuest guest{Machine{}, "share", {0, 300}, Begin::spread};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    const int process = guest.scratch().node_process(0).value();
    std::array<Intruder, 2> intruders{Intruder{process, "vsmp0"}, Intruder{process, "vsmp1"}};
    Damage damage{GetParam()};
    std::uint64_t sent = 0;
    std::unordered_set<std::string> ours;
    // A frame of that interface's node, damaged, or rubbish when there is none.
    const auto make = [&](std::size_t interface) {
        const auto real = intruders[1 - interface].capture();
        const bool is_real = real && ours.count(text_of(*real)) == 0;
        Frame frame = is_real ? damage.of(*real) : damage.rubbish();
        if (!is_real || frame != *real) ours.insert(text_of(frame));
        return frame;
    };
    const auto intrude = [&] {
        for (std::size_t interface : {0, 1})
            for (int i = 0; i < 20; ++i, ++sent) intruders[interface].send(make(interface));
    };
    const auto rejected = [&] {
        std::array<std::uint64_t, 2> counts{};
        const auto stats = guest.stats();
        for (std::size_t i = 0; i < stats.size(); ++i) counts[i] = stats[i].fabric().rejected();
        return counts;
    };
    // First while the vCPUs wait, where vCPU 1 looks at the console of node 0 all the time.
    const auto before = rejected();
    const auto allowed = patience(std::chrono::seconds(30));
    const auto deadline = std::chrono::steady_clock::now() + allowed;
    auto now = before;
    while (now[0] < before[0] + 20 || now[1] < before[1] + 20) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << guest.transcript();
        intrude();
        now = rejected();
    }
    guest.type_line();
    while (guest.whereabouts(0) >= 0) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline + allowed)
            << guest.vsmpctl({"stats"}) << guest.transcript();
        intrude();
    }
    ASSERT_TRUE(guest.ends_well()) << guest.transcript();
    EXPECT_EQ(guest.reports(0, 1), std::vector<std::uint64_t>{300});
    std::cout << fmt::format("{} frames sent; of the first of them node 0 rejected {}, node 1 {}\n",
                             sent, now[0] - before[0], now[1] - before[1]);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomFrames, testing::Values(1, 2, 3));

}  // namespace
}  // namespace vsmp::e2e
