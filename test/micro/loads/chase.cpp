// One vCPU follows pointers through a graph whose pages are spread over all nodes, one vertex a
// page. Where it goes next depends on what the page says.
//
// Arguments: 0 pages on each node (2048), 1 hops (20000), 2 pages of a community, all on one node
//            (0: none), 3 hops until it leaves one, on average (1000).
// Kind 0, vCPU 0: hops. Failures: 5 = a vertex is not what was written; value: its address.
#include "test/micro/loads/load.hpp"

namespace micro {
namespace {

constexpr Status kBadVertex = 5;

Start start;

struct Graph {
    const Load& load_;
    u64 nodes, pages_each, community, stay;

    u64 vertices() const { return nodes * pages_each; }
    u64* vertex(u64 v) const { return load_.page(v / pages_each, v % pages_each); }

    void fill(u64 node) const {
        for (u64 v = node * pages_each; v < (node + 1) * pages_each; ++v)
            for (u64 i = 0; i < kWords; ++i) vertex(v)[i] = mix(v, i, 17);
    }
    u64 next(u64 v, u64 hop) const {
        const u64* words = vertex(v);
        const u64 says = words[hop % kWords];
        if (says != mix(v, hop % kWords, 17)) fail(kBadVertex, reinterpret_cast<u64>(words));
        const u64 die = mix(says, hop, 19);
        if (community == 0 || die % stay == 0) return (die >> 32) % vertices();
        return v / community * community + (die >> 32) % community;
    }
};

}  // namespace

Status run(const Guest& guest) {
    const Load load_{guest};
    const Graph graph{.load_ = load_,
                      .nodes = guest.vcpus,
                      .pages_each = load_.argument(0, 2048),
                      .community = guest.arguments[2],
                      .stay = load_.argument(3, 1000)};
    const u64 hops = load_.argument(1, 20000);
    graph.fill(load_.node_of_data(guest.vcpu));
    start.wait(load_);
    if (guest.vcpu != 0) return load_.done();
    Meter meter{load_, 0};
    meter.begin();
    for (u64 at = 0; meter.units() < hops && meter.elapsed() < load_.limit();) {
        at = graph.next(at, meter.units());
        meter.count(1);
    }
    meter.end();
    meter.tell();
    return load_.done();
}

}  // namespace micro
