// Hostile frames at line rate while guests run: each kind is counted under its name, and the
// guests' own checks pass. Without a key a forger who knows guest, incarnations and sequences can
// do harm (docs/fabric.md), so frames that are right in all of that are sent only where there is
// one.
//
// VSMP_HOSTILE_S=60 makes the long form: seconds under attack. The default suits a CI run.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <thread>

#include "test/e2e/intruder.hpp"
#include "test/e2e/micro_guest.hpp"
#include "test/own_folder.hpp"
#include "test/skip.hpp"
#include "vmm/control/control_client.hpp"

namespace vsmp::e2e {
namespace {

namespace at = fabric::field;
constexpr std::uint8_t kHello = 1, kData = 3, kAck = 4;
constexpr std::uint8_t kSealedFlag = 2;
constexpr std::size_t kSealCounter = at::kPayload + 2;  // dpdk_transport/crypto/aead_sealer.hpp
constexpr std::size_t kBatch = 64;
constexpr std::uint64_t kVersions = 500;  // that a guest writes and reads: some seconds

enum class Sealing : std::uint8_t { none, key };

double seconds_under_attack() {
    const char* given = std::getenv("VSMP_HOSTILE_S");
    return given == nullptr ? 2 : std::atof(given);
}

template <class Value>
void put(Frame& frame, std::size_t at, Value value) {
    std::memcpy(frame.data() + at, &value, sizeof value);
}
template <class Value>
Value get(const Frame& frame, std::size_t at) {
    Value value;
    std::memcpy(&value, frame.data() + at, sizeof value);
    return value;
}

// Makes a hostile frame of a real one. The last three sorts carry all the right names.
class Forger {
  public:
    explicit Forger(Sealing sealing) : sealing_(sealing) {}

    Frame of(Frame frame) {
        // What the replay window has not seen is left to the tag to refuse.
        if (sealing_ == Sealing::key && random_() % 2 == 0)
            put(frame, kSealCounter, get<std::uint32_t>(frame, kSealCounter) + 0x10'0000);
        switch (random_() % (sealing_ == Sealing::key ? 14 : 11)) {
            case 0:
                frame[at::kVersion] = fabric::kProtocolVersion + 1;
                break;
            case 1:
                frame[at::kCluster] ^= 1;
                break;
            case 2:
                frame[at::kGuest] ^= 1;
                break;
            case 3:
                frame[at::kTo] ^= 1;
                break;
            case 4:  // truncated
                frame.resize(fabric::kEthernetHeaderSize + random_() % fabric::kMtuOverhead);
                break;
            case 5:  // says that there is more than there is
                put(frame, at::kLength, static_cast<std::uint16_t>(9000 + random_() % 50'000));
                break;
            case 6:  // larger than any of ours
                frame.resize(fabric::kEthernetHeaderSize + 9000);
                put(frame, at::kLength, std::uint16_t{8990});
                break;
            case 7:
                frame[at::kFlags] ^= kSealedFlag;
                break;
            case 8:  // meant for an earlier life of the receiver
                put(frame, at::kReceiver, get<std::uint32_t>(frame, at::kReceiver) ^ 0x55);
                break;
            case 9:  // of what was never sent, or for what nobody may send
                put(frame, at::kAcknowledged,
                    get<std::uint32_t>(frame, at::kAcknowledged) + 0x4000'0000);
                break;
            case 10:  // replayed
                break;
            case 11:  // credit without end
                put(frame, at::kCredit, std::uint16_t{0xffff});
                break;
            case 12:  // the next data, with other contents
                frame[at::kKind] = kData;
                put(frame, at::kSequence, get<std::uint32_t>(frame, at::kSequence) + 1);
                frame.back() ^= 1;
                break;
            case 13:  // "I have restarted"
                frame[at::kKind] = kHello;
                put(frame, at::kSender, get<std::uint32_t>(frame, at::kSender) ^ 0x55);
                break;
        }
        return frame;
    }

  private:
    Sealing sealing_;
    std::mt19937_64 random_{20261123};
};

// One end of the link, in a thread of its own: what it sends reaches the other end's node.
class Attack {
  public:
    Attack(Intruder& sender, Intruder& listener, Sealing sealing)
        : thread_([this, &sender, &listener, sealing](const std::stop_token& stop) {
              Forger forger{sealing};
              std::vector<Frame> real, batch;
              while (!stop.stop_requested()) {
                  // What comes back from there is our own, too: real ones are from before.
                  while (real.size() < kBatch && !stop.stop_requested())
                      if (auto frame = listener.capture(); frame && is_useful(*frame))
                          real.push_back(*std::move(frame));
                  batch.clear();
                  for (const Frame& frame : real) batch.push_back(forger.of(frame));
                  sent_ += sender.send_all(batch);
              }
          }) {}
    std::uint64_t sent() const { return sent_; }
    void stop() { thread_.request_stop(), thread_.join(); }

  private:
    static bool is_useful(const Frame& frame) {
        return frame[at::kKind] == kData || frame[at::kKind] == kAck;
    }
    std::atomic<std::uint64_t> sent_ = 0;
    std::jthread thread_;
};

struct Counted {
    const char* name;
    std::uint64_t (*of)(const wire::NodeStats&);
};
constexpr Counted kAlways[] = {
    {"other version", [](const auto& n) { return n.drops().other_version(); }},
    {"other cluster", [](const auto& n) { return n.drops().other_cluster(); }},
    {"other guest", [](const auto& n) { return n.drops().other_guest(); }},
    {"other destination", [](const auto& n) { return n.drops().other_destination(); }},
    {"malformed (truncated, oversized)", [](const auto& n) { return n.drops().malformed(); }},
    {"unprotected", [](const auto& n) { return n.drops().unprotected(); }},
};
constexpr Counted kWithoutKey[] = {
    {"stale", [](const auto& n) { return n.fabric().stale(); }},
    {"impossible acknowledgement", [](const auto& n) { return n.fabric().impossible(); }},
    {"replayed: duplicates", [](const auto& n) { return n.fabric().duplicates(); }},
};
constexpr Counted kWithKey[] = {
    {"unauthentic (all that is forged)", [](const auto& n) { return n.drops().unauthentic(); }},
    {"replayed", [](const auto& n) { return n.drops().replayed(); }},
};

class ForgedHello : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
        if (::geteuid() != 0) VSMP_SKIP() << "raw frames need root";
    }
};

class HostileFrames : public ForgedHello, public testing::WithParamInterface<Sealing> {
  protected:
    void SetUp() override {
        ForgedHello::SetUp();
        if (IsSkipped()) return;
        if (emulated()) VSMP_SKIP() << "the line of an emulated host has no rate to speak of";
        std::ofstream{key_} << "1 " << std::string(64, '7') << "\n";
        ASSERT_EQ(::chmod(key_.c_str(), 0600), 0);
    }

    template <class Nodes>
    static void expect_counted(const Nodes& stats, std::span<const Counted> kinds) {
        for (const Counted& kind : kinds) {
            std::cout << fmt::format("  {:<34}", kind.name);
            for (const auto& node : stats) {
                EXPECT_GT(kind.of(node), 0u) << kind.name;
                std::cout << fmt::format(" {:>10}", kind.of(node));
            }
            std::cout << "\n";
        }
    }

    // Until the guest has done its work; the seconds that took.
    double attack_a_guest() {
        Machine machine;
        if (GetParam() == Sealing::key) machine.settings = "<v:fabric key='" + key_ + "'/>";
        MicroGuest guest{machine, "share", {0, kVersions}, Begin::spread};
        EXPECT_TRUE(guest.ready()) << guest.transcript();
        const int process = guest.scratch().node_process(0).value();
        std::array<Intruder, 2> ends{Intruder{process, "vsmp0"}, Intruder{process, "vsmp1"}};
        const auto began = std::chrono::steady_clock::now();
        std::array<Attack, 2> attacks{Attack{ends[0], ends[1], GetParam()},
                                      Attack{ends[1], ends[0], GetParam()}};
        guest.type_line();
        wire::ControlReply stats;  // the last before the end
        for (bool runs = true; runs;) {
            wire::ControlRequest request;
            request.mutable_stats();
            auto reply = control::ask_guest(guest.scratch().name(), request);
            runs = reply && reply->has_stats();
            if (runs) stats = *std::move(reply);
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        for (Attack& attack : attacks) attack.stop();
        EXPECT_TRUE(guest.ends_well()) << guest.transcript();
        EXPECT_EQ(guest.reports(0, 1), std::vector<std::uint64_t>{kVersions});
        const std::uint64_t sent = attacks[0].sent() + attacks[1].sent();
        std::cout << fmt::format("{:.1f} s under {} hostile frames, {:.0f} a second\n",
                                 took.count(), sent, static_cast<double>(sent) / took.count());
        expect_counted(stats.stats().nodes(), kAlways);
        if (GetParam() == Sealing::key)
            expect_counted(stats.stats().nodes(), kWithKey);
        else
            expect_counted(stats.stats().nodes(), kWithoutKey);
        return took.count();
    }

    test::OwnFolder folder_;
    std::string key_ = folder_.path() + "/key";
};

// Why a wire that others can send on needs a key.
TEST_F(ForgedHello, EndsAGuestWithoutAKey) {
    MicroGuest guest{Machine{}, "share", {0, kVersions}, Begin::spread};
    ASSERT_TRUE(guest.ready()) << guest.transcript();
    const int process = guest.scratch().node_process(0).value();
    Intruder sender{process, "vsmp0"}, listener{process, "vsmp1"};
    std::optional<Frame> frame;
    // An acknowledgement alone says least: of the hello's fields only the MTU is missing.
    while (!frame || (*frame)[at::kKind] != kAck) frame = listener.capture();
    (*frame)[at::kKind] = kHello;
    put(*frame, at::kSender, get<std::uint32_t>(*frame, at::kSender) ^ 0x5555'5555);
    put(*frame, at::kLength, std::uint16_t{0});
    (*frame)[at::kFlags] = 0;
    put(*frame, at::kTotal, std::uint16_t{9000});
    sender.send(*frame);
    EXPECT_EQ(guest.wait(), 5) << guest.transcript();
    EXPECT_NE(guest.transcript().find("node 1 (local): node 0 has restarted"), std::string::npos)
        << guest.transcript();
}

TEST_P(HostileFrames, AreCountedAndHarmNobody) {
    double seconds = 0;
    int guests = 0;
    for (; seconds < seconds_under_attack() && !HasFailure(); ++guests) seconds += attack_a_guest();
    std::cout << fmt::format("{} guests unharmed in {:.1f} s under attack\n", guests, seconds);
}

INSTANTIATE_TEST_SUITE_P(Sealing, HostileFrames, testing::Values(Sealing::none, Sealing::key),
                         [](const auto& each) {
                             return std::string{each.param == Sealing::key ? "Key" : "NoKey"};
                         });

}  // namespace
}  // namespace vsmp::e2e
