// vsmp-node: one node of a guest, on behalf of vsmp-run or vsmpd.
#include "vmm/control/node_main.hpp"

int main(int argc, char** argv) {
    const vsmp::control::NodeServices services{.facts = vsmp::gather_node_facts,
                                               .create = vsmp::Node::create};
    return vsmp::control::node_main(argc, argv, services);
}
