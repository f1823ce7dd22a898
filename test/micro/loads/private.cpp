// Every vCPU works on data of its own; they meet after every phase.
//
// Arguments: 0 pages of each vCPU (64), 1 passes in a phase (5000), 2 phases (40).
// Kind 0: phases. Failures: parts.hpp.
#include "test/micro/loads/parts.hpp"

namespace micro {
namespace {

Start start;
MeetingPoint phase_over;
alignas(kPageBytes) u64 stop_after = ~u64{0};  // vCPU 0 decides, before it meets the others

}  // namespace

Status run(const Guest& guest) {
    const Load load_{guest};
    Private own{load_, 0, load_.argument(0, 64)};
    const u64 passes = load_.argument(1, 5000), phases = load_.argument(2, 40);
    Meter meter{load_, 0};
    start.wait(load_);
    meter.begin();
    while (meter.units() < phases && meter.units() < load(&stop_after)) {
        for (u64 i = 0; i < passes; ++i) own.pass();
        meter.count(1);
        if (guest.vcpu == 0 && meter.elapsed() > load_.limit()) store(&stop_after, meter.units());
        phase_over.wait(load_);
    }
    meter.end();
    own.check();
    meter.tell();
    return load_.done();
}

}  // namespace micro
