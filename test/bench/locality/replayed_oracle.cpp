#include "test/bench/locality/replayed_oracle.hpp"

#include <filesystem>
#include <fstream>

#include "locality_ml/policies.hpp"
#include "locality_ml/replay.hpp"

namespace vsmp::bench {
namespace {

constexpr const char* kPlanned = "always-fetch";
constexpr std::uint64_t kEnoughShips = 4;  // for their mean to mean something

Result<void> check_replay(const std::string& name, ByteView bytes) {
    VSMP_TRY_ASSIGN(const locality::TraceReader trace, locality::TraceReader::open(bytes));
    const locality::TraceHeader& header = trace.header();
    VSMP_TRY_ASSIGN(const auto policy, locality::make_policy(header.policy, header.setup));
    VSMP_TRY_ASSIGN(const locality::ReplayResult result, locality::replay(bytes, *policy));
    if (result.differing == 0) return {};
    return Error{name + ": replayed, " + std::to_string(result.differing) + " of " +
                 std::to_string(result.decisions) + " decisions differ, the first is number " +
                 std::to_string(*result.first_difference)};
}

}  // namespace

Result<locality::RecordedRun> read_traces(const std::string& folder) {
    std::vector<std::vector<std::byte>> files;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
        const std::string name = entry.path();
        // The first policy of each node only prepared (load_run.cpp).
        if (!name.ends_with(".2.trace")) continue;
        std::ifstream file{name, std::ios::binary};
        const std::vector<char> text{std::istreambuf_iterator<char>{file}, {}};
        const auto bytes = std::as_bytes(std::span{text});
        VSMP_TRY(check_replay(name, bytes));
        files.emplace_back(bytes.begin(), bytes.end());
    }
    if (files.empty()) return Error{"no traces in " + folder};
    const std::vector<ByteView> views{files.begin(), files.end()};
    return locality::read_run(views);
}

LoadResult replayed_oracle(const Round& round) {
    double stall = 0, ships = 0;
    for (const auto& [policy, one] : round) {
        if (one.run.costs.ships < kEnoughShips) continue;
        const auto weight = static_cast<double>(one.run.costs.ships);
        stall += one.run.costs.stall_away * weight;
        ships += weight;
    }
    auto planned = round.find(kPlanned);
    if (planned == round.end()) planned = round.begin();
    locality::RecordedRun run = planned->second.run;
    if (ships > 0) run.costs.stall_away = stall / ships;
    const auto own = static_cast<double>(locality::as_recorded(run).time.count());
    const locality::Modelled plan = locality::oracle(run);
    LoadResult result;
    result.seconds = planned->second.result.seconds;
    if (own > 0) result.seconds *= static_cast<double>(plan.time.count()) / own;
    result.fetches = plan.fetches;
    result.ships = plan.ships;
    return result;
}

}  // namespace vsmp::bench
