// What the test guest computes. Static, so that the guest's initramfs needs no libraries.
//   guest_job generate SEED            writes the data that belongs to SEED to standard output
//   guest_job atomics THREADS BUMPS    threads, one a CPU, increment counters of one shared array
// Exit status 0 when right, 1 when the result is wrong, 2 for anything else.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "common.hpp"

namespace {

constexpr std::size_t generated_bytes = 256 * 1024;
constexpr std::size_t counter_count = 1024;  // two pages: every thread meets every other one there

int generate(unsigned seed) {
    Generator generator(seed);
    std::array<std::uint64_t, 512> block{};
    for (std::size_t done = 0; done < generated_bytes; done += sizeof block) {
        for (auto& word : block) word = generator.next();
        if (std::fwrite(block.data(), 1, sizeof block, stdout) != sizeof block) return 2;
    }
    return std::fflush(stdout) == 0 ? 0 : 2;
}

using Counters = std::array<std::atomic<std::uint64_t>, counter_count>;

// Half of the increments are one instruction, half a load and a compare-and-swap: both must be
// atomic when the page moves in between.
void bump(Counters& counters, unsigned thread, unsigned bumps) {
    Generator generator(thread);
    for (unsigned i = 0; i < bumps; ++i) {
        auto& counter = counters[generator.next() % counter_count];
        if (i % 2 == 0) {
            counter.fetch_add(1);
            continue;
        }
        auto seen = counter.load();
        while (!counter.compare_exchange_weak(seen, seen + 1)) {
        }
    }
}

// What the same increments make when one thread does them all.
int compare(const Counters& counters, unsigned threads, unsigned bumps) {
    std::vector<std::uint64_t> expected(counter_count);
    for (unsigned thread = 0; thread < threads; ++thread) {
        Generator generator(thread);
        for (unsigned i = 0; i < bumps; ++i) ++expected[generator.next() % counter_count];
    }
    unsigned wrong = 0;
    for (std::size_t i = 0; i < counter_count; ++i) wrong += counters[i].load() != expected[i];
    if (wrong != 0) std::printf("atomics: %u of %zu counters are wrong\n", wrong, counter_count);
    return wrong == 0 ? 0 : 1;
}

int atomics(unsigned threads, unsigned bumps) {
    const auto counters = std::make_unique<Counters>();
    std::atomic<unsigned> ready = 0;
    std::atomic<bool> placed = true;
    std::vector<std::thread> workers;
    for (unsigned thread = 0; thread < threads; ++thread) {
        workers.emplace_back([&, thread] {
            if (!run_on_cpu(thread)) placed = false;
            ++ready;
            ready.notify_all();
            for (auto seen = ready.load(); seen < threads; seen = ready.load()) ready.wait(seen);
            bump(*counters, thread, bumps);
        });
    }
    for (auto& worker : workers) worker.join();
    if (!placed) {
        std::printf("atomics: a CPU could not be used\n");
        return 1;
    }
    return compare(*counters, threads, bumps);
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string_view> arguments(argv, argv + argc);
    if (argc == 3 && arguments[1] == "generate") {
        if (const auto seed = parse(arguments[2])) return generate(*seed);
    }
    if (argc == 4 && arguments[1] == "atomics") {
        const auto threads = parse(arguments[2]);
        const auto bumps = parse(arguments[3]);
        if (threads && bumps) return atomics(*threads, *bumps);
    }
    std::fprintf(stderr, "usage: guest_job generate SEED | atomics THREADS BUMPS\n");
    return 2;
}
