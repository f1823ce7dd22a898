// A workload of bench_locality, as a file of loads/ describes it: lines "key = value", '#' begins a
// comment.
//
//   row        what the table calls it
//   guest      program of test/micro/loads/, "load_" + its file's name
//   memory     MiB of each node
//   begin      for each vCPU the node on which it begins
//   data       for each vCPU the node where its data lives; left out: as `begin`
//   arguments  of the program; left out: its own
//   ms         that the work may take; left out: 2000
//   quota      for each kind of work the units that make up the job
//
// The job's time is, summed over the kinds, quota / (units done in a second by all vCPUs).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/result.hpp"

namespace vsmp::bench {

struct LoadFile {
    std::string row, guest;
    unsigned memory_mib = 32;
    std::vector<unsigned> begin, data;  // by vCPU
    std::vector<std::uint64_t> arguments;
    std::uint64_t ms = 2000;
    std::vector<double> quota;  // by kind

    unsigned nodes() const;
};

Result<LoadFile> parse_load(const std::string& text);
// All *.load of a folder, in the order of their file names.
Result<std::vector<LoadFile>> read_loads(const std::string& folder);

}  // namespace vsmp::bench
