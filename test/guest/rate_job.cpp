// How much more several processes compute than one: each counts on its own, touching nothing that
// others touch, on whatever CPU the kernel and whatever node the hypervisor gives it.
//   rate_job SECONDS PROCESSES    one process for so long, then so many at once for as long
// Exit status 0, or 2 for an error.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <span>

#include "common.hpp"

namespace {

using Clock = std::chrono::steady_clock;

// Steps of a generator until the time is over.
std::uint64_t count_until(Clock::time_point end) {
    Generator generator(1);
    std::uint64_t steps = 0;
    std::uint64_t sum = 0;
    while (Clock::now() < end) {
        for (int i = 0; i < 1'000'000; ++i) sum += generator.next();
        steps += 1'000'000;
    }
    return sum == 0 ? 0 : steps;
}

// Of `processes` at once, together, in one second; below 0 when something failed.
double rate(unsigned processes, unsigned seconds, std::span<std::uint64_t> counts) {
    const auto begin = Clock::now();
    const auto end = begin + std::chrono::seconds(seconds);
    for (unsigned i = 0; i < processes; ++i) {
        const pid_t child = ::fork();
        if (child < 0) return -1;
        if (child == 0) {
            counts[i * 512] = count_until(end);  // each on a page of its own
            ::_exit(0);
        }
    }
    bool right = true;
    for (unsigned i = 0; i < processes; ++i) {
        int status = 0;
        right = ::wait(&status) > 0 && status == 0 && right;
    }
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::uint64_t steps = 0;
    for (unsigned i = 0; i < processes; ++i) steps += counts[i * 512];
    return right ? static_cast<double>(steps) / took.count() : -1;
}

int run(unsigned seconds, unsigned processes) {
    const std::size_t bytes = processes * std::size_t{4096};
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 2;
    const std::span counts{static_cast<std::uint64_t*>(memory), bytes / 8};
    const double one = rate(1, seconds, counts);
    std::printf("VSMP-RATE 1 process: %.2f million steps a second\n", one / 1e6);
    std::fflush(stdout);
    const double many = rate(processes, seconds, counts);
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
