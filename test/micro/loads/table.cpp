// All vCPUs look entries of a table up, and rarely write one.
//
// Arguments: 0 pages (256), 1 look-ups of each vCPU in units of 1000 (20000), 2 look-ups for each
// write in units of 1000 (100).
// Kind 0: thousands of look-ups. Failures: parts.hpp.
#include "test/micro/loads/parts.hpp"

namespace micro {
namespace {

Start start;

}  // namespace

Status run(const Guest& guest) {
    const Load load{guest};
    const Table table{load, 0, 0, load.argument(0, 256)};
    const u64 quota = load.argument(1, 20000), batch = load.argument(2, 100);
    if (guest.vcpu == 0) table.fill();
    start.wait(load);
    Dice dice{guest.vcpu};
    Meter meter{load, 0};
    meter.begin();
    while (meter.units() < quota && meter.elapsed() < load.limit()) {
        table.use(dice, batch * 1000);
        meter.count(batch);
    }
    meter.end();
    meter.tell();
    return load.done();
}

}  // namespace micro
