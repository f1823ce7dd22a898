// One vCPU writes versions, all others read them and acknowledge each on a page of their own. The
// writer reads before it writes, so that it has the page shared first and upgrades it.
//
// Arguments: 0 first page's address (1 + vCPUs pages are used), 1 versions (1000).
// Reports: 1 = versions seen (readers) or written (vCPU 0).
// Failures: 1 = a version went backwards; 2 = the second copy was newer than the first;
//           3 = the writer read something else than it had written.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

// `second` is written after `first`, on the same page: whoever reads second and then first must
// not find first older. They lie on different cache lines.
struct alignas(kPageBytes) Shared {
    u64 first;
    u64 padding[31];
    u64 second;
};

u64* acknowledgement(u64 area, u64 vcpu) {
    return words_at(area + vcpu * kPageBytes);
}

void write_versions(const Guest& guest, u64 area, Shared* shared, u64 versions) {
    for (u64 version = 1; version <= versions; ++version) {
        if (load(&shared->first) != version - 1) fail(3, load(&shared->first));
        store(&shared->first, version);
        store(&shared->second, version);
        for (u64 reader = 1; reader < guest.vcpus; ++reader)
            while (load(acknowledgement(area, reader)) < version) pause();
    }
}

u64 read_versions(const Guest& guest, u64 area, const Shared* shared, u64 versions) {
    u64 seen = 0, reads = 0;
    while (seen < versions) {
        const u64 second = load(&shared->second);
        const u64 first = load(&shared->first);
        ++reads;
        if (second < seen) fail(1, second);
        if (first < second) fail(2, first);
        if (second == seen) {
            pause();
            continue;
        }
        seen = second;
        store(acknowledgement(area, guest.vcpu), seen);
    }
    return reads;
}

}  // namespace

Status run(const Guest& guest) {
    const u64 area = guest.argument(0, kDefaultArea), versions = guest.argument(1, 1000);
    auto* shared = reinterpret_cast<Shared*>(area);
    if (guest.vcpu == 0) {
        write_versions(guest, area, shared, versions);
        report(1, versions);
    } else {
        report(1, read_versions(guest, area, shared, versions));
    }
    return kGood;
}

}  // namespace micro
