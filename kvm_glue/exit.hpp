// Why KVM_RUN came back, as values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>

#include "proto/ids.hpp"

namespace vsmp::kvm {

enum class Direction : std::uint8_t { in, out };

// `count` accesses of `size` bytes each (string instructions have count > 1), one after the other
// in `data`, which lies in the vCPU's run page: valid until the next run(). For Direction::in fill
// it in; the guest sees it at the next run().
struct IoExit {
    Direction direction{};
    std::uint16_t port = 0;
    std::uint8_t size = 0;  // 1, 2 or 4
    std::uint32_t count = 0;
    std::span<std::byte> data;
};

// An access to guest physical memory that no slot backs. `data` as in IoExit, 1 to 8 bytes.
struct MmioExit {
    Access access{};
    Gpa gpa;
    std::span<std::byte> data;
};

// Answer with Vcpu::complete_rdmsr / complete_wrmsr before the next run().
struct RdMsrExit {
    std::uint32_t index = 0;
};
struct WrMsrExit {
    std::uint32_t index = 0;
    std::uint64_t value = 0;
};

struct HltExit {};
struct IrqWindowOpenExit {};  // what request_interrupt_window() asked for
struct SetTprExit {};         // the guest lowered CR8; read it with cr8()
struct InterruptedExit {};    // a signal, or immediate_exit: RIP is on an instruction's start
struct ShutdownExit {};       // triple fault
// Nothing the guest did, or nothing KVM can do: this vCPU cannot go on. `text` tells.
struct FailedExit {
    std::string text;
};

using Exit = std::variant<IoExit, MmioExit, RdMsrExit, WrMsrExit, HltExit, IrqWindowOpenExit,
                          SetTprExit, InterruptedExit, ShutdownExit, FailedExit>;

}  // namespace vsmp::kvm
