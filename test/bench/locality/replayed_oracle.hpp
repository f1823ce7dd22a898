// What a plan that knows the future would have made of a row of the table, from the traces that the
// row's own runs recorded.
#pragma once

#include <map>
#include <string>

#include "locality_ml/model.hpp"
#include "test/bench/locality/load_run.hpp"

namespace vsmp::bench {

// Of the policies measured, and that every node decides again as it did (bit for bit): a difference
// is an error.
Result<locality::RecordedRun> read_traces(const std::string& folder);

struct RecordedLoad {
    LoadResult result;
    locality::RecordedRun run;
};
using Round = std::map<std::string, RecordedLoad>;  // by policy

// The plan (locality_ml/model.hpp) for the round's run that shows most needs, always-fetch's if
// there is one: with costs fitted from that run, but what a ship does to the time after it fitted
// from the round's runs that shipped. It knows no pages that were touched without a fault, and
// takes the other vCPUs as they were. Its seconds are those of the run it is made for, times the
// plan's time / the run's own, both as modelled.
LoadResult replayed_oracle(const Round& round);

}  // namespace vsmp::bench
