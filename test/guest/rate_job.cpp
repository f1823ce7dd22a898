// How much more several processes compute than one: each works on its own, touching nothing that
// others touch, on a CPU of its own and whatever node the hypervisor gives that.
//   rate_job SECONDS PROCESSES    as much work as one process does in so long, alone; then as much
//   by
//                                 each of so many at once
// Exit status 0, or 2 for an error.
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>

#include "common.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kBatch = 1'000'000;

// Where the compiler cannot leave the work out.
volatile std::uint64_t result;

void work(std::uint64_t batches) {
    Generator generator(1);
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < batches * kBatch; ++i) sum += generator.next();
    result = sum;
}

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::uint64_t batches_in(unsigned seconds) {
    const auto begin = Clock::now();
    std::uint64_t batches = 0;
    for (; seconds_since(begin) < seconds; ++batches) work(1);
    return batches;
}

// Nodes 40 apart, as the guest's tables have them, are too far for Linux to spread new processes
// over (node_reclaim_distance is 30).
bool stay_on(unsigned cpu) {
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    return ::sched_setaffinity(0, sizeof only, &only) == 0;
}

// Steps a second of `processes` at once, together; below 0 when something failed. The clock is not
// looked at meanwhile: its page changes with each tick of another CPU, which is not what is asked.
double rate(unsigned processes, std::uint64_t batches) {
    const auto begin = Clock::now();
    for (unsigned i = 0; i < processes; ++i) {
        const pid_t child = ::fork();
        if (child < 0) return -1;
        if (child == 0) {
            if (!stay_on(i)) ::_exit(2);
            work(batches);
            ::_exit(0);
        }
    }
    bool right = true;
    for (unsigned i = 0; i < processes; ++i) {
        int status = 0;
        right = ::wait(&status) > 0 && status == 0 && right;
    }
    return right ? static_cast<double>(processes * batches * kBatch) / seconds_since(begin) : -1;
}

int run(unsigned seconds, unsigned processes) {
    const std::uint64_t batches = batches_in(seconds);
    const double one = rate(1, batches);
    std::printf("VSMP-RATE 1 process: %.2f million steps a second\n", one / 1e6);
    std::fflush(stdout);
    const double many = rate(processes, batches);
    std::printf("VSMP-RATE %u processes: %.2f million steps a second, ratio %.2f\n", processes,
                many / 1e6, many / one);
    return one > 0 && many > 0 ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
    const auto seconds = argc == 3 ? parse(argv[1]) : std::nullopt;
    const auto processes = argc == 3 ? parse(argv[2]) : std::nullopt;
    if (!seconds || !processes || *processes == 0) {
        std::fprintf(stderr, "usage: rate_job SECONDS PROCESSES\n");
        return 2;
    }
    return run(*seconds, *processes);
}
