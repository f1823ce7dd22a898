// Links and what is counted of them, on the control connection; the rest is in convert.hpp. From a
// peer: whatever makes no sense is an error.
#pragma once

#include <string>
#include <vector>

#include "proto/control.pb.h"
#include "proto/result.hpp"
#include "vmm/node/node.hpp"

namespace vsmp::control {

Error malformed(const char* what);

void to_wire(const LinkConfig& from, wire::Link& to);
Result<LinkConfig> from_wire(const wire::Link& from);
void to_wire(const FabricConfig& from, wire::FabricConfig& to);
Result<FabricConfig> from_wire(const wire::FabricConfig& from);
void to_wire(const fabric::PeerCounters& from, wire::LinkCounters& to);
fabric::PeerCounters from_wire(const wire::LinkCounters& from);
// All but the peer.
void to_wire(const fabric::PathStats& from, wire::PathStats& to);
fabric::PathStats from_wire(const wire::PathStats& from);
void to_wire(const fabric::DropCounters& from, wire::DropCounters& to);
fabric::DropCounters from_wire(const wire::DropCounters& from);

// "af_packet veth0", "vhost-user /run/x", "pci 0000:01:00.0", "auto": for messages. Of several,
// with commas between them.
std::string describe(const LinkConfig& link);
std::string describe(const std::vector<LinkConfig>& links);

}  // namespace vsmp::control
