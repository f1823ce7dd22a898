#include "world.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

namespace vsmp::coherence::model {
namespace {

NodeId node_id(std::size_t node) {
    return NodeId{static_cast<std::uint8_t>(node)};
}

bool is_request(MessageKind kind) {
    return kind == MessageKind::read_request || kind == MessageKind::write_request;
}
bool carries_contents(const Message& message) {
    return message.contents != Contents::none;
}

bool permits(const LocalPage& page, Access access) {
    return page.permission == Permission::exclusive ||
           (page.permission == Permission::shared && access == Access::read);
}

const Touch* first_missing(const World& world, std::size_t node, const Instruction& instruction) {
    for (const Touch& touch : instruction)
        if (!permits(world.local[node][touch.page], touch.access)) return &touch;
    return nullptr;
}

// Performs transitions on a world; the first thing that goes wrong sticks in `problem`.
class Performer {
  public:
    Performer(const Model& model, World& world) : model_(model), world_(world) {}

    void deliver(std::size_t position);
    void report_fault(std::size_t vcpu);
    void attempt(std::size_t vcpu);
    void end_hold(std::size_t node, std::size_t page);
    void end_holds_of(std::size_t vcpu);
    void evict(std::size_t node, std::size_t page);
    void discard(std::size_t node, std::size_t page);
    void take_home(std::size_t page);
    void prefetch(std::size_t node, std::size_t page, Access access);
    const char* problem() const { return problem_; }

  private:
    void send(std::size_t from, std::size_t to, const Message& message);
    void directory(std::size_t node, const InFlight& message);
    void local(std::size_t node, std::size_t page, const LocalEvent& event, bool contents_current);
    void wake(std::size_t node, std::size_t page);
    void start_hold(std::size_t node, std::size_t page, std::uint8_t claimants);
    void let_go(std::size_t vcpu, std::size_t page);
    void execute(std::size_t node, const Instruction& instruction);
    void write(std::size_t node, std::size_t page);

    const Model& model_;
    World& world_;
    const char* problem_ = nullptr;
};

void Performer::send(std::size_t from, std::size_t to, const Message& message) {
    World& w = world_;
    if (w.message_count == kMaxInFlight) {
        problem_ = "more messages in flight than the protocol should need";
        return;
    }
    const auto page = static_cast<std::uint8_t>(message.page.value());
    InFlight added{.from = static_cast<std::uint8_t>(from),
                   .to = static_cast<std::uint8_t>(to),
                   .kind = message.kind,
                   .page = page,
                   .requester = message.requester.value(),
                   .acks = message.acks,
                   .current = carries_contents(message) && w.current[from][page],
                   .offer = !carries_contents(message) && message.version != 0};
    if (is_request(message.kind)) added.offer = true;  // a copy of wrong contents changes nothing
    if (carries_contents(message) && message.version != 0)
        added.same = model_.mutation == Mutation::revalidate_old ||
                     w.current[to][page] == w.current[from][page];
    const auto pair = [](const InFlight& m) { return m.from * kMaxModelNodes + m.to; };
    std::size_t at = w.message_count++;
    for (; at > 0 && pair(w.messages[at - 1]) > pair(added); --at)
        w.messages[at] = w.messages[at - 1];
    w.messages[at] = added;
}

void Performer::deliver(std::size_t position) {
    const InFlight message = world_.messages[position];
    for (std::size_t i = position + 1; i < world_.message_count; ++i)
        world_.messages[i - 1] = world_.messages[i];
    world_.messages[--world_.message_count] = {};
    if (is_for_home(message.kind)) return directory(message.to, message);

    LocalEvent event{.kind = LocalEventKind::message,
                     .access = {},
                     .message = {.kind = message.kind,
                                 .page = PageNumber{message.page},
                                 .requester = NodeId{message.requester},
                                 .acks = message.acks,
                                 .version = message.offer}};
    const bool grant =
        message.kind == MessageKind::exclusive_data || message.kind == MessageKind::upgrade_grant;
    if (grant && model_.mutation == Mutation::grant_before_acks) event.message.acks = 0;
    local(message.to, message.page, event,
          message.same ? world_.current[message.to][message.page] : message.current);
}

void Performer::directory(std::size_t node, const InFlight& in) {
    if (model_.homes[in.page] != node) {
        problem_ = "a request went to a node that is not the page's home";
        return;
    }
    HomePage& entry = world_.home[in.page];
    if (model_.mutation == Mutation::grant_twice && entry.busy && in.kind != MessageKind::done)
        entry = step(node_id(node), entry,
                     {.kind = MessageKind::done,
                      .page = PageNumber{in.page},
                      .requester = NodeId{entry.requester}})
                    .next;
    const HomeStep result = step(node_id(node), entry,
                                 {.kind = in.kind,
                                  .page = PageNumber{in.page},
                                  .requester = NodeId{in.requester},
                                  .version = in.offer});
    entry = result.next;
    const auto invalidates = [](const Action& a) {
        return a.message.kind == MessageKind::invalidate;
    };
    const Action* skipped = nullptr;
    if (model_.mutation == Mutation::forget_sharer ||
        model_.mutation == Mutation::lose_invalidation)
        skipped = std::find_if(result.actions.begin(), result.actions.end(), invalidates);
    const bool any_skipped = skipped && skipped != result.actions.end();
    for (const Action& action : result.actions) {
        if (any_skipped && &action == skipped) continue;
        if (action.kind == ActionKind::take_home) {
            world_.coming_home[in.page] = true;
            continue;
        }
        Message message = action.message;
        if (any_skipped && message.acks > 0 && model_.mutation == Mutation::forget_sharer)
            --message.acks;
        send(node, action.to.value(), message);
    }
}

void Performer::local(std::size_t node, std::size_t page, const LocalEvent& event,
                      bool contents_current) {
    LocalPage& state = world_.local[node][page];
    const LocalStep result =
        step(node_id(node), NodeId{model_.homes[page]}, PageNumber{page}, state, event);
    state = result.next;
    if (!state.held) world_.holders[node][page] = 0;
    std::uint8_t claimants = 0;
    for (const Action& action : result.actions) {
        switch (action.kind) {
            case ActionKind::send:
                send(node, action.to.value(), action.message);
                break;
            case ActionKind::store_contents:
                world_.current[node][page] = contents_current;
                break;
            case ActionKind::map_shared:
            case ActionKind::map_exclusive:
                claimants = std::exchange(world_.claims[node][page], std::uint8_t{0});
                wake(node, page);
                break;
            case ActionKind::revoke_write:
            case ActionKind::revoke_all:
            case ActionKind::take_home:
                break;  // the vCPUs of the model look at the permission
            case ActionKind::start_hold:
                start_hold(node, page, claimants);
                break;
        }
    }
}

void Performer::wake(std::size_t node, std::size_t page) {
    for (std::size_t v = 0; v < model_.vcpus.size(); ++v) {
        Vcpu& vcpu = world_.vcpus[v];
        if (model_.vcpus[v] != node || !vcpu.waiting || vcpu.waits_for != page) continue;
        vcpu.waiting = false;
        vcpu.waits_for = 0;
    }
}

void Performer::start_hold(std::size_t node, std::size_t page, std::uint8_t claimants) {
    if (model_.mutation == Mutation::no_hold) return end_hold(node, page);
    if (model_.hold == HoldModel::ends_any_time) return;
    if (claimants == 0) return end_hold(node, page);
    world_.holders[node][page] = claimants;
}

void Performer::end_hold(std::size_t node, std::size_t page) {
    local(node, page, {.kind = LocalEventKind::hold_expired, .access = {}, .message = {}}, false);
}

void Performer::let_go(std::size_t vcpu, std::size_t page) {
    const std::size_t node = model_.vcpus[vcpu];
    std::uint8_t& holders = world_.holders[node][page];
    if (!(holders & 1 << vcpu)) return;
    holders = static_cast<std::uint8_t>(holders & ~(1 << vcpu));
    if (holders == 0) end_hold(node, page);
}

void Performer::end_holds_of(std::size_t vcpu) {
    for (std::size_t page = 0; page < model_.pages(); ++page) let_go(vcpu, page);
}

void Performer::evict(std::size_t node, std::size_t page) {
    LocalPage& state = world_.local[node][page];
    --world_.evictions_left;
    if (model_.mutation == Mutation::drop_source) state.source = false;
    if (model_.mutation == Mutation::lose_dirty_page && state.permission == Permission::exclusive) {
        const NodeId home{model_.homes[page]};
        state = {};
        world_.home[page] = initial_home_page(home);
        world_.local[home.value()][page] = initial_local_page(home, home);
        return;
    }
    local(node, page, {.kind = LocalEventKind::evict, .access = {}, .message = {}}, false);
}

void Performer::discard(std::size_t node, std::size_t page) {
    --world_.evictions_left;
    world_.current[node][page] = false;
}

// The product looks again when it has made room, and so does this.
void Performer::take_home(std::size_t page) {
    const NodeId home{model_.homes[page]};
    world_.coming_home[page] = false;
    if (const auto access = access_to_take_home(home, world_.home[page]))
        local(home.value(), page, {.kind = LocalEventKind::fault, .access = *access, .message = {}},
              false);
}

void Performer::prefetch(std::size_t node, std::size_t page, Access access) {
    --world_.prefetches_left;
    local(node, page, {.kind = LocalEventKind::fault, .access = access, .message = {}}, false);
}

void Performer::report_fault(std::size_t index) {
    Vcpu& vcpu = world_.vcpus[index];
    const std::size_t node = model_.vcpus[index];
    const std::size_t page = std::exchange(vcpu.fault_page, std::uint8_t{0});
    const Access access = std::exchange(vcpu.fault_access, Access{});
    vcpu.fault = false;
    const LocalEvent event{.kind = LocalEventKind::fault, .access = access, .message = {}};
    if (model_.hold == HoldModel::ends_any_time) return local(node, page, event, false);
    std::uint8_t& claims = world_.claims[node][page];
    claims = static_cast<std::uint8_t>(claims | 1 << index);
    local(node, page, event, false);
    if (claims & 1 << index) let_go(index, page);  // not mapped at once: HoldTable::on_fault
}

void Performer::attempt(std::size_t index) {
    Vcpu& vcpu = world_.vcpus[index];
    const std::size_t node = model_.vcpus[index];
    const Instruction& instruction = model_.instructions[vcpu.instruction - 1u];
    const Touch* missing = first_missing(world_, node, instruction);
    if (!missing) {
        vcpu.instruction = 0;
        return execute(node, instruction);
    }
    vcpu.waiting = true;
    vcpu.waits_for = missing->page;
    vcpu.fault = true;
    vcpu.fault_page = missing->page;
    vcpu.fault_access = missing->access;
}

void Performer::execute(std::size_t node, const Instruction& instruction) {
    for (const Touch& touch : instruction) {
        if (!world_.current[node][touch.page]) problem_ = "a vCPU uses old contents";
        if (touch.access == Access::write) write(node, touch.page);
    }
}

void Performer::write(std::size_t node, std::size_t page) {
    for (std::size_t other = 0; other < model_.nodes; ++other)
        world_.current[other][page] = other == node;
    for (std::size_t i = 0; i < world_.message_count; ++i)
        if (world_.messages[i].page == page) world_.messages[i].current = false;
}

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

const char* apply(const Model& model, World& world, Transition transition) {
    Performer performer{model, world};
    switch (transition.kind) {
        case Transition::Kind::deliver:
            performer.deliver(transition.a);
            break;
        case Transition::Kind::report_fault:
            performer.report_fault(transition.a);
            break;
        case Transition::Kind::start:
            --world.vcpus[transition.a].left;
            world.vcpus[transition.a].instruction = static_cast<std::uint8_t>(transition.b + 1);
            performer.attempt(transition.a);
            break;
        case Transition::Kind::retry:
            performer.attempt(transition.a);
            break;
        case Transition::Kind::end_hold:
            performer.end_hold(transition.a, transition.b);
            break;
        case Transition::Kind::end_holds_of:
        case Transition::Kind::cut_burst:
            performer.end_holds_of(transition.a);
            break;
        case Transition::Kind::evict:
            performer.evict(transition.a, transition.b);
            break;
        case Transition::Kind::discard:
            performer.discard(transition.a, transition.b);
            break;
        case Transition::Kind::take_home:
            performer.take_home(transition.b);
            break;
        case Transition::Kind::prefetch:
            performer.prefetch(transition.a, transition.b, Access::read);
            break;
        case Transition::Kind::prefetch_write:
            performer.prefetch(transition.a, transition.b, Access::write);
            break;
    }
    return performer.problem();
}

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

std::string describe(const Model& model, const World& world, Transition t) {
    static constexpr const char* kKinds[] = {
        "",           "read_request",    "write_request", "forward_read",   "forward_write",
        "invalidate", "invalidate_ack",  "shared_data",   "exclusive_data", "upgrade_grant",
        "done",       "upgrade_request", "release",       "release_refused"};
    std::ostringstream out;
    const auto vcpu = [&] {
        return "vCPU " + std::to_string(t.a) + " on node " + std::to_string(model.vcpus[t.a]);
    };
    switch (t.kind) {
        case Transition::Kind::deliver: {
            const InFlight& m = world.messages[t.a];
            out << int{m.from} << " -> " << int{m.to} << ": "
                << kKinds[static_cast<std::size_t>(m.kind)] << " page " << int{m.page} << " for "
                << int{m.requester} << " acks " << int{m.acks};
            break;
        }
        case Transition::Kind::report_fault:
            out << vcpu() << ": fault on page " << int{world.vcpus[t.a].fault_page} << " reported";
            break;
        case Transition::Kind::start:
            out << vcpu() << " starts instruction " << int{t.b};
            break;
        case Transition::Kind::retry:
            out << vcpu() << " tries again";
            break;
        case Transition::Kind::end_hold:
            out << "node " << int{t.a} << ": hold of page " << int{t.b} << " over";
            break;
        case Transition::Kind::end_holds_of:
            out << vcpu() << ": holds over";
            break;
        case Transition::Kind::cut_burst:
            out << vcpu() << ": burst cut";
            break;
        case Transition::Kind::evict:
            out << "node " << int{t.a} << " evicts page " << int{t.b};
            break;
        case Transition::Kind::discard:
            out << "node " << int{t.a} << " discards its old copy of page " << int{t.b};
            break;
        case Transition::Kind::take_home:
            out << "home takes page " << int{t.b} << " back";
            break;
        case Transition::Kind::prefetch:
        case Transition::Kind::prefetch_write:
            out << "node " << int{t.a} << " prefetches page " << int{t.b}
                << (t.kind == Transition::Kind::prefetch ? " to read" : " to write");
            break;
    }
    return out.str();
}

}  // namespace vsmp::coherence::model
