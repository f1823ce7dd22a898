#include "locality_ml/replay.hpp"

namespace vsmp::locality {

Result<ReplayResult> replay(ByteView bytes, Policy& policy) {
    VSMP_TRY_ASSIGN(TraceReader trace, TraceReader::open(bytes));
    ReplayResult result;
    const auto note = [&](bool same) {
        if (!same && result.differing++ == 0) result.first_difference = result.decisions;
        ++result.decisions;
    };
    for (;;) {
        VSMP_TRY_ASSIGN(const auto record, trace.next());
        if (!record) return result;
        if (const auto* decided = std::get_if<Decided>(&*record))
            note(policy.decide(decided->fault) == decided->decision);
        else if (const auto* placed = std::get_if<Placed>(&*record))
            note(policy.place(placed->activity) == placed->placement);
        else if (const auto* loads = std::get_if<LoadsTold>(&*record))
            policy.on_loads(std::span{loads->loads}.first(loads->count), loads->now);
        else
            policy.observe(std::get<Told>(*record).what);
    }
}

}  // namespace vsmp::locality
