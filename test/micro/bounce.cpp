// All vCPUs write to one page at once: an atomic counter, and a plain counter for each of them in
// adjacent words. A lost update is seen in the sums.
//
// Arguments: 0 the page's address, 1 increments for each vCPU (10000).
// Reports: 1 = the atomic counter at the end.
// Failures: 1 = wrong atomic sum; 2 = wrong plain count of this vCPU; values: what was found.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

Barrier barrier;

}  // namespace

Status run(const Guest& guest) {
    u64* page = words_at(guest.argument(0, kDefaultArea));
    const u64 increments = guest.argument(1, 10000);
    u64* own = page + 1 + guest.vcpu;
    for (u64 i = 0; i < increments; ++i) {
        add(page, 1);
        // Plain, but really one load and one store each time.
        asm volatile("incq %0" : "+m"(*own));
    }
    barrier.wait(guest);
    const u64 sum = load(page);
    if (sum != increments * guest.vcpus) fail(1, sum);
    if (load(own) != increments) fail(2, load(own));
    report(1, sum);
    return kGood;
}

}  // namespace micro
