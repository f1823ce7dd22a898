// Fills memory and checks it from every CPU: more of it than a node may have.
//   memory_job MIB PASSES RANDOM   each CPU in turn fills its part; then, PASSES times, each CPU in
//                                  turn checks a part in order, its neighbour's the first time and
//                                  one further each time; then RANDOM pages anywhere, each CPU its
//                                  share of them
// One thread that goes from CPU to CPU: two at once would mostly fight for their page tables.
// Exit status 0 when all is right, 1 when a word is wrong, 2 for anything else.
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <span>

#include "common.hpp"

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t words_per_page = page_bytes / sizeof(std::uint64_t);

class Memory {
  public:
    explicit Memory(std::span<std::uint64_t> words) : words_(words) {}
    std::size_t pages() const { return words_.size() / words_per_page; }

    void fill(std::size_t page) {
        Generator expected(page + 1);
        for (std::uint64_t& word : words_of(page)) word = expected.next();
    }
    // Words that are not as they were written.
    std::size_t wrong(std::size_t page) const {
        Generator expected(page + 1);
        std::size_t count = 0;
        for (std::uint64_t word : words_of(page)) count += word != expected.next();
        if (count != 0) std::printf("memory: page %zu has %zu wrong words\n", page, count);
        return count;
    }

  private:
    std::span<std::uint64_t> words_of(std::size_t page) const {
        return words_.subspan(page * words_per_page, words_per_page);
    }
    std::span<std::uint64_t> words_;
};

struct Part {
    std::size_t begin, end;
};

Part part(std::size_t of, unsigned number, unsigned parts) {
    return {of * number / parts, of * (number + 1) / parts};
}

// Does `work(cpu)` on one CPU after the other and says how long each took.
template <class Work>
bool on_each_cpu(unsigned cpus, const char* what, Work work) {
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        if (!run_on_cpu(cpu)) {
            std::printf("memory: cpu %u cannot be used\n", cpu);
            return false;
        }
        const auto begin = std::chrono::steady_clock::now();
        work(cpu);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::printf("VSMP-MEMORY cpu %u %s, %.1f s\n", cpu, what, took.count());
        std::fflush(stdout);
    }
    return true;
}

int run(Memory memory, unsigned passes, unsigned random) {
    const auto cpus = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
    const std::size_t pages = memory.pages();
    bool placed = on_each_cpu(cpus, "filled its part", [&](unsigned cpu) {
        const auto [begin, end] = part(pages, cpu, cpus);
        for (std::size_t page = begin; page < end; ++page) memory.fill(page);
    });
    std::size_t wrong = 0, checked = 0;
    for (unsigned pass = 0; pass < passes && placed; ++pass)
        placed = on_each_cpu(cpus, "checked a part", [&](unsigned cpu) {
            const auto [begin, end] = part(pages, (cpu + pass + 1) % cpus, cpus);
            for (std::size_t page = begin; page < end; ++page, ++checked)
                wrong += memory.wrong(page);
        });
    Generator dice(pages);
    placed = placed && on_each_cpu(cpus, "checked random pages", [&](unsigned cpu) {
                 const auto [begin, end] = part(random, cpu, cpus);
                 for (std::size_t i = begin; i < end; ++i, ++checked)
                     wrong += memory.wrong(dice.next() % pages);
             });
    std::printf("VSMP-MEMORY %zu pages, %zu checks of a page, %zu wrong words\n", pages, checked,
                wrong);
    return !placed ? 2 : wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    const auto mib = argc == 4 ? parse(argv[1]) : std::nullopt;
    const auto passes = argc == 4 ? parse(argv[2]) : std::nullopt;
    const auto random = argc == 4 ? parse(argv[3]) : std::nullopt;
    if (!mib || !passes || !random) {
        std::fprintf(stderr, "usage: memory_job MIB PASSES RANDOM\n");
        return 2;
    }
    const std::size_t bytes = std::size_t{*mib} << 20;
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("memory: mmap");
        return 2;
    }
    return run(Memory{{static_cast<std::uint64_t*>(memory), bytes / sizeof(std::uint64_t)}},
               *passes, *random);
}
