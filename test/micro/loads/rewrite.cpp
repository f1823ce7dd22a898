// One vCPU passes over all pages of memory and rewrites each, as a memory compactor does; the
// others, if there are any, work on data of their own and meet after every phase.
//
// Arguments: 0 ms from the begin of a pass to the next one's (0: at once), 1 passes (4);
//            2 pages of each of the others (64), 3 their passes in a phase (5000), 4 phases (40).
// Kind 0: phases of the others; with none, pages rewritten. Kind 1: pages rewritten beside them.
// Failures: parts.hpp.
#include "test/micro/loads/parts.hpp"

namespace micro {
namespace {

Start start;
alignas(kPageBytes) u64 workers_in = 0;
alignas(kPageBytes) u64 workers_done = 0;
alignas(kPageBytes) u64 stop_after = ~u64{0};

void rewrite(u64* page) {
    asm volatile("lock orq $0, %0" : "+m"(*page) : : "memory");
}

// The others meet without vCPU 0.
void meet(const Load& load_) {
    const u64 others = load_.guest().vcpus - 1;
    const u64 arrival = add(&workers_in, 1);
    const u64 last_of_round = (arrival + others - 1) / others * others;
    while (load(&workers_in) < last_of_round) load_.sleep_us(250);
}

void work(const Load& load_) {
    Private own{load_, 0, load_.argument(2, 64)};
    const u64 passes = load_.argument(3, 5000), phases = load_.argument(4, 40);
    Meter meter{load_, 0};
    meter.begin();
    while (meter.units() < phases && meter.units() < load(&stop_after)) {
        for (u64 i = 0; i < passes; ++i) own.pass();
        meter.count(1);
        if (load_.guest().vcpu == 1 && meter.elapsed() > load_.limit())
            store(&stop_after, meter.units());
        meet(load_);
    }
    meter.end();
    add(&workers_done, 1);
    own.check();
    meter.tell();
}

void pass_over(const Load& load_, Meter& meter, u64 nodes) {
    for (u64 node = 0; node < nodes; ++node)
        for (u64 p = 0; p < load_.pages_of_node(); ++p) {
            rewrite(load_.page(node, p));
            meter.count(1);
        }
}

}  // namespace

Status run(const Guest& guest) {
    const Load load_{guest};
    const u64 period = load_.ticks_of_ms(guest.arguments[0]), passes = load_.argument(1, 4);
    const u64 others = guest.vcpus - 1;
    start.wait(load_);
    if (guest.vcpu != 0) {
        work(load_);
        return load_.done();
    }
    Meter meter{load_, others == 0 ? 0u : 1u};
    meter.begin();
    for (u64 i = 0; others == 0 ? i < passes : load(&workers_done) < others; ++i) {
        const u64 begin = meter.elapsed();
        if (begin > load_.limit() && others == 0) break;
        pass_over(load_, meter, load_.nodes());
        while (meter.elapsed() - begin < period && (others == 0 || load(&workers_done) < others))
            load_.sleep_us(5000);
    }
    meter.end();
    meter.tell();
    return load_.done();
}

}  // namespace micro
