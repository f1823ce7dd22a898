// What can happen next in a world.
#include <algorithm>

#include "world.hpp"

namespace vsmp::coherence::model {
namespace {

// A vCPU whose last fault is still on its way (it was woken before) cannot raise another one; what
// it would do then it does a little later.
bool can_attempt(const Model& model, const World& world, std::size_t vcpu,
                 std::size_t instruction) {
    return !world.vcpus[vcpu].fault ||
           !first_missing(world, model.vcpus[vcpu], model.instructions[instruction]);
}

bool first_of_pair(const World& world, std::size_t i) {
    return i == 0 || world.messages[i].from != world.messages[i - 1].from ||
           world.messages[i].to != world.messages[i - 1].to;
}

bool holds_pages(const Model& model, const World& world, std::size_t vcpu) {
    for (std::size_t page = 0; page < model.pages(); ++page)
        if (world.holders[model.vcpus[vcpu]][page] & 1 << vcpu) return true;
    return false;
}

void enabled_cuts(const Model& model, const World& world, std::vector<Transition>& transitions) {
    std::size_t shortest = kMaxModelNodes;
    for (std::size_t v = 0; v < model.vcpus.size(); ++v)
        if (holds_pages(model, world, v))
            shortest = std::min<std::size_t>(shortest, model.vcpus[v]);
    for (std::size_t v = 0; v < model.vcpus.size(); ++v)
        if (model.vcpus[v] == shortest && holds_pages(model, world, v))
            transitions.push_back({Transition::Kind::cut_burst, static_cast<std::uint8_t>(v)});
}

void enabled_hold_ends(const Model& model, const World& world,
                       std::vector<Transition>& transitions) {
    if (model.hold == HoldModel::slower_than_network) {
        for (std::size_t v = 0; v < model.vcpus.size(); ++v)
            if (world.vcpus[v].instruction == 0 && holds_pages(model, world, v))
                transitions.push_back(
                    {Transition::Kind::end_holds_of, static_cast<std::uint8_t>(v)});
        if (transitions.empty()) enabled_cuts(model, world, transitions);
        return;
    }
    for (std::uint8_t node = 0; node < model.nodes; ++node)
        for (std::uint8_t page = 0; page < model.pages(); ++page)
            if (world.local[node][page].held)
                transitions.push_back({Transition::Kind::end_hold, node, page});
}

// Evictions that would do nothing are left out.
void enabled_evictions(const Model& model, const World& world,
                       std::vector<Transition>& transitions) {
    for (std::uint8_t page = 0; page < model.pages(); ++page) {
        if (world.coming_home[page])
            transitions.push_back({Transition::Kind::take_home, model.homes[page], page});
        for (std::uint8_t node = 0; node < model.nodes; ++node) {
            const LocalPage& local = world.local[node][page];
            const bool idle = local.request == Request::none && !local.held;
            const bool stale = local.permission == Permission::none;
            if (world.evictions_left > 0 && idle && !stale && !local.releasing &&
                node != model.homes[page])
                transitions.push_back({Transition::Kind::evict, node, page});
            if (world.evictions_left > 0 && stale && world.current[node][page] &&
                (idle || model.mutation == Mutation::forget_offer))
                transitions.push_back({Transition::Kind::discard, node, page});
            if (world.prefetches_left == 0 || !idle) continue;
            if (stale) transitions.push_back({Transition::Kind::prefetch, node, page});
            if (local.permission != Permission::exclusive)
                transitions.push_back({Transition::Kind::prefetch_write, node, page});
        }
    }
}

}  // namespace

void enabled(const Model& model, const World& world, std::vector<Transition>& transitions) {
    transitions.clear();
    for (std::uint8_t i = 0; i < world.message_count; ++i)
        if (first_of_pair(world, i)) transitions.push_back({Transition::Kind::deliver, i});
    for (std::uint8_t v = 0; v < model.vcpus.size(); ++v) {
        const Vcpu& vcpu = world.vcpus[v];
        if (vcpu.fault) transitions.push_back({Transition::Kind::report_fault, v});
        if (vcpu.instruction != 0) {
            if (!vcpu.waiting && can_attempt(model, world, v, vcpu.instruction - 1u))
                transitions.push_back({Transition::Kind::retry, v});
        } else if (vcpu.left > 0) {
            for (std::uint8_t i = 0; i < model.instructions.size(); ++i)
                if (can_attempt(model, world, v, i))
                    transitions.push_back({Transition::Kind::start, v, i});
        }
    }
    enabled_evictions(model, world, transitions);
    enabled_hold_ends(model, world, transitions);
}

}  // namespace vsmp::coherence::model
