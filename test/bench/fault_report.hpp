// What bench_fault measured, made into medians, floors and ratios. Pure.
#pragma once

#include <string>
#include <vector>

namespace vsmp::bench {

// All samples in microseconds, over all rounds.
struct FaultReport {
    std::string port;
    unsigned rounds = 0;
    double interval_us = 0;
    std::vector<double> local, read_fetch, upgrade, write_fetch, zero_fetch, ship;
    std::vector<double> mapped;  // KVM faults on what the host has mapped; for comparison only
    std::vector<double> plain;   // a userfault of a thread, without KVM; for comparison only
    // Round trips over the bare port: both ways small, a page, a vCPU's state.
    std::vector<double> raw_small, raw_page, raw_ship;
    std::size_t ship_frame_bytes_max = 0;
};

std::string to_table(const FaultReport& report);
std::string to_json(const FaultReport& report);

}  // namespace vsmp::bench
