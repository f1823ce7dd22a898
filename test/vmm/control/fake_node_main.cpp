// A program that stands in for vsmp-node. VSMP_FAKE_FAULT="N=FAULT" makes node N misbehave.
#include <cstdlib>

#include "fake_node.hpp"
#include "vmm/control/node_main.hpp"

int main(int argc, char** argv) {
    using namespace vsmp;
    const char* asked = std::getenv("VSMP_FAKE_FAULT");
    const std::string fault = asked != nullptr ? asked : "";
    // Before the setup arrives only the label tells which node this is: "GUEST/N".
    const std::string label = argc > 4 ? argv[4] : "";
    const bool mine = fault.size() > 2 && label.ends_with(std::string{"/"} + fault[0]);
    const std::string what = mine ? fault.substr(2) : "";
    control::NodeServices services{
        .facts = [&]() -> Result<NodeFacts> {
            if (what == "no-kvm") return Error{"/dev/kvm: Permission denied"};
            NodeFacts facts = control::fake_facts();
            if (what == "old") facts.host_kernel = "6.1.0";
            if (what == "tsc") facts.tsc_khz = 2'500'000;
            return facts;
        },
        .create = [&](NodeSetup setup, NodeObserver& observer) -> Result<std::unique_ptr<Node>> {
            return std::unique_ptr<Node>{
                std::make_unique<control::FakeNode>(std::move(setup), observer, what)};
        }};
    if (what == "version") services.protocol_version = 3;
    return control::node_main(argc, argv, services);
}
