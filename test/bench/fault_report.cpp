#include "test/bench/fault_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vsmp::bench {
namespace {

struct Figures {
    double median = 0, p99 = 0;
};

Figures figures(std::vector<double> samples) {
    if (samples.empty()) return {};
    std::ranges::sort(samples);
    const auto at = [&](double q) {
        const auto index = static_cast<std::size_t>(q * static_cast<double>(samples.size()));
        return samples[std::min(index, samples.size() - 1)];
    };
    return {at(0.5), at(0.99)};
}

struct Row {
    const char* name;  // in JSON
    const char* label;
    Figures taken;
    double floor = 0;  // 0: is one itself
};

// The floor of an operation: a local userfault, and its frames there and back over the bare port,
// of which one is small and the other of the operation's size. Half of a symmetric round trip is
// what a frame of that size takes one way.
std::vector<Row> rows(const FaultReport& report) {
    const Figures local = figures(report.local);
    const Figures small = figures(report.raw_small), page = figures(report.raw_page),
                  ship = figures(report.raw_ship);
    const double small_floor = local.median + small.median;
    const double page_floor = local.median + (small.median + page.median) / 2;
    const double ship_floor = local.median + (small.median + ship.median) / 2;
    return {{"local_fault", "local fault", local},
            {"plain_fault", "the same without KVM", figures(report.plain)},
            {"kvm_fault", "KVM without userfault", figures(report.mapped)},
            {"raw_small", "raw round trip, small", small},
            {"raw_page", "raw round trip, page", page},
            {"raw_ship", "raw round trip, vCPU", ship},
            {"read_fetch", "read fetch", figures(report.read_fetch), page_floor},
            {"write_fetch", "write fetch", figures(report.write_fetch), page_floor},
            {"upgrade", "upgrade", figures(report.upgrade), small_floor},
            {"zero_fetch", "fetch of zeros", figures(report.zero_fetch), small_floor},
            {"ship", "ship", figures(report.ship), ship_floor}};
}

}  // namespace

std::string to_table(const FaultReport& report) {
    std::string text = fmt::format("{}, {} rounds, {:.0f} us between faults; us\n", report.port,
                                   report.rounds, report.interval_us);
    text += fmt::format("{:<24}{:>9}{:>9}{:>9}{:>9}\n", "", "median", "p99", "floor", "ratio");
    for (const Row& row : rows(report)) {
        text += fmt::format("{:<24}{:>9.1f}{:>9.1f}", row.label, row.taken.median, row.taken.p99);
        if (row.floor > 0)
            text += fmt::format("{:>9.1f}{:>9.2f}", row.floor, row.taken.median / row.floor);
        text += "\n";
    }
    return text + fmt::format("largest frame of a ship: {} bytes\n", report.ship_frame_bytes_max);
}

std::string to_json(const FaultReport& report) {
    nlohmann::ordered_json json;
    json["port"] = report.port;
    json["rounds"] = report.rounds;
    json["interval_us"] = report.interval_us;
    for (const Row& row : rows(report)) {
        const std::string name = row.name;
        json[name + "_median_us"] = row.taken.median;
        json[name + "_p99_us"] = row.taken.p99;
        if (row.floor == 0) continue;
        json[name + "_floor_us"] = row.floor;
        json[name + "_over_floor"] = row.taken.median / row.floor;
    }
    json["ship_frame_bytes_max"] = report.ship_frame_bytes_max;
    return json.dump(2) + "\n";
}

}  // namespace vsmp::bench
