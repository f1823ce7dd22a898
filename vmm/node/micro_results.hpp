// Collects what a micro-guest's vCPUs report, and finds out how it ended.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "vmm/node/node.hpp"
#include "vmm/node/node_message.hpp"

namespace vsmp {

// Any thread.
class MicroResults {
  public:
    explicit MicroResults(std::size_t vcpu_count) : finished_(vcpu_count, false) {}

    // One line about the report, for the console:
    //   micro vcpu=0 report code=1 value=0x2a
    //   micro vcpu=0 finish status=0 value=0x0
    std::string add(const MicroReport& report);

    struct End {
        GuestEnd how;
        std::string detail;
    };
    // Once every vCPU has finished: power_off if all statuses were 0, else crashed.
    std::optional<End> end() const;

  private:
    mutable std::mutex mutex_;
    std::vector<bool> finished_;
    std::size_t finished_count_ = 0;
    std::string failures_;
};

}  // namespace vsmp
