// A numerical loop as people parallelise it: heat spreads over a square plate (Jacobi's method), by
// OpenMP threads that each work on their rows and read their neighbours'.
//   heat_job THREADS SIDE STEPS     prints a digest, the same for any number of threads
#include <bit>
#include <cstdio>
#include <vector>

#include "common.hpp"

namespace {

using Plate = std::vector<double>;

Plate spread(int threads, int side, int steps) {
    const auto at = [side](int row, int column) {
        return static_cast<std::size_t>(row) * static_cast<std::size_t>(side) +
               static_cast<std::size_t>(column);
    };
    Plate now(at(side, 0), 0.0);
    for (int column = 0; column < side; ++column) now[at(0, column)] = 100.0;
    Plate next = now;
    for (int step = 0; step < steps; ++step) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int row = 1; row < side - 1; ++row)
            for (int column = 1; column < side - 1; ++column)
                next[at(row, column)] =
                    0.25 * (now[at(row - 1, column)] + now[at(row + 1, column)] +
                            now[at(row, column - 1)] + now[at(row, column + 1)]);
        now.swap(next);
    }
    return now;
}

}  // namespace

int main(int argc, char** argv) {
    const auto threads = argc == 4 ? parse(argv[1]) : std::nullopt;
    const auto side = argc == 4 ? parse(argv[2]) : std::nullopt;
    const auto steps = argc == 4 ? parse(argv[3]) : std::nullopt;
    if (!threads || !side || !steps || *threads < 1 || *side < 3) {
        std::fprintf(stderr, "usage: heat_job THREADS SIDE STEPS\n");
        return 2;
    }
    std::uint64_t digest = 0xcbf29ce484222325;  // FNV-1a over words
    for (double value :
         spread(static_cast<int>(*threads), static_cast<int>(*side), static_cast<int>(*steps)))
        digest = (digest ^ std::bit_cast<std::uint64_t>(value)) * 0x100000001b3;
    std::printf("%016llx\n", static_cast<unsigned long long>(digest));
    return 0;
}
