// coherence_scale: tables of what the protocol costs at 2 to 64 nodes. `tools/dev sim --nodes N`.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "scale.hpp"

int main(int argc, char** argv) {
    using namespace vsmp::coherence::sim;
    ScaleSettings settings;
    std::size_t nodes = 64;
    bool json = false;
    std::string plot;
    CLI::App app{"What the coherence protocol costs as a cluster grows, simulated."};
    app.add_option("--nodes", nodes, "the largest cluster; the others are powers of two below")
        ->check(CLI::Range(2, 64))
        ->capture_default_str();
    app.add_option("--pages", settings.pages, "of the guest")
        ->check(CLI::Range(64, 65'536))
        ->capture_default_str();
    app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 100))->capture_default_str();
    app.add_option("--seed", settings.seed)->capture_default_str();
    app.add_option("--plot", plot, "an SVG file to write: messages per miss");
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    const auto points = measure_all(nodes, settings);
    const std::string text = json ? to_json(points, settings) : to_table(points, settings);
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (!plot.empty() && !(std::ofstream{plot} << to_svg(points))) {
        std::fprintf(stderr, "coherence_scale: cannot write %s\n", plot.c_str());
        return 1;
    }
    const bool sound =
        std::ranges::all_of(points, [](const ScalePoint& p) { return p.problem.empty(); });
    return sound ? 0 : 1;
}
