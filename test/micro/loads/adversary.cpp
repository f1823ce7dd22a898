// vCPU 0 writes some pages of one node, then some of the next, and so on; the other vCPUs keep
// taking those of their nodes back. Wherever it is, what it needs next is soon elsewhere: a policy
// that follows the pages never rests.
//
// Arguments: 0 pages in a round, all of one node (16); 1 rounds (400).
// Kind 0, vCPU 0: pages written. Failures: 6 = a write was lost; value: its address.
#include "test/micro/loads/load.hpp"

namespace micro {
namespace {

constexpr Status kLost = 6;

Start start;
alignas(kPageBytes) u64 over = 0;

// Words of a page that vCPU 0 and the others count in.
constexpr u64 kMine = 0, kTheirs = 64;

void take_back(const Load& load_, u64 pages) {
    const u64 node = load_.node_of_data(load_.guest().vcpu);
    while (load(&over) == 0) {
        for (u64 p = 0; p < pages; ++p) add(load_.page(node, p) + kTheirs, 1);
        load_.sleep_us(2000);
    }
}

}  // namespace

Status run(const Guest& guest) {
    const Load load_{guest};
    const u64 pages = load_.argument(0, 16), rounds = load_.argument(1, 400);
    start.wait(load_);
    if (guest.vcpu != 0) {
        take_back(load_, pages);
        return load_.done();
    }
    Meter meter{load_, 0};
    meter.begin();
    u64 done = 0;
    for (; done < rounds && meter.elapsed() < load_.limit(); ++done)
        for (u64 p = 0; p < pages; ++p) {
            add(load_.page(done % load_.nodes(), p) + kMine, 1);
            meter.count(1);
        }
    meter.end();
    store(&over, 1);
    u64 sum = 0;
    for (u64 node = 0; node < load_.nodes(); ++node) sum += load(load_.page(node, 0) + kMine);
    if (sum != done) fail(kLost, sum);
    meter.tell();
    return load_.done();
}

}  // namespace micro
