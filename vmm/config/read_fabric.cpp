// <vsmp:fabric spin-us= scheduling= key=>
#include "vmm/config/sections.hpp"

namespace vsmp::config {

std::optional<fabric::Scheduling> scheduling_of(std::string_view name) {
    if (name == "auto") return fabric::Scheduling::automatic;
    if (name == "normal") return fabric::Scheduling::normal;
    if (name == "nice") return fabric::Scheduling::nice;
    if (name == "fifo") return fabric::Scheduling::fifo;
    return std::nullopt;
}

Result<FabricConfig> read_fabric(const XmlElement& element) {
    VSMP_TRY(element.only_attributes({"spin-us", "scheduling", "key"}));
    VSMP_TRY(element.no_children());
    FabricConfig fabric;
    if (const auto text = element.attribute("spin-us")) {
        const auto us = parse_number(
            *text, 0, std::chrono::duration_cast<std::chrono::microseconds>(kMaxSpin).count());
        if (!us) return element.error("spin-us='" + *text + "' is not a number from 0 to 1000000");
        fabric.spin = std::chrono::microseconds(*us);
    }
    if (const auto name = element.attribute("scheduling")) {
        const auto scheduling = scheduling_of(*name);
        if (!scheduling)
            return element.error("scheduling='" + *name + "' is none of auto, normal, nice, fifo");
        fabric.scheduling = *scheduling;
    }
    if (const auto path = element.attribute("key")) {
        if (path->empty() || path->front() != '/')
            return element.error("key='" + *path + "' is not an absolute path");
        fabric.key_file = *path;
    }
    return fabric;
}

}  // namespace vsmp::config
