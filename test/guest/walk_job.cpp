// A thread on each CPU, all of one address space, reads words at random in memory that nobody
// writes: what moves between nodes then is what page walks write to, the page-table pages.
//   walk_job MIB SECONDS    MIB of memory in 4 KiB pages
// Tells how many pages each thread touched, and where all page-table pages of this address space
// are that have entries: lines VSMP-TABLE PART LEVEL PAGE, where PART is root, user or kernel,
// level 4 is the root's, and PAGE is its number in hexadecimal. It finds them itself: the kernel's
// memory is in /proc/kcore, what its pages are for in /proc/kpageflags. Needs root, and a kernel
// that is where it was linked and sees memory where it does without randomisation (nokaslr), four
// levels of tables, no page-table isolation. Exit status 0 when all went well, 1 when the tables
// were not found, 2 for anything else.
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common.hpp"

namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::uint64_t direct_map = 0xffff'8880'0000'0000;  // Documentation/arch/x86/x86_64/mm.rst
using Table = std::array<std::uint64_t, 512>;

// --- Touching

struct Touches {
    std::vector<std::uint64_t> by_cpu;
    double seconds = 0;
};

Touches touch(std::span<const std::uint64_t> words, unsigned cpus, unsigned seconds) {
    const std::size_t words_per_page = page_bytes / sizeof(std::uint64_t);
    const std::size_t pages = words.size() / words_per_page;
    std::vector<std::uint64_t> counts(cpus);
    std::atomic<bool> over = false;
    std::vector<std::thread> threads;
    const auto begin = std::chrono::steady_clock::now();
    for (unsigned cpu = 0; cpu < cpus; ++cpu)
        threads.emplace_back([&, cpu] {
            if (!run_on_cpu(cpu)) std::abort();
            Generator dice(cpu + 1);
            std::uint64_t count = 0, sum = 0;
            while (!over.load(std::memory_order_relaxed)) {
                const auto* word = &words[dice.next() % pages * words_per_page];
                sum += *static_cast<const volatile std::uint64_t*>(word);
                ++count;
            }
            counts[cpu] = sum == 0 ? 0 : count;  // all words are above 0
        });
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    over = true;
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    return {counts, took.count()};
}

// --- Finding the tables

// The kernel's memory, by its virtual address.
class KernelMemory {
  public:
    bool open() {
        fd_ = ::open("/proc/kcore", O_RDONLY);
        Elf64_Ehdr header{};
        if (fd_ < 0 || ::pread(fd_, &header, sizeof header, 0) != sizeof header) return false;
        segments_.resize(header.e_phnum);
        const std::size_t bytes = segments_.size() * sizeof(Elf64_Phdr);
        return ::pread(fd_, segments_.data(), bytes, static_cast<off_t>(header.e_phoff)) ==
               static_cast<ssize_t>(bytes);
    }
    bool read(std::uint64_t address, void* to, std::size_t size) const {
        for (const Elf64_Phdr& segment : segments_) {
            if (segment.p_type != PT_LOAD || address < segment.p_vaddr ||
                address + size > segment.p_vaddr + segment.p_memsz)
                continue;
            const auto at = static_cast<off_t>(segment.p_offset + (address - segment.p_vaddr));
            return ::pread(fd_, to, size, at) == static_cast<ssize_t>(size);
        }
        return false;
    }
    bool table(std::uint64_t page, Table& to) const {
        return read(direct_map + page * page_bytes, to.data(), sizeof to);
    }

  private:
    int fd_ = -1;
    std::vector<Elf64_Phdr> segments_;
};

std::uint64_t page_of(std::uint64_t entry) {
    return (entry & 0x000f'ffff'ffff'f000) / page_bytes;
}

std::uint64_t symbol(const std::string& wanted) {
    std::ifstream file{"/proc/kallsyms"};
    std::string address, kind, name, rest;
    while (file >> address >> kind >> name && std::getline(file, rest))
        if (name == wanted) return std::stoull(address, nullptr, 16);
    return 0;
}

std::uint64_t word_of(const char* file, std::uint64_t index) {
    std::uint64_t word = 0;
    const int fd = ::open(file, O_RDONLY);
    if (fd < 0 || ::pread(fd, &word, sizeof word, static_cast<off_t>(index * 8)) != sizeof word)
        word = 0;
    if (fd >= 0) ::close(fd);
    return word;
}

// Where `address` of this process is.
std::uint64_t frame_of(const void* address) {
    const auto page = reinterpret_cast<std::uintptr_t>(address) / page_bytes;
    return word_of("/proc/self/pagemap", page) & ((std::uint64_t{1} << 55) - 1);
}

// Whether `root`, if it is the root of page tables, maps `address` to `frame`.
bool leads_to(const KernelMemory& memory, std::uint64_t root, std::uint64_t address,
              std::uint64_t frame) {
    Table table;
    std::uint64_t page = root;
    for (int shift = 39; shift >= 12; shift -= 9) {
        if (!memory.table(page, table)) return false;
        const std::uint64_t entry = table[address >> shift & 511];
        constexpr std::uint64_t present = 1,
                                no_access = 1 << 8;  // NUMA balancing takes access away
        if ((entry & (shift > 12 ? present : present | no_access)) == 0 ||
            (shift > 12 && (entry & 0x80) != 0))
            return false;
        page = page_of(entry);
    }
    return page == frame;
}

// A root has the kernel's half in common with all others, and pages of the kernel's own use have no
// flags.
std::uint64_t find_root(const KernelMemory& memory, const void* address) {
    Table kernel;
    const std::uint64_t frame = frame_of(address);
    const std::uint64_t pages = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * 2 + 65536;
    if (frame == 0 || !memory.read(symbol("init_top_pgt"), kernel.data(), sizeof kernel)) {
        std::printf("walk: frame %" PRIx64 ", init_top_pgt %" PRIx64 "\n", frame,
                    symbol("init_top_pgt"));
        return 0;
    }
    const int flags = ::open("/proc/kpageflags", O_RDONLY);
    std::vector<std::uint64_t> words(pages);
    const ssize_t got = flags < 0 ? -1 : ::pread(flags, words.data(), pages * 8, 0);
    for (std::uint64_t page = 1; page < static_cast<std::uint64_t>(std::max<ssize_t>(got, 0)) / 8;
         ++page) {
        std::uint64_t last = 0;  // its flags may differ: a walk marks it accessed
        if (words[page] != 0) continue;
        if (!memory.read(direct_map + page * page_bytes + 511 * 8, &last, sizeof last) ||
            page_of(last) != page_of(kernel[511]))
            continue;
        if (leads_to(memory, page, reinterpret_cast<std::uintptr_t>(address), frame)) return page;
    }
    return 0;
}

void tell_tables(const KernelMemory& memory, std::uint64_t page, int level, const char* part,
                 std::set<std::uint64_t>& told) {
    Table table;
    if (!told.insert(page).second || !memory.table(page, table)) return;
    if (std::ranges::none_of(table, [](std::uint64_t entry) { return (entry & 1) != 0; })) return;
    std::printf("VSMP-TABLE %s %d %" PRIx64 "\n", part, level, page);
    if (level == 1) return;
    for (std::size_t i = 0; i < table.size(); ++i) {
        if ((table[i] & 1) == 0 || (table[i] & 0x80) != 0) continue;
        const char* const below = level < 4 ? part : i < table.size() / 2 ? "user" : "kernel";
        tell_tables(memory, page_of(table[i]), level - 1, below, told);
    }
}

int run(unsigned mib, unsigned seconds) {
    const std::size_t bytes = std::size_t{mib} << 20;
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || ::madvise(memory, bytes, MADV_NOHUGEPAGE) != 0) {
        std::perror("walk: memory");
        return 2;
    }
    std::memset(memory, 1, bytes);
    const auto cpus = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
    std::printf("VSMP-WALK begins\n");
    std::fflush(stdout);
    const Touches touches = touch(
        {static_cast<const std::uint64_t*>(memory), bytes / sizeof(std::uint64_t)}, cpus, seconds);
    for (unsigned cpu = 0; cpu < cpus; ++cpu)
        std::printf("VSMP-WALK cpu %u touched %" PRIu64 " pages in %.2f s\n", cpu,
                    touches.by_cpu[cpu], touches.seconds);
    std::fflush(stdout);
    KernelMemory kernel;
    const std::uint64_t root = kernel.open() ? find_root(kernel, memory) : 0;
    if (root == 0) {
        std::printf("walk: the page tables were not found\n");
        return 1;
    }
    std::set<std::uint64_t> told;
    tell_tables(kernel, root, 4, "root", told);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const auto mib = argc == 3 ? parse(argv[1]) : std::nullopt;
    const auto seconds = argc == 3 ? parse(argv[2]) : std::nullopt;
    if (!mib || !seconds) {
        std::fprintf(stderr, "usage: walk_job MIB SECONDS\n");
        return 2;
    }
    return run(*mib, *seconds);
}
