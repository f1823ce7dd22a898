// Any bytes: an error or a GuestConfig that keeps its promises.
#include "proto/check.hpp"
#include "vmm/config/domain_xml.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view xml{reinterpret_cast<const char*>(data), size};
    auto result = vsmp::config::parse_domain_xml(xml, "fuzz.xml");
    if (!result) {
        VSMP_CHECK(!result.error().message.empty(), "an error without a message");
        return 0;
    }
    const vsmp::GuestConfig& guest = result->guest;
    VSMP_CHECK(guest.vcpu_count >= 1 && guest.vcpu_count <= 255, "vCPU count out of range");
    VSMP_CHECK(!guest.nodes.empty() && guest.nodes.size() <= vsmp::kMaxNodes, "node count");
    VSMP_CHECK(guest.distances.size() == guest.nodes.size(), "distances do not fit the nodes");
    std::size_t vcpus = 0;
    for (std::size_t i = 0; i < guest.nodes.size(); ++i) {
        VSMP_CHECK(guest.nodes[i].id.value() == i, "node ids are not dense");
        VSMP_CHECK(guest.nodes[i].memory_bytes != 0, "a node without memory");
        VSMP_CHECK(guest.distances[i][i] == 10, "distance to itself");
        vcpus += guest.nodes[i].vcpus.size();
    }
    VSMP_CHECK(vcpus == guest.vcpu_count, "not every vCPU is in one cell");
    VSMP_CHECK(!guest.boot.kernel.empty(), "no kernel");
    return 0;
}
