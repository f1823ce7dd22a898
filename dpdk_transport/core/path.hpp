// One way to a peer: a port of ours and what is behind it. Finds the peer (hello, welcome), how
// large frames may be (probes), and whether a way that went silent is there again (probes, too).
// Pure.
//
//   unknown --hello or welcome of the peer--> alive <--> suspect
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/link_timing.hpp"

namespace vsmp::fabric {

class Path {
  public:
    enum class State : std::uint8_t { unknown, alive, suspect };

    // `mtu`: largest Ethernet payload of the port; `smallest`: of a frame without a payload.
    Path(const LinkTiming& timing, std::size_t mtu, std::size_t smallest);

    // The peer's hello or welcome came, which names its port's MTU.
    void meet(std::uint16_t mtu);
    void hello_came() { welcome_due_ = true; }
    // Something came by which the peer shows that it knows us here.
    void confirm() { confirmed_ = true; }
    void probe_came(std::uint16_t mtu);
    // How long the answer took, where that is known.
    std::optional<Duration> probe_acked(std::uint16_t mtu, Instant now);
    void suspect();

    enum class LinkState : std::uint8_t { connecting, up };
    void tick(LinkState link, Instant now);
    struct Due {
        FrameKind kind{};
        std::uint16_t mtu = 0;
    };
    // What is to be sent over it besides data. The same until sent() says that it went.
    bool has_due() const {
        return welcome_due_ || hello_due_ || answer_count_ > 0 || probes_due_ > 0;
    }
    Due due() const;  // if it has one
    void sent(const Due& due, LinkState link, Instant now);
    std::optional<Instant> next_deadline(LinkState link) const;

    State state() const { return state_; }
    bool known() const { return state_ != State::unknown; }
    // Largest Ethernet payload known to arrive.
    std::size_t mtu() const { return proven_; }
    // What both ends have; what the path carries should it prove to be less.
    std::size_t agreed_mtu() const { return agreed_; }
    bool swallows_large_frames() const { return known() && proven_ < agreed_ && round_ >= kRounds; }

  private:
    // Rounds of probes until the path is known to swallow what was never answered.
    static constexpr unsigned kRounds = 8;
    static constexpr std::size_t kSizes = 4;  // asked about at once

    bool wants_probes(LinkState link) const;
    std::uint16_t probe_size(std::size_t index) const;

    LinkTiming timing_;
    std::uint16_t own_mtu_, smallest_;
    State state_ = State::unknown;
    bool confirmed_ = false;
    std::uint16_t agreed_ = 0, proven_ = 0;

    bool hello_due_ = false, welcome_due_ = false;
    Instant hello_at_{};
    Duration hello_interval_;

    unsigned round_ = 0;               // of probes for the size
    std::size_t probes_due_ = 0;       // of this round
    Instant probe_at_{};               // the next round
    std::optional<Instant> asked_at_;  // the first round, while it may be answered
    Duration probe_interval_;

    std::array<std::uint16_t, kSizes + 1> answers_{};  // sizes to be answered
    std::size_t answer_count_ = 0;
};

}  // namespace vsmp::fabric
