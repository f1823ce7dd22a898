// What bench_fabric found, for people and for machines.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "proto/time.hpp"

namespace vsmp::fabric {

// Of durations: {"median_us", "p99_us", "p999_us", "samples"}.
nlohmann::json summary(std::vector<Duration> samples);

// `port_document` as bench_fabric's stages fill it in; adds "rtt_over_port" and
// "goodput_over_port" for every wire that is the fabric's.
void add_ratios(nlohmann::json& port_document);

std::string to_table(const nlohmann::json& document);

}  // namespace vsmp::fabric
