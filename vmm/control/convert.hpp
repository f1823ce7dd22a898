// Our types <-> the messages of proto/control.proto. What comes from a peer is checked; what we
// send is trusted. Pure.
#pragma once

#include "proto/control.pb.h"
#include "proto/result.hpp"
#include "vmm/node/node.hpp"

namespace vsmp::control {

void to_wire(const GuestConfig& from, wire::GuestConfig& to);
Result<GuestConfig> from_wire(const wire::GuestConfig& from);

void to_wire(const NodeFacts& from, wire::NodeFacts& to);
Result<NodeFacts> from_wire(const wire::NodeFacts& from);

// Everything but the files: those follow in chunks.
void to_wire(const NodeSetup& from, wire::Prepare& to);
Result<NodeSetup> from_wire(const wire::Prepare& from);

void to_wire(const PolicyDecision& from, wire::PolicyDecision& to);
void to_wire(const NodeStats& from, wire::NodeStats& to);
NodeStats from_wire(const wire::NodeStats& from);

wire::GuestEnded::How to_wire(GuestEnd how);
GuestEnd from_wire(wire::GuestEnded::How how);  // a value unknown to us counts as crashed

}  // namespace vsmp::control
