// What bench_hotspot measured, beside what would be ideal. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vsmp::bench {

// One run: vCPUs, one on each node, that increment adjacent words of one page.
struct HotspotRun {
    unsigned vcpus = 0;
    double hold_us = 0;            // as configured
    double effective_hold_us = 0;  // longest of the nodes, at half time
    double seconds = 0;
    double undisturbed_per_us = 0;  // increments of one vCPU that has the page
    double hand_over_us = 0;        // to fetch a page that another node has written
    std::vector<std::uint64_t> increments = {}, turns = {};  // by vCPU

    // The least vCPU's increments over a fair share.
    double least_share() const;
    double per_us() const;
    // Only who has the page works: in turn `hold` long, then one hand-over in which nobody does.
    double ideal_per_us() const {
        return undisturbed_per_us * effective_hold_us / (effective_hold_us + hand_over_us);
    }
    double hand_overs_per_s() const;
};

std::string to_table(const std::vector<HotspotRun>& runs);
std::string to_json(const std::vector<HotspotRun>& runs);

}  // namespace vsmp::bench
