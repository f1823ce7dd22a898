#include "performer.hpp"

#include <algorithm>
#include <utility>

namespace vsmp::coherence::model {
namespace {

bool is_request(MessageKind kind) {
    return kind == MessageKind::read_request || kind == MessageKind::write_request;
}
bool carries_contents(const Message& message) {
    return message.contents != Contents::none;
}

}  // namespace

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

}  // namespace vsmp::coherence::model
