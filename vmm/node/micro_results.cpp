#include "vmm/node/micro_results.hpp"

#include <fmt/format.h>

#include "vmm/boot/micro.hpp"

namespace vsmp {

std::string MicroResults::add(const MicroReport& report) {
    const unsigned vcpu = report.vcpu.value();
    if (report.port != boot::kFinishPort)
        return fmt::format("micro vcpu={} report code={} value={:#x}\n", vcpu, report.code,
                           report.value);
    std::lock_guard lock{mutex_};
    if (!finished_[vcpu]) {
        finished_[vcpu] = true;
        ++finished_count_;
    }
    if (report.code != 0)
        failures_ += fmt::format("{}vCPU {} finished with status {:#x}, value {:#x}",
                                 failures_.empty() ? "" : "; ", vcpu, report.code, report.value);
    return fmt::format("micro vcpu={} finish status={} value={:#x}\n", vcpu, report.code,
                       report.value);
}

std::optional<MicroResults::End> MicroResults::end() const {
    std::lock_guard lock{mutex_};
    if (finished_count_ < finished_.size() && failures_.empty()) return std::nullopt;
    if (failures_.empty()) return End{GuestEnd::power_off, {}};
    return End{GuestEnd::crashed, failures_};
}

}  // namespace vsmp
