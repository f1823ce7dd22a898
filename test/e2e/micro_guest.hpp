// A micro-guest on real nodes of this machine, run and watched from outside as a user would.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proto/control.pb.h"
#include "proto/result.hpp"
#include "test/e2e/scratch.hpp"
#include "test/vmm/control/program.hpp"

namespace vsmp::e2e {

struct Machine {
    unsigned nodes = 2;
    unsigned vcpus_per_node = 1;
    unsigned memory_mib = 16;  // of each node
    unsigned limit_mib = 0;    // of each node; 0: none
    unsigned hold_us = 0;      // 0: the default
    std::string policy = "always-fetch";
    std::string link = "type='auto'";   // '@' stands for the node's number
    std::string settings = {};          // more of <cluster>, the prefix is "v"
    std::chrono::seconds patience{90};  // with the whole run; more on an emulated host

    unsigned vcpus() const { return nodes * vcpus_per_node; }
};

// Domain XML for it, `kernel` and `command_line` as they are.
std::string domain_xml(const Machine& machine, const std::string& name, const std::string& kernel,
                       const std::string& command_line);

enum class Begin : std::uint8_t {
    spread,   // at a typed line, each vCPU having been shipped to its own node
    at_gate,  // at a typed line, all vCPUs on node 0
    at_once,  // all vCPUs on node 0
};

class MicroGuest {
  public:
    // Starts `program`. Its vCPUs wait at the gate of test/micro/entry.cpp, or begin at once.
    MicroGuest(const Machine& machine, const std::string& program,
               std::vector<std::uint64_t> arguments, Begin begin);

    // Waits until every vCPU runs (is at the gate, if there is one) and is where it belongs.
    [[nodiscard]] bool ready();
    // What the vCPUs wait for at the gate, and what ends `avx` when its argument 4 is set.
    void type_line() { run_.type("\n"); }
    // Waits for the end of vsmp-run: its exit status.
    int wait() { return run_.wait(); }
    // wait(), and all is well: status 0, every vCPU finished with status 0.
    [[nodiscard]] bool ends_well();

    // Ships and waits until the vCPU is there (at most 10 s). False: it is not, or was there
    // before.
    [[nodiscard]] bool move(unsigned vcpu, unsigned node);
    Result<wire::ControlReply> ship(unsigned vcpu, unsigned node);
    // The node that a vCPU is on; -1: on its way, or the guest has ended.
    int whereabouts(unsigned vcpu);
    std::vector<wire::NodeStats> stats();
    // Runs vsmpctl; what it printed.
    std::string vsmpctl(std::vector<std::string> words, int expected_status = 0);

    // After the end: what vCPU reported under `code`, in order.
    std::vector<std::uint64_t> reports(unsigned vcpu, unsigned code) const;

    control::Program& run() { return run_; }
    Scratch& scratch() { return scratch_; }
    std::string transcript() const { return run_.output + run_.errors; }

  private:
    std::vector<std::string> command(const Machine& machine, const std::string& program,
                                     std::vector<std::uint64_t> arguments, Begin begin) const;
    Result<int> find(unsigned vcpu);
    Result<wire::ControlReply> ask(const wire::ControlRequest& request) const;

    Machine machine_;
    Begin begin_;
    Scratch scratch_;
    control::Program run_;
};

}  // namespace vsmp::e2e
