// What must hold in every state, and in those where nothing can happen any more.
#include "world.hpp"

namespace vsmp::coherence::model {
namespace {

const char* broken_page(const Model& model, const World& world, std::size_t page) {
    std::uint64_t sharers = 0;
    int readers = 0, writers = 0;
    for (std::size_t node = 0; node < model.nodes; ++node) {
        const Permission permission = world.local[node][page].permission;
        if (permission == Permission::none) continue;
        sharers |= std::uint64_t{1} << node;
        ++(permission == Permission::exclusive ? writers : readers);
        if (!world.current[node][page]) return "a node may use old contents";
    }
    if (writers > 1) return "two writers";
    if (writers == 1 && readers > 0) return "a reader beside a writer";
    const HomePage& home = world.home[page];
    if (home.busy) return nullptr;
    // Sharers may be fewer than the directory believes, but not those whose contents it relies on.
    const std::size_t at_home = model.homes[page];
    const LocalPage& provider =
        world.local[world.local[at_home][page].permission == Permission::none ? home.owner
                                                                              : at_home][page];
    if ((sharers & ~home.sharers) != 0 || home.exclusive != (writers == 1) ||
        provider.permission == Permission::none ||
        ((home.sharers >> at_home & 1) != 0) !=
            (world.local[at_home][page].permission != Permission::none))
        return "the directory is idle and wrong";
    return nullptr;
}

}  // namespace

const char* broken_invariant(const Model& model, const World& world) {
    for (std::size_t page = 0; page < model.pages(); ++page)
        if (const char* why = broken_page(model, world, page)) return why;
    return nullptr;
}

const char* broken_end(const Model& model, const World& world) {
    if (world.message_count != 0) return "ends with messages in flight";
    for (std::size_t v = 0; v < model.vcpus.size(); ++v)
        if (world.vcpus[v].instruction != 0 || world.vcpus[v].left != 0)
            return "ends with a vCPU that waits for ever";
    for (std::size_t page = 0; page < model.pages(); ++page) {
        const HomePage& home = world.home[page];
        if (home.busy || home.waiting_readers || home.waiting_writers)
            return "ends with a busy directory";
        for (std::size_t node = 0; node < model.nodes; ++node) {
            const LocalPage& local = world.local[node][page];
            if (local != LocalPage{.permission = local.permission, .source = local.source})
                return "ends with something left to do for a page";
        }
    }
    return nullptr;
}

}  // namespace vsmp::coherence::model
