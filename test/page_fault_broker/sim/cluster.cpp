#include "cluster.hpp"

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>

namespace vsmp::coherence::sim {
namespace {

using namespace std::chrono_literals;

NodeId node_id(std::size_t node) {
    return NodeId{static_cast<std::uint8_t>(node)};
}
Claimant claimant(std::size_t vcpu) {
    return Claimant{static_cast<std::uint32_t>(vcpu)};
}

bool permits(const LocalPage& page, Access access) {
    return page.permission == Permission::exclusive ||
           (page.permission == Permission::shared && access == Access::read);
}

}  // namespace

Options random_options(std::uint64_t seed) {
    std::mt19937_64 random{seed};
    const auto between = [&](std::uint64_t low, std::uint64_t high) {
        return low + random() % (high - low + 1);
    };
    Options options{.seed = seed};
    options.nodes = between(2, 8);
    options.vcpus_per_node = between(1, 3);
    options.most_pages_at_once = between(1, 10);
    options.pages = options.most_pages_at_once + between(0, 60);
    options.network = between(1, 100) * 1us;
    options.reaction = between(1, 30) * 1us;
    options.hold = options.reaction + between(1, 100) * 1us;
    options.think = between(0, 300) * 1us;
    options.ships = static_cast<double>(between(0, 3)) / 100;
    return options;
}

Cluster::Cluster(const Options& options)
    : options_(options),
      random_(options.seed),
      written_(options.pages),
      links_(options.nodes, std::vector<Link>(options.nodes)) {
    for (std::size_t n = 0; n < options.nodes; ++n) {
        nodes_.push_back({.pages = std::vector<Page>(options.pages),
                          .holds = HoldTable{hold_limits(node_id(n), options.nodes, options.hold,
                                                         2 * options.network)},
                          .timer = {}});
        for (std::size_t p = 0; p < options.pages; ++p)
            nodes_[n].pages[p].local = initial_local_page(node_id(n), home_of(p));
    }
    for (std::size_t p = 0; p < options.pages; ++p) homes_.push_back(initial_home_page(home_of(p)));
    vcpus_.resize(options.nodes * options.vcpus_per_node);
    for (std::size_t v = 0; v < vcpus_.size(); ++v) {
        vcpus_[v].node = v % options.nodes;
        schedule_attempt(v, up_to(options_.think));
    }
}

NodeId Cluster::home_of(std::size_t page) const {
    return node_id(page % options_.nodes);
}

// mt19937_64 is the same everywhere, the standard's distributions are not.
std::size_t Cluster::below(std::size_t limit) {
    return random_() % limit;
}
Duration Cluster::up_to(Duration longest) {
    return Duration{
        static_cast<Duration::rep>(below(static_cast<std::size_t>(longest.count()) + 1))};
}

void Cluster::schedule(Duration delay, Event event) {
    event.when = now_ + delay;
    event.number = next_number_++;
    queue_.push(event);
}

void Cluster::fail(const std::string& problem) {
    if (outcome_.problem.empty()) outcome_.problem = problem;
}

Outcome Cluster::run() {
    // Programs end after options_.events; what is under way then must end too.
    const std::uint64_t most_events = 4 * options_.events + 100'000;
    while (!queue_.empty() && outcome_.problem.empty()) {
        const Event event = queue_.top();
        queue_.pop();
        now_ = event.when;
        if (++outcome_.events > most_events) fail("livelock: instructions do not come to an end");
        if (options_.trace) trace(event);
        perform(event);
        for (std::size_t page : touched_) check(page);
        touched_.clear();
    }
    if (outcome_.problem.empty()) check_end();
    outcome_.duration = now_.time_since_epoch();
    return outcome_;
}

void Cluster::perform(const Event& event) {
    switch (event.kind) {
        case Event::Kind::attempt:
            if (vcpus_[event.a].turn == event.turn) attempt(event.a);
            return;
        case Event::Kind::report_fault:
            return report_fault(event.a, event.node, event.fault);
        case Event::Kind::deliver:
            return deliver(event.a, event.b);
        case Event::Kind::hold_timer:
            nodes_[event.a].timer.reset();
            return expire_holds(event.a);
    }
}

void Cluster::schedule_attempt(std::size_t vcpu, Duration delay) {
    schedule(delay, {.kind = Event::Kind::attempt, .a = vcpu, .turn = ++vcpus_[vcpu].turn});
}

void Cluster::start_instruction(Vcpu& vcpu) {
    vcpu.began = now_;
    const std::size_t count = 1 + below(options_.most_pages_at_once);
    for (std::size_t i = 0; i < count; ++i) {
        // Half of all touches go to a few pages, so that there is something to fight for.
        const std::size_t range = below(2) == 0 ? options_.most_pages_at_once : options_.pages;
        vcpu.instruction.push_back(
            {.page = below(range), .access = below(3) == 0 ? Access::write : Access::read});
    }
}

void Cluster::attempt(std::size_t index) {
    Vcpu& vcpu = vcpus_[index];
    if (vcpu.instruction.empty()) {
        if (outcome_.events > options_.events) return;
        start_instruction(vcpu);
    }
    for (const Touch& touch : vcpu.instruction) {
        if (permits(nodes_[vcpu.node].pages[touch.page].local, touch.access)) continue;
        if (below(10'000) < static_cast<std::size_t>(options_.ships * 10'000)) return ship(index);
        vcpu.waits_for = touch.page;
        return schedule(
            up_to(options_.reaction),
            {.kind = Event::Kind::report_fault, .a = index, .fault = touch, .node = vcpu.node});
    }
    execute(index);
    schedule_attempt(index, up_to(options_.think));
}

void Cluster::execute(std::size_t index) {
    Vcpu& vcpu = vcpus_[index];
    for (const Touch& touch : vcpu.instruction) {
        Page& page = nodes_[vcpu.node].pages[touch.page];
        if (page.version != written_[touch.page]) fail("a vCPU uses old contents");
        if (touch.access == Access::write) page.version = ++written_[touch.page];
        touched_.push_back(touch.page);
    }
    vcpu.instruction.clear();
    ++outcome_.instructions;
    outcome_.longest_instruction = std::max(outcome_.longest_instruction, now_ - vcpu.began);
}

// The vCPU goes elsewhere in the middle of an instruction; its faults may still be under way here.
void Cluster::ship(std::size_t index) {
    Vcpu& vcpu = vcpus_[index];
    nodes_[vcpu.node].holds.on_abandoned(claimant(index), now_);
    for (Page& page : nodes_[vcpu.node].pages) std::erase(page.claimants, index);
    set_timer(vcpu.node);
    vcpu.node = below(options_.nodes);
    schedule_attempt(index, up_to(options_.network));
}

void Cluster::report_fault(std::size_t index, std::size_t node, Touch fault) {
    Page& page = nodes_[node].pages[fault.page];
    // A fault of a vCPU that left meanwhile is answered, but nothing is held for it.
    const bool here = vcpus_[index].node == node;
    if (here && std::ranges::find(page.claimants, index) == page.claimants.end())
        page.claimants.push_back(index);
    local(node, fault.page, {.kind = LocalEventKind::fault, .access = fault.access, .message = {}},
          0);
    if (here && !page.claimants.empty()) {
        nodes_[node].holds.on_fault(claimant(index), PageNumber{fault.page}, now_);
        set_timer(node);
    }
}

void Cluster::send(std::size_t from, std::size_t to, const Message& message) {
    Link& link = links_[from][to];
    const std::size_t page = message.page.value();
    link.sent.push_back({message, nodes_[from].pages[page].version});
    const Duration delay = from == to ? Duration{} : up_to(options_.network);
    link.last_arrival = std::max(link.last_arrival, now_ + delay);
    schedule(link.last_arrival - now_, {.kind = Event::Kind::deliver, .a = from, .b = to});
}

void Cluster::deliver(std::size_t from, std::size_t to) {
    const Sent sent = links_[from][to].sent.front();
    links_[from][to].sent.pop_front();
    if (is_for_home(sent.message.kind)) return directory(to, sent.message);
    local(to, sent.message.page.value(),
          {.kind = LocalEventKind::message, .access = {}, .message = sent.message}, sent.version);
}

void Cluster::directory(std::size_t node, const Message& message) {
    const std::size_t page = message.page.value();
    if (home_of(page).value() != node) return fail("a request went to the wrong home");
    const HomeStep result = step(node_id(node), homes_[page], message);
    homes_[page] = result.next;
    bool skip = options_.mutation == Mutation::forget_sharer &&
                std::ranges::any_of(result.actions, [](const Action& action) {
                    return action.message.kind == MessageKind::invalidate;
                });
    for (const Action& action : result.actions) {
        Message out = action.message;
        if (options_.mutation == Mutation::forget_sharer && out.acks > 0) --out.acks;
        if (out.kind == MessageKind::invalidate && std::exchange(skip, false)) continue;
        send(node, action.to.value(), out);
    }
    touched_.push_back(page);
}

void Cluster::local(std::size_t node, std::size_t number, const LocalEvent& event,
                    std::uint64_t version) {
    Page& page = nodes_[node].pages[number];
    const LocalStep result =
        step(node_id(node), home_of(number), PageNumber{number}, page.local, event);
    page.local = result.next;
    touched_.push_back(number);
    std::vector<std::size_t> claimants;
    for (const Action& action : result.actions) {
        switch (action.kind) {
            case ActionKind::send:
                send(node, action.to.value(), action.message);
                break;
            case ActionKind::store_contents:
                page.version = version;
                break;
            case ActionKind::map_shared:
            case ActionKind::map_exclusive:
                claimants = std::exchange(page.claimants, {});
                wake(node, number);
                break;
            case ActionKind::revoke_write:
            case ActionKind::revoke_all:
            case ActionKind::take_home:
                break;  // vCPUs here look at the permission
            case ActionKind::start_hold:
                start_hold(node, number, claimants);
                break;
        }
    }
}

void Cluster::wake(std::size_t node, std::size_t page) {
    for (std::size_t v = 0; v < vcpus_.size(); ++v) {
        if (vcpus_[v].node != node || vcpus_[v].waits_for != page) continue;
        vcpus_[v].waits_for.reset();
        schedule_attempt(v, up_to(options_.reaction));
    }
}

void Cluster::start_hold(std::size_t node, std::size_t page,
                         const std::vector<std::size_t>& claimants) {
    if (claimants.empty() || options_.mutation == Mutation::no_hold) return end_hold(node, page);
    for (std::size_t v : claimants)
        nodes_[node].holds.on_granted(claimant(v), PageNumber{page}, now_);
    set_timer(node);
}

void Cluster::end_hold(std::size_t node, std::size_t page) {
    local(node, page, {.kind = LocalEventKind::hold_expired, .access = {}, .message = {}}, 0);
}

void Cluster::expire_holds(std::size_t node) {
    std::vector<PageNumber> pages;
    nodes_[node].holds.expired(now_, pages);
    for (PageNumber page : pages) end_hold(node, page.value());
    set_timer(node);
}

void Cluster::set_timer(std::size_t node) {
    const auto due = nodes_[node].holds.next_deadline();
    std::optional<Instant>& timer = nodes_[node].timer;
    if (!due || (timer && *timer <= *due)) return;
    timer = std::max(*due, now_);
    schedule(*timer - now_, {.kind = Event::Kind::hold_timer, .a = node});
}

void Cluster::check(std::size_t page) {
    std::uint64_t sharers = 0;
    int readers = 0, writers = 0;
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
        const Page& here = nodes_[n].pages[page];
        if (here.local.permission == Permission::none) continue;
        sharers |= std::uint64_t{1} << n;
        ++(here.local.permission == Permission::exclusive ? writers : readers);
        if (here.version != written_[page]) fail("a node may use old contents");
    }
    if (writers > 1) fail("two writers");
    if (writers == 1 && readers > 0) fail("a reader beside a writer");
    const HomePage& home = homes_[page];
    if (!home.busy && (home.sharers != sharers || home.exclusive != (writers == 1)))
        fail("the directory is idle and wrong");
}

void Cluster::check_end() {
    for (const Vcpu& vcpu : vcpus_)
        if (!vcpu.instruction.empty()) fail("ends with a vCPU that waits for ever");
    for (std::size_t p = 0; p < options_.pages; ++p) {
        check(p);
        if (homes_[p].busy) fail("ends with a busy directory");
        for (const Node& node : nodes_) {
            const LocalPage& local = node.pages[p].local;
            if (local != LocalPage{.permission = local.permission, .source = local.source})
                fail("ends with something left to do for a page");
        }
    }
    for (const Node& node : nodes_)
        if (node.holds.next_deadline()) fail("ends with a page that is held");
}

void Cluster::trace(const Event& event) const {
    static constexpr const char* kKinds[] = {"attempt", "fault", "deliver", "hold timer"};
    std::fprintf(stderr, "%10.1f us %s %zu",
                 std::chrono::duration<double, std::micro>(now_.time_since_epoch()).count(),
                 kKinds[static_cast<std::size_t>(event.kind)], event.a);
    if (event.kind == Event::Kind::report_fault)
        std::fprintf(stderr, " page %zu %s", event.fault.page,
                     event.fault.access == Access::read ? "read" : "write");
    if (event.kind == Event::Kind::deliver) {
        const Message& message = links_[event.a][event.b].sent.front().message;
        std::fprintf(stderr, " -> %zu kind %d page %zu for %d acks %d", event.b,
                     static_cast<int>(message.kind), static_cast<std::size_t>(message.page.value()),
                     message.requester.value(), message.acks);
    }
    std::fputc('\n', stderr);
}

}  // namespace vsmp::coherence::sim
