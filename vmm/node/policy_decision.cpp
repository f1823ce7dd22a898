#include "vmm/node/policy_decision.hpp"

namespace vsmp {

PolicyDecision to_decision(const locality::Explanation& from, Instant now) {
    PolicyDecision decision{.policy = std::string{from.policy},
                            .why = std::string{from.why},
                            .ago = {},
                            .page = from.page,
                            .location = from.location,
                            .shipped_to = from.shipped_to,
                            .numbers = {}};
    if (from.when == Instant{}) return decision;
    decision.ago = now - from.when;
    const auto add = [&](const char* name, auto value) {
        if (value != 0) decision.numbers.emplace_back(name, static_cast<double>(value));
    };
    add("a fetch costs, us", from.fetch_us);
    add("a ship costs, us", from.ship_us);
    add("a stay there, us", from.useful_us);
    add("share of time waiting, here", from.stall_here);
    add("share of time waiting, there", from.stall_there);
    add("share of a CPU, here", from.share_here);
    add("share of a CPU, there", from.share_there);
    add("pages prefetched", from.prefetched);
    add("prefetched pages that were used", from.prefetch_accuracy);
    add("needs that were foreseen", from.coverage);
    add("faults so far", from.faults);
    add("ships so far", from.ships);
    add("explored", from.explored);
    add("phases seen", from.phases);
    return decision;
}

}  // namespace vsmp
