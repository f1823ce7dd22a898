// Phases of a second each: one vCPU scans an array that another has just written, all use one
// table, all work on data of their own; and again.
//
// Arguments: 0 pages of the array (2048), 1 pages of the table (256), 2 private pages (64),
//            3 ms of a phase (1000), 4 times all three (2).
// Kinds: 0 pages scanned, by vCPU 0; 1 thousands of look-ups; 2 private passes.
// Failures: parts.hpp.
#include "test/micro/loads/parts.hpp"

namespace micro {
namespace {

constexpr u64 kBatch = 100;  // thousands of look-ups for each write
constexpr u64 kPasses = 50;

Start start;
MeetingPoint meeting;

template <class Work>
void phase(const Load& load, Meter& meter, u64 ms, Work work) {
    meeting.wait(load);
    meter.begin();
    while (meter.elapsed() < load.ticks_of_ms(ms)) meter.count(work());
    meter.end();
}

}  // namespace

Status run(const Guest& guest) {
    const Load load{guest};
    const u64 table_pages = load.argument(1, 256), private_pages = load.argument(2, 64);
    const u64 ms = load.argument(3, 1000), rounds = load.argument(4, 2);
    const bool owner = guest.vcpu == guest.vcpus - 1;
    const u64 table_at = load.argument(0, 2048);
    const Array array{load, load.node_of_data(guest.vcpus - 1), table_at};
    const Table table{load, 0, table_at, table_pages};
    Private own{load, table_at + table_pages, private_pages};
    if (guest.vcpu == 0) table.fill();
    Meter scanned{load, 0}, looked_up{load, 1}, passed{load, 2};
    Dice dice{guest.vcpu};
    start.wait(load);
    for (u64 round = 0; round < rounds; ++round) {
        if (owner) array.fill(round);
        u64 page = 0;
        meeting.wait(load);
        if (guest.vcpu == 0) {
            scanned.begin();
            while (scanned.elapsed() < load.ticks_of_ms(ms)) {
                array.check(page++ % array.pages());
                scanned.count(1);
            }
            scanned.end();
        }
        phase(load, looked_up, ms, [&] {
            table.use(dice, kBatch * 1000);
            return kBatch;
        });
        phase(load, passed, ms, [&] {
            for (u64 i = 0; i < kPasses; ++i) own.pass();
            return kPasses;
        });
    }
    own.check();
    if (guest.vcpu == 0) scanned.tell();
    looked_up.tell();
    passed.tell();
    return load.done();
}

}  // namespace micro
