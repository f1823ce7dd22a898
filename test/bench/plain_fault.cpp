#include "test/bench/plain_fault.hpp"

#include <poll.h>

#include <atomic>
#include <thread>

#include "page_fault_broker/io/guest_memory.hpp"
#include "page_fault_broker/io/userfault.hpp"
#include "proto/monotonic_clock.hpp"

namespace vsmp::bench {
namespace {

constexpr Duration kSpin = std::chrono::microseconds(20);

void answer(UserfaultFd& userfault, const std::atomic<bool>& stop) {
    Instant busy_until = monotonic_now() + kSpin;
    while (!stop) {
        std::array<Userfault, 1> faults;
        const auto count = userfault.read(faults);
        if (count && *count > 0) {
            const auto mapped = userfault.map_writable(faults[0].page);
            VSMP_CHECK(mapped, "UFFDIO_CONTINUE");
            busy_until = monotonic_now() + kSpin;
        } else if (monotonic_now() >= busy_until) {
            pollfd wait{userfault.fd(), POLLIN, 0};
            ::poll(&wait, 1, 10);  // looks for `stop` again
        }
    }
}

void spin_for(Duration duration) {
    const Instant until = monotonic_now() + duration;
    while (monotonic_now() < until) continue;
}

}  // namespace

Result<std::vector<double>> plain_faults(unsigned touches, unsigned interval_us) {
    VSMP_TRY_ASSIGN(GuestMemory memory, GuestMemory::create(touches));
    for (std::byte& byte : memory.alias()) byte = std::byte{1};
    VSMP_TRY_ASSIGN(UserfaultFd userfault,
                    UserfaultFd::watch({memory.guest_base(), touches * kPageSize}));
    std::atomic<bool> stop = false;
    std::thread answering{[&] { answer(userfault, stop); }};
    std::vector<double> us;
    for (unsigned i = 0; i < touches; ++i) {
        spin_for(std::chrono::microseconds(interval_us));
        const auto* byte =
            reinterpret_cast<const volatile std::byte*>(memory.guest_base() + i * kPageSize);
        const Instant begin = monotonic_now();
        [[maybe_unused]] const std::byte seen = *byte;
        us.push_back(std::chrono::duration<double, std::micro>(monotonic_now() - begin).count());
    }
    stop = true;
    answering.join();
    return us;
}

}  // namespace vsmp::bench
