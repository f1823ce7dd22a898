#include "test/bench/stream/stream_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vsmp::bench {
namespace {

double median(std::vector<double> samples) {
    if (samples.empty()) return 0;
    std::ranges::sort(samples);
    return samples[samples.size() / 2];
}

struct Summary {
    double one_way = 0, both_ways = 0, memory = 0, loop = 0, without = 0;
    // The loop beside the bare port with the same traffic, a page each way; of each round, as a
    // round's figures are of the same moments.
    double ratio = 0, ratio_one_way = 0, ratio_memory = 0;
};

Summary summary(const StreamRates& rates) {
    std::vector<double> both, one_way, memory;
    for (std::size_t i = 0; i < rates.loop.size(); ++i) {
        both.push_back(rates.loop[i] / rates.raw_both_ways[i]);
        one_way.push_back(rates.loop[i] / rates.raw_one_way[i]);
        memory.push_back(rates.loop[i] / rates.raw_memory[i]);
    }
    return {.one_way = median(rates.raw_one_way),
            .both_ways = median(rates.raw_both_ways),
            .memory = median(rates.raw_memory),
            .loop = median(rates.loop),
            .without = median(rates.loop_without_read_ahead),
            .ratio = median(both),
            .ratio_one_way = median(one_way),
            .ratio_memory = median(memory)};
}

}  // namespace

std::string to_table(const StreamReports& reports) {
    std::string text;
    for (const StreamReport& report : reports) {
        const Summary s = summary(report.rates);
        const StreamCosts& c = report.costs;
        text += fmt::format(
            "{}, {} rounds; a thread at node 1 (limit {} MiB) writes {} MiB of node 0's\n",
            to_string(report.port), report.rates.loop.size(), report.limit_mib,
            2 * report.limit_mib);
        text += fmt::format("  {:<46}{:>12}\n", "median of", "pages/s");
        text += fmt::format("  {:<46}{:>12.0f}\n", "bare port, one page each way", s.both_ways);
        text += fmt::format("  {:<46}{:>12.0f}\n", "bare port, one way", s.one_way);
        text += fmt::format("  {:<46}{:>12.0f}\n", "bare port, each way, from and into memory",
                            s.memory);
        text += fmt::format("  {:<46}{:>12.0f}\n", "the loop", s.loop);
        text += fmt::format("  {:<46}{:>12.0f}\n", "the loop without read-ahead", s.without);
        text +=
            fmt::format("  {:<46}{:>11.0f}%\n", "the loop / bare port, each way", 100 * s.ratio);
        text += fmt::format("  {:<46}{:>11.0f}%\n", "the loop / bare port, one way",
                            100 * s.ratio_one_way);
        text += fmt::format("  {:<46}{:>11.0f}%\n", "the loop / bare port, from and into memory",
                            100 * s.ratio_memory);
        text += fmt::format(
            "  per page: {:.3f} faults, {:.2f} frames sent, {:.2f} received, {:.2f} messages; CPU "
            "{:.2f} us at home, {:.2f} us at the writer, {:.2f} us of that in the loop itself\n",
            c.faults, c.frames_sent, c.frames_received, c.messages_sent, c.cpu_us_home,
            c.cpu_us_writer, c.cpu_us_loop);
        text += fmt::format(
            "  per page: {:.3f} came and {:.3f} went home, so {:.0f} pages/s moved each way, "
            "{:.0f}% "
            "of the bare port, from and into memory\n",
            c.fetched, c.taken_home, s.loop * c.fetched, 100 * s.ratio_memory * c.fetched);
        text += fmt::format("  per page: {:.3f} fetched ahead, {:.4f} of them in vain\n",
                            c.read_ahead, c.wasted);
    }
    return text;
}

std::string to_json(const StreamReports& reports) {
    nlohmann::json document = nlohmann::json::array();
    for (const StreamReport& report : reports) {
        const Summary s = summary(report.rates);
        const StreamCosts& c = report.costs;
        document.push_back({{"port", to_string(report.port)},
                            {"limit_mib", report.limit_mib},
                            {"rounds", report.rates.loop.size()},
                            {"raw_both_ways_pages_s", s.both_ways},
                            {"raw_one_way_pages_s", s.one_way},
                            {"raw_memory_pages_s", s.memory},
                            {"loop_pages_s", s.loop},
                            {"loop_without_read_ahead_pages_s", s.without},
                            {"ratio_both_ways", s.ratio},
                            {"ratio_one_way", s.ratio_one_way},
                            {"ratio_memory", s.ratio_memory},
                            {"per_page",
                             {{"faults", c.faults},
                              {"frames_sent", c.frames_sent},
                              {"frames_received", c.frames_received},
                              {"messages_sent", c.messages_sent},
                              {"cpu_us_home", c.cpu_us_home},
                              {"cpu_us_writer", c.cpu_us_writer},
                              {"cpu_us_loop", c.cpu_us_loop},
                              {"fetched", c.fetched},
                              {"taken_home", c.taken_home},
                              {"read_ahead", c.read_ahead},
                              {"wasted", c.wasted}}}});
    }
    return document.dump(2) + "\n";
}

}  // namespace vsmp::bench
