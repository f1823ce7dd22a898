// What is ordered with what. The frames of one stream are delivered in the order they were sent;
// different streams do not wait for each other, except that nothing overtakes a frame of the node
// stream. docs/PROTOCOL.md, "Order and urgency", has the reasons.
#pragma once

#include <cstdint>

#include "dpdk_transport/fabric.hpp"

namespace vsmp::fabric {

enum class Stream : std::uint8_t {
    node,       // device: accesses to devices, addresses of local APICs
    vcpu,       // vcpu, with its interrupts; locality: what was learned of it goes ahead of it
    coherence,  // requests, grants, invalidations
    clock,
    page,  // contents that may be overtaken
    test,
};
inline constexpr std::size_t kStreams = 6;

constexpr Stream stream_of(Channel channel) {
    switch (channel) {
        case Channel::device:
            return Stream::node;
        case Channel::vcpu:
        case Channel::locality:
            return Stream::vcpu;
        case Channel::coherence:
            return Stream::coherence;
        case Channel::clock:
            return Stream::clock;
        case Channel::page:
            return Stream::page;
        case Channel::test:
            break;
    }
    return Stream::test;
}

// What goes first when several messages wait for one peer.
enum class Urgency : std::uint8_t {
    node,    // before all others: they may depend on it
    urgent,  // somebody waits for it
    bulk,
};
inline constexpr std::size_t kUrgencies = 3;

constexpr Urgency urgency_of(Stream stream) {
    switch (stream) {
        case Stream::node:
            return Urgency::node;
        case Stream::vcpu:
        case Stream::coherence:
        case Stream::clock:
            return Urgency::urgent;
        case Stream::page:
        case Stream::test:
            break;
    }
    return Urgency::bulk;
}

}  // namespace vsmp::fabric
