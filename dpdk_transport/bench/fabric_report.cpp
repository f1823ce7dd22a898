#include "dpdk_transport/bench/fabric_report.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace vsmp::fabric {
namespace {

using nlohmann::json;

double us(Duration duration) {
    return std::chrono::duration<double, std::micro>(duration).count();
}

// "12.3 / 45.6", or a dash where nothing was measured.
std::string pair_of(const json& figures) {
    if (figures.is_null()) return "-";
    return fmt::format("{:.2f} / {:.1f}", figures.at("median_us").get<double>(),
                       figures.at("p99_us").get<double>());
}

std::string round_trip_table(const json& port) {
    std::string text = "  round trip, both ends polling, us (median / p99)\n";
    text += fmt::format("  {:<22}", "");
    for (const json& size : port.at("round_trip_sizes"))
        text += fmt::format("{:>18}", fmt::format("{} B", size.get<int>()));
    text += "\n";
    for (const auto& [name, wire] : port.at("wires").items()) {
        text += fmt::format("  {:<22}", name);
        for (const json& size : port.at("round_trip_sizes"))
            text += fmt::format("{:>18}", pair_of(wire.at("rtt").at(size.dump())));
        text += "\n";
    }
    return text;
}

std::string stream_table(const json& port) {
    std::string text = "  one way, as fast as it goes\n";
    text += fmt::format("  {:<22}{:>8}{:>12}{:>14}{:>16}{:>10}\n", "", "size", "Gbit/s",
                        "messages/s", "CPU us/message", "lost");
    for (const auto& [name, wire] : port.at("wires").items())
        for (const json& size : port.at("stream_sizes")) {
            const json& one = wire.at("stream").at(size.dump());
            text += fmt::format(
                "  {:<22}{:>8}{:>12.2f}{:>14.0f}{:>16.2f}{:>10}\n", name, size.get<int>(),
                one.at("gbit_s").get<double>(), one.at("messages_s").get<double>(),
                one.at("cpu_us_per_message").get<double>(), one.at("lost").get<std::uint64_t>());
        }
    return text;
}

std::string ratio_table(const json& port) {
    std::string text = "  the fabric over its port\n";
    for (const char* what : {"rtt_over_port", "goodput_over_port"})
        for (const auto& [name, ratios] : port.at(what).items()) {
            text += fmt::format("  {:<22}{:<18}", name, what);
            for (const auto& [size, ratio] : ratios.items())
                text +=
                    fmt::format("{:>16}", fmt::format("{} B: {:.2f}", size, ratio.get<double>()));
            text += "\n";
        }
    return text;
}

std::string busy_table(const json& port) {
    std::string text = fmt::format(
        "  {} B round trip every {} us, spin {} us then sleep, a CPU hog on each core, us "
        "(median / p99)\n",
        port.at("hogs").at("size").get<int>(), port.at("hogs").at("interval_us").get<int>(),
        port.at("hogs").at("spin_us").get<int>());
    text += fmt::format("  {:<22}{:>20}{:>20}{:>20}{:>20}\n", "", "no hogs", "normal", "nice -10",
                        "SCHED_FIFO");
    for (const auto& [name, classes] : port.at("hogs").at("wires").items()) {
        text += fmt::format("  {:<22}", name);
        for (const char* scheduling : {"idle", "normal", "nice", "fifo"})
            text += fmt::format("{:>20}", pair_of(classes.value(scheduling, json{})));
        text += "\n";
    }
    return text;
}

std::string idle_line(const json& idle) {
    return fmt::format(
        "  idle fabric for {:.0f} s: {:.2f}% and {:.2f}% of a core; round trip after {} ms of "
        "silence: {} us\n",
        idle.at("seconds").get<double>(), idle.at("cpu_percent").at(0).get<double>(),
        idle.at("cpu_percent").at(1).get<double>(), idle.at("silence_ms").get<int>(),
        pair_of(idle.at("wake_up")));
}

}  // namespace

json summary(std::vector<Duration> samples) {
    if (samples.empty()) return nullptr;
    std::ranges::sort(samples);
    const auto at = [&](double q) {
        const auto index = static_cast<std::size_t>(q * static_cast<double>(samples.size()));
        return us(samples[std::min(index, samples.size() - 1)]);
    };
    return {{"median_us", at(0.5)},
            {"p99_us", at(0.99)},
            {"p999_us", at(0.999)},
            {"samples", samples.size()}};
}

void add_ratios(json& port) {
    port["rtt_over_port"] = port["goodput_over_port"] = json::object();
    const json& wires = port.at("wires");
    if (!wires.contains("port")) return;
    const json& bare = wires.at("port");
    for (const auto& [name, wire] : wires.items()) {
        if (!name.starts_with("fabric")) continue;
        for (const json& size : port.at("round_trip_sizes")) {
            const std::string key = size.dump();
            port["rtt_over_port"][name][key] =
                wire.at("rtt").at(key).at("median_us").get<double>() /
                bare.at("rtt").at(key).at("median_us").get<double>();
        }
        for (const json& size : port.at("stream_sizes")) {
            const std::string key = size.dump();
            port["goodput_over_port"][name][key] =
                wire.at("stream").at(key).at("gbit_s").get<double>() /
                bare.at("stream").at(key).at("gbit_s").get<double>();
        }
    }
}

std::string to_table(const json& document) {
    std::string text;
    for (const json& port : document.at("ports")) {
        text += port.at("port").get<std::string>() + "\n";
        if (port.contains("skipped")) {
            text += "  SKIPPED: " + port.at("skipped").get<std::string>() + "\n";
            continue;
        }
        text += round_trip_table(port) + stream_table(port) + ratio_table(port);
        if (port.contains("hogs")) text += busy_table(port);
        if (port.contains("idle")) text += idle_line(port.at("idle"));
    }
    return text;
}

}  // namespace vsmp::fabric
