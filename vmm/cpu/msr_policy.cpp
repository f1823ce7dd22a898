#include "vmm/cpu/msr_policy.hpp"

#include <algorithm>
#include <iterator>

namespace vsmp::cpu {

bool is_harmless_msr(std::uint32_t index) {
    // Sorted. Names as in SDM vol. 4 and AMD's PPRs.
    static constexpr std::uint32_t kHarmless[] = {
        0x00000017,  // IA32_PLATFORM_ID
        0x0000002a,  // EBC_HARD_POWERON
        0x0000002c,  // EBC_FREQUENCY_ID
        0x00000034,  // SMI_COUNT
        0x00000079,  // IA32_BIOS_UPDT_TRIG
        0x0000008b,  // IA32_BIOS_SIGN_ID, PATCH_LEVEL
        0x000000cd,  // FSB_FREQ
        0x000000ce,  // PLATFORM_INFO
        0x000000e2,  // PKG_CST_CONFIG_CONTROL
        0x00000140,  // MISC_FEATURES_ENABLES
        0x00000198,  // IA32_PERF_STATUS
        0x00000199,  // IA32_PERF_CTL
        0x0000019a,  // IA32_CLOCK_MODULATION
        0x0000019b,  // IA32_THERM_INTERRUPT
        0x0000019c,  // IA32_THERM_STATUS
        0x000001a0,  // IA32_MISC_ENABLE
        0x000001a2,  // TEMPERATURE_TARGET
        0x000001b0,  // IA32_ENERGY_PERF_BIAS
        0x000001b1,  // IA32_PACKAGE_THERM_STATUS
        0x000001d9,  // IA32_DEBUGCTL
        0x000001fc,  // POWER_CTL
        0x00000606,  // RAPL_POWER_UNIT
        0x00000611,  // PKG_ENERGY_STATUS
        0x00000619,  // DRAM_ENERGY_STATUS
        0x00000639,  // PP0_ENERGY_STATUS
        0x00000641,  // PP1_ENERGY_STATUS
        0xc0010010,  // SYSCFG
        0xc0010015,  // HWCR
        0xc001001f,  // NB_CFG
        0xc0010020,  // PATCH_LOADER
        0xc0010055,  // interrupt pending
        0xc0010061,  // PSTATE_CUR_LIM
        0xc0010062,  // PSTATE_CTL
        0xc0010063,  // PSTATE_STATUS
        0xc0010064,  // PSTATE_DEF
        0xc0010112,  // SMM_ADDR
        0xc0010113,  // SMM_MASK
        0xc0010140,  // OSVW_ID_LENGTH
        0xc0010141,  // OSVW_STATUS
        0xc0010299,  // RAPL_PWR_UNIT
        0xc001029a,  // CORE_ENERGY_STAT
        0xc001029b,  // PKG_ENERGY_STAT
        0xc0011020,  // LS_CFG
        0xc0011021,  // IC_CFG
        0xc0011022,  // DC_CFG
        0xc0011023,  // combined-unit configuration
        0xc0011029,  // DE_CFG
        0xc001102a,  // BU_CFG2
    };
    static_assert(std::is_sorted(std::begin(kHarmless), std::end(kHarmless)));
    return std::binary_search(std::begin(kHarmless), std::end(kHarmless), index);
}

kvm::MsrAnswer MsrPolicy::access(std::uint32_t index) {
    const auto answer =
        is_harmless_msr(index) ? kvm::MsrAnswer::done : kvm::MsrAnswer::general_protection;
    const std::lock_guard lock(mutex_);
    const auto known = std::find_if(counts_.begin(), counts_.end(),
                                    [&](const MsrCount& count) { return count.index == index; });
    if (known != counts_.end())
        ++known->accesses;
    else if (counts_.size() < kMaxCounts)
        counts_.push_back({index, 1, answer});
    return answer;
}

std::vector<MsrCount> MsrPolicy::counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
}

}  // namespace vsmp::cpu
