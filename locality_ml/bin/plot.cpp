#include "locality_ml/bin/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "locality_ml/bin/svg.hpp"

namespace vsmp::locality {
std::string plot_rows(std::span<const Row> rows) {
    constexpr double kTop = 40, kHeight = 260, kLeft = 50, kGroup = 96, kBar = 15;
    constexpr double kDecades = 2.3, kBelow = 0.3;  // from 10^-0.3 to 10^2
    const double width = kLeft + kGroup * static_cast<double>(rows.size()) + 20;
    std::string picture = svg::open(width, kTop + kHeight + 40);
    const auto y_of = [&](double ratio) {
        const double log = std::clamp(std::log10(ratio) + kBelow, 0.0, kDecades);
        return kTop + kHeight * (1 - log / kDecades);
    };
    for (const double line : {0.5, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0}) {
        picture +=
            svg::line(kLeft, y_of(line), width - 10, y_of(line), line == 1.0 ? "black" : "#ddd");
        picture += svg::text(kLeft - 6, y_of(line) + 4, fmt::format("{:g}", line), "end");
    }
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const double x = kLeft + kGroup * static_cast<double>(r) + 8;
        for (std::size_t c = 0; c < rows[r].cells.size(); ++c) {
            const double y = y_of(rows[r].cells[c].ms / rows[r].best_fixed_ms());
            picture += svg::rectangle(x + kBar * static_cast<double>(c), y, kBar - 2,
                                      kTop + kHeight - y, svg::kColours[c % svg::kColours.size()]);
        }
        picture += svg::text(x + kGroup / 2 - 8, kTop + kHeight + 18, rows[r].workload, "middle");
    }
    for (std::size_t c = 0; !rows.empty() && c < rows[0].cells.size(); ++c) {
        const double x = kLeft + 120 * static_cast<double>(c);
        picture += svg::rectangle(x, 10, 12, 12, svg::kColours[c % svg::kColours.size()]);
        picture += svg::text(x + 16, 20, rows[0].cells[c].policy);
    }
    return picture + svg::close();
}

std::string plot_run(const RecordedRun& run) {
    constexpr double kLeft = 60, kWidth = 900, kTrack = 60;
    constexpr std::size_t kSlices = 300;
    const double height = kTrack * static_cast<double>(run.vcpus.size()) + 60;
    std::string picture = svg::open(kLeft + kWidth + 20, height);
    Instant begin = Instant::max();
    for (const RecordedVcpu& vcpu : run.vcpus)
        if (!vcpu.needs.empty()) begin = std::min(begin, vcpu.needs.front().when);
    const double length = std::max(static_cast<double>(run.length.count()), 1.0);
    for (std::size_t i = 0; i < run.vcpus.size(); ++i) {
        const double base = kTrack * static_cast<double>(i + 1) + 20;
        picture += svg::text(kLeft - 6, base - kTrack / 2, fmt::format("vCPU {}", i), "end");
        std::array<double, kSlices> waited{};
        std::array<NodeId, kSlices> node{};
        for (const Need& need : run.vcpus[i].needs) {
            const double at = static_cast<double>((need.when - begin).count()) / length;
            const auto slice =
                std::min(kSlices - 1, static_cast<std::size_t>(std::max(at, 0.0) * kSlices));
            waited[slice] += static_cast<double>(run.costs.fetch.count());
            node[slice] = need.at;
        }
        for (std::size_t s = 0; s < kSlices; ++s) {
            if (waited[s] == 0) continue;
            const double share = std::min(waited[s] / (length / kSlices), 1.0);
            picture += svg::rectangle(kLeft + kWidth * static_cast<double>(s) / kSlices,
                                      base - share * (kTrack - 14), kWidth / kSlices,
                                      share * (kTrack - 14),
                                      svg::kColours[node[s].value() % svg::kColours.size()]);
        }
    }
    picture += svg::text(
        kLeft, height - 10,
        fmt::format("0 to {:.0f} ms; height: share of the time waiting for pages; colour: "
                    "the node it is on",
                    length * 1e-6));
    return picture + svg::close();
}

}  // namespace vsmp::locality
