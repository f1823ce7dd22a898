// One vCPU scans an array again and again that another has written on its own node.
//
// Arguments: 0 pages (4096), 1 passes (16).
// Kind 0, vCPU 0: pages scanned. Failures: parts.hpp.
#include "test/micro/loads/parts.hpp"

namespace micro {
namespace {

Start start;

void scan(const Load& load, const Array& array, u64 passes) {
    Meter meter{load, 0};
    meter.begin();
    for (u64 i = 0; i < passes * array.pages() && meter.elapsed() < load.limit(); ++i) {
        array.check(i % array.pages());
        meter.count(1);
    }
    meter.end();
    meter.tell();
}

}  // namespace

Status run(const Guest& guest) {
    const Load load{guest};
    const Array array{load, load.node_of_data(guest.vcpus - 1), load.argument(0, 4096)};
    if (guest.vcpu == guest.vcpus - 1) array.fill(1);
    start.wait(load);
    if (guest.vcpu == 0) scan(load, array, load.argument(1, 16));
    return load.done();
}

}  // namespace micro
