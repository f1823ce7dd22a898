#include "world.hpp"

namespace vsmp::coherence::model {

NodeId node_id(std::size_t node) {
    return NodeId{static_cast<std::uint8_t>(node)};
}

namespace {

bool permits(const LocalPage& page, Access access) {
    return page.permission == Permission::exclusive ||
           (page.permission == Permission::shared && access == Access::read);
}

}  // namespace

const Touch* first_missing(const World& world, std::size_t node, const Instruction& instruction) {
    for (const Touch& touch : instruction)
        if (!permits(world.local[node][touch.page], touch.access)) return &touch;
    return nullptr;
}

World initial_world(const Model& model) {
    World world;
    for (std::size_t page = 0; page < model.pages(); ++page) {
        const NodeId home{model.homes[page]};
        world.home[page] = initial_home_page(home);
        for (std::size_t node = 0; node < model.nodes; ++node)
            world.local[node][page] = initial_local_page(node_id(node), home);
        world.current[home.value()][page] = true;
    }
    world.evictions_left = model.evictions;
    world.prefetches_left = model.prefetches;
    for (std::size_t v = 0; v < model.vcpus.size(); ++v) world.vcpus[v].left = model.length;
    return world;
}

}  // namespace vsmp::coherence::model
