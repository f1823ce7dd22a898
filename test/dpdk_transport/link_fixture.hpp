// Two ends of a link and a clock; frames go only when the test lets them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "dpdk_transport/core/link.hpp"

namespace vsmp::fabric {

using namespace std::chrono_literals;

inline ByteView view(const std::string& text) {
    return std::as_bytes(std::span{text});
}

inline LinkTiming small_timing() {
    LinkTiming timing;
    timing.window = 16;
    timing.high_water = 4;
    timing.queue_limit = 6;
    return timing;
}

class LinkTest : public testing::Test {
  protected:
    struct Wire {
        std::size_t path = 0;
        FrameHeader header;
        std::vector<std::byte> payload;
    };
    using Frames = std::vector<Wire>;

    Frames sent_by(Link& link) {
        Frames frames;
        link.tick(now);
        while (const Link::Outgoing* outgoing = link.next(now)) {
            frames.push_back({outgoing->path,
                              outgoing->header,
                              {outgoing->payload.begin(), outgoing->payload.end()}});
            link.transmitted(now);
        }
        return frames;
    }
    void give(Link& link, const Wire& frame) {
        const auto deliver = [&](NodeId, Channel, ByteView payload) {
            std::string text;
            for (std::byte byte : payload) text += static_cast<char>(byte);
            got.push_back(text);
        };
        link.receive(frame.path, frame.header, frame.payload, now, deliver);
        link.tick(now);  // as who owns a link does before he sleeps
    }
    void give(Link& link, const Frames& frames) {
        for (const Wire& frame : frames) give(link, frame);
    }
    // Until nobody has anything to say; what `passes` refuses is lost.
    template <class Passes>
    void settle(Link& left, Link& right, Passes passes) {
        for (bool any = true; any;) {
            any = false;
            for (Link* from : {&left, &right}) {
                for (const Wire& frame : sent_by(*from)) {
                    any = true;
                    if (passes(frame)) give(from == &left ? right : left, frame);
                }
            }
        }
    }
    void settle(Link& left, Link& right) {
        settle(left, right, [](const Wire&) { return true; });
    }
    void connect() {
        settle(a, b);
        ASSERT_EQ(a.state(), PeerState::up);
        ASSERT_EQ(b.state(), PeerState::up);
    }
    void send(Link& link, const std::string& text, Channel channel = Channel::test) {
        link.send(channel, view(text), {});
    }

    Instant now{1h};
    LinkTiming timing = small_timing();
    Link a{{NodeId{0}, NodeId{1}, LinkIncarnation{11}}, timing};
    Link b{{NodeId{1}, NodeId{0}, LinkIncarnation{22}}, timing};
    std::vector<std::string> got;
};

}  // namespace vsmp::fabric
