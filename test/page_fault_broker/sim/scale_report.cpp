#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "locality_ml/bin/svg.hpp"
#include "scale.hpp"

namespace vsmp::coherence::sim {
namespace {

double us(Duration d) {
    return std::chrono::duration<double, std::micro>(d).count();
}

}  // namespace

std::string to_table(std::span<const ScalePoint> points, const ScaleSettings& settings) {
    std::string text = fmt::format(
        "{} pages, {} rounds, one vCPU a node; round trip {:g} us, {:g} us per KiB at the sender's "
        "port, hold {:g} us, seed {}; waits in round trips\n",
        settings.pages, settings.rounds, us(settings.round_trip()), us(settings.wire.per_kilobyte),
        us(settings.hold), settings.seed);
    text +=
        fmt::format("{:<19}{:>6}{:>9}{:>15}{:>14}{:>12}{:>8}{:>8}{:>8}\n", "", "nodes", "misses",
                    "messages/miss", "for sharers", "bytes/miss", "median", "p90", "p99");
    for (const ScalePoint& p : points)
        text +=
            fmt::format("{:<19}{:>6}{:>9}{:>15.2f}{:>14.2f}{:>12.0f}{:>8.2f}{:>8.2f}{:>8.2f}{}\n",
                        name_of(p.pattern), p.nodes, p.misses, p.messages, p.for_sharers, p.bytes,
                        p.median, p.p90, p.p99, p.problem.empty() ? "" : "  " + p.problem);
    return text;
}

std::string to_json(std::span<const ScalePoint> points, const ScaleSettings& settings) {
    nlohmann::ordered_json json{{"pages", settings.pages},
                                {"rounds", settings.rounds},
                                {"round_trip_us", us(settings.round_trip())},
                                {"us_per_kib", us(settings.wire.per_kilobyte)},
                                {"hold_us", us(settings.hold)},
                                {"seed", settings.seed}};
    for (const ScalePoint& p : points) {
        const std::string pattern{name_of(p.pattern)}, nodes = std::to_string(p.nodes);
        json["misses"][pattern][nodes] = p.misses;
        json["messages_per_miss"][pattern][nodes] = p.messages;
        json["messages_for_sharers_per_miss"][pattern][nodes] = p.for_sharers;
        json["bytes_per_miss"][pattern][nodes] = p.bytes;
        json["wait_round_trips"][pattern][nodes] = {
            {"median", p.median}, {"p90", p.p90}, {"p99", p.p99}};
        if (!p.problem.empty()) json["problems"][pattern][nodes] = p.problem;
    }
    return json.dump(2) + "\n";
}

std::string to_svg(std::span<const ScalePoint> points) {
    constexpr double kLeft = 50, kTop = 50, kWidth = 420, kHeight = 240, kDoublings = 6;
    double most = 1;
    for (const ScalePoint& p : points) most = std::max(most, std::ceil(p.messages));
    std::string out = svg::open(kLeft + kWidth + 30, kTop + kHeight + 50);
    const auto x_of = [&](double nodes) { return kLeft + kWidth * std::log2(nodes) / kDoublings; };
    const auto y_of = [&](double messages) { return kTop + kHeight * (1 - messages / most); };
    for (double line = 0; line <= most; ++line) {
        out += svg::line(kLeft, y_of(line), kLeft + kWidth, y_of(line), "#ddd");
        out += svg::text(kLeft - 6, y_of(line) + 4, fmt::format("{:g}", line), "end");
    }
    for (double nodes = 2; nodes <= 64; nodes *= 2)
        out += svg::text(x_of(nodes), kTop + kHeight + 18, fmt::format("{:g}", nodes), "middle");
    out += svg::text(kLeft + kWidth / 2, kTop + kHeight + 38, "nodes; height: messages per miss",
                     "middle");
    for (std::size_t i = 0; i < kPatterns.size(); ++i) {
        const char* colour = svg::kColours[i % svg::kColours.size()];
        const double legend = kLeft + 84 * static_cast<double>(i);
        out += svg::rectangle(legend, 12, 10, 10, colour);
        out += svg::text(legend + 13, 21, std::string{name_of(kPatterns[i])});
        const ScalePoint* before = nullptr;
        for (const ScalePoint& p : points) {
            if (p.pattern != kPatterns[i]) continue;
            const double x = x_of(static_cast<double>(p.nodes)), y = y_of(p.messages);
            out += svg::rectangle(x - 3, y - 3, 6, 6, colour);
            if (before)
                out += svg::line(x_of(static_cast<double>(before->nodes)), y_of(before->messages),
                                 x, y, colour);
            before = &p;
        }
    }
    return out + svg::close();
}

}  // namespace vsmp::coherence::sim
