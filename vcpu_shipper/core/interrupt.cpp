#include "vcpu_shipper/core/interrupt.hpp"

namespace vsmp::shipper {

void InterruptStash::add(const Interrupt& interrupt) {
    const std::uint64_t bit = std::uint64_t{1} << (interrupt.vector % 64);
    switch (interrupt.kind) {
        case InterruptKind::fixed:
            pending_[interrupt.vector / 64] |= bit;
            // The APIC's trigger mode register, too, keeps the last one's (SDM vol. 3A 11.8.4).
            if (interrupt.trigger == Trigger::level)
                level_[interrupt.vector / 64] |= bit;
            else
                level_[interrupt.vector / 64] &= ~bit;
            return;
        case InterruptKind::nmi:
            nmi_ = true;
            return;
        case InterruptKind::init:
            // INIT empties the APIC's request register: what came before it would be gone there
            // as well (SDM vol. 3A 11.4.7.3).
            *this = InterruptStash{};
            init_ = true;
            return;
        case InterruptKind::sipi:
            // Only the first one after an INIT starts the processor.
            if (!sipi_) sipi_ = interrupt.vector;
            return;
    }
}

}  // namespace vsmp::shipper
