#include "cluster.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace vsmp::coherence::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kEventsBetweenLooks = 256;  // at what the kernel counts

NodeId node_id(std::size_t node) {
    return NodeId{static_cast<std::uint8_t>(node)};
}
Claimant claimant(std::size_t vcpu) {
    return Claimant{static_cast<std::uint32_t>(vcpu)};
}

HoldLimits limits_of(const Options& options, std::size_t node) {
    if (options.mutation == Mutation::no_hold)
        return {.hold = 1ns, .patience = 1ns, .spread = 1, .seed = node};
    return hold_limits(node_id(node), options.nodes, options.hold,
                       2 * (options.wire.latency + options.wire.jitter));
}

}  // namespace

struct Cluster::Node {
    Node(const Options& options, std::size_t self, Mappings& mappings, std::uint64_t limit)
        : memory(*GuestMemory::create(options.nodes * options.pages_per_node)),
          mapper(mappings, self),
          broker(node_id(self),
                 HomeMap{std::vector<std::uint64_t>(options.nodes, options.pages_per_node)},
                 limits_of(options, self), memory, mapper, limit) {}

    GuestMemory memory;
    SimMapper mapper;
    Broker broker;
    std::optional<Instant> timer;
};

Options random_options(std::uint64_t seed) {
    std::mt19937_64 random{seed};
    const auto between = [&](std::uint64_t low, std::uint64_t high) {
        return low + random() % (high - low + 1);
    };
    Options options{.seed = seed};
    // Every eighth is a large cluster, every fourth has links of the product between its nodes.
    options.nodes = seed % 8 == 0 ? between(16, 64) : between(2, 8);
    if (seed % 4 == 1) options.network = NetworkKind::fabrics;
    if (seed % 2 == 0) options.companions = coherence::kMaxCompanions;
    options.vcpus_per_node = between(1, 3);
    options.most_pages_at_once = between(1, 10);
    options.pages_per_node = between(1, 12);
    options.most_pages_at_once =
        std::min(options.most_pages_at_once, options.nodes * options.pages_per_node);
    // Every third has no limit, every third the smallest with which any instruction fits: then all
    // that is obtained has something evicted.
    const std::size_t least = options.most_pages_at_once * options.vcpus_per_node;
    if (seed % 3 != 0) options.spare_pages = least + (seed % 3 == 1 ? 1 : between(1, 8));
    options.wire.latency = between(1, 50) * 1us;
    options.wire.jitter = between(0, 50) * 1us;
    options.wire.loss = static_cast<double>(between(0, 5)) / 100;
    options.wire.doubled = options.wire.delayed = static_cast<double>(between(0, 5)) / 100;
    options.reaction = between(1, 30) * 1us;
    options.hold = options.reaction + between(1, 100) * 1us;
    options.think = between(0, 300) * 1us;
    options.ships = static_cast<double>(between(0, 3)) / 100;
    options.prefetches = static_cast<double>(between(0, 10)) / 100;
    return options;
}

Cluster::Cluster(const Options& options)
    : options_(options),
      random_(options.seed),
      mappings_(options.nodes, options.nodes * options.pages_per_node),
      network_((options.network == NetworkKind::masked ? masked_network : fabric_network)(
          options.nodes, options.wire, options.seed)),
      written_(pages()) {
    const std::uint64_t more = options.mutation == Mutation::exceed_limit ? 1 : 0;
    for (std::size_t n = 0; n < options.nodes; ++n) {
        nodes_.push_back(
            std::make_unique<Node>(options_, n, mappings_, limit() == 0 ? 0 : limit() + more));
        nodes_[n]->broker.set_companions(options_.companions);
        nodes_[n]->broker.attach(&network_->fabric(n));
        nodes_[n]->broker.set_turn_clock(this);
        // Half of the pages have contents from the start, the others are zero.
        for (std::size_t p = n * options.pages_per_node; p < (n + 1) * options.pages_per_node;
             p += 2) {
            word(n, p) = written_[p] = ++next_value_;
            nodes_[n]->broker.mark_populated(PageNumber{p}, 1);
        }
    }
    if (!options_.load)
        options_.load = random_load(pages(), options.most_pages_at_once, options.seed);
    vcpus_.resize(options.nodes * options.vcpus_per_node);
    for (std::size_t v = 0; v < vcpus_.size(); ++v) {
        vcpus_[v].node = v % options.nodes;
        schedule_attempt(v, up_to(options_.think));
    }
}

Cluster::~Cluster() = default;

std::optional<Duration> Cluster::had(Claimant claimant) const {
    if (claimant.value() >= vcpus_.size()) return std::nullopt;  // left, see report_fault()
    const Vcpu& vcpu = vcpus_[claimant.value()];
    return vcpu.had + (vcpu.runs_since ? now_ - *vcpu.runs_since : Duration::zero());
}

void Cluster::stop_running(Vcpu& vcpu) {
    if (vcpu.runs_since) vcpu.had += now_ - *vcpu.runs_since;
    vcpu.runs_since.reset();
}

Duration Cluster::reaction_of(std::size_t vcpu) {
    return up_to(vcpu == 0 ? std::max(options_.reaction, options_.slow_reaction)
                           : options_.reaction);
}

std::uint64_t& Cluster::word(std::size_t node, std::size_t page) {
    return *reinterpret_cast<std::uint64_t*>(
        nodes_[node]->memory.contents(PageNumber{page}).data());
}

std::size_t Cluster::below(std::size_t limit) {
    return random_() % limit;
}
Duration Cluster::up_to(Duration longest) {
    return Duration{
        static_cast<Duration::rep>(below(static_cast<std::size_t>(longest.count()) + 1))};
}
bool Cluster::chance(double p) {
    return p > 0 && static_cast<double>(below(1'000'000)) < p * 1e6;
}

void Cluster::schedule(Duration delay, Event event) {
    event.when = now_ + delay;
    event.number = next_number_++;
    queue_.push(event);
}

void Cluster::schedule_attempt(std::size_t vcpu, Duration delay) {
    schedule(delay, {.kind = Event::Kind::attempt, .a = vcpu, .turn = ++vcpus_[vcpu].turn});
}

void Cluster::fail(const std::string& problem) {
    if (outcome_.problem.empty()) outcome_.problem = problem;
}

// Links keep themselves busy for ever; they do not count once all instructions are over.
bool Cluster::over() const {
    return queue_.empty() && network_->idle();
}

Outcome Cluster::run() {
    // vCPUs begin nothing new after options_.events; what is under way then must end, too.
    const std::uint64_t most_events = 4 * options_.events + 200'000;
    while (!over() && outcome_.problem.empty()) {
        if (++outcome_.events > most_events) fail("livelock: instructions do not come to an end");
        step();
        if (outcome_.events % kEventsBetweenLooks == 0)
            for (std::size_t n = 0; n < nodes_.size(); ++n) check_limit(n);
    }
    if (outcome_.problem.empty()) check_end();
    for (const auto& node : nodes_) {
        const BrokerCounters& c = node->broker.counters();
        outcome_.misses += c.fetches_read + c.fetches_write + c.upgrades;
        outcome_.revalidated += c.revalidated;
        outcome_.passing += node->broker.memory_counters().passing;
        outcome_.evicted +=
            node->broker.memory_counters().dropped + node->broker.memory_counters().released;
    }
    outcome_.traffic = network_->traffic();
    outcome_.duration = now_.time_since_epoch();
    return outcome_;
}

void Cluster::step() {
    const auto arrival = network_->next(now_);
    if (arrival && (queue_.empty() || *arrival <= queue_.top().when)) {
        now_ = *arrival;
        network_->advance(now_, [this](std::size_t to, NodeId from, ByteView payload) {
            deliver(to, from, payload);
        });
        return;
    }
    if (queue_.empty()) return fail("nothing can happen any more, and something waits");
    const Event event = queue_.top();
    queue_.pop();
    now_ = event.when;
    if (options_.trace) trace(event);
    perform(event);
}

void Cluster::perform(const Event& event) {
    switch (event.kind) {
        case Event::Kind::attempt:
            if (vcpus_[event.a].turn == event.turn) attempt(event.a);
            return;
        case Event::Kind::fault:
            return report_fault(event);
        case Event::Kind::timer:
            nodes_[event.a]->timer.reset();
            nodes_[event.a]->broker.on_timer(now_);
            return settle(event.a);
    }
}

void Cluster::attempt(std::size_t index) {
    Vcpu& vcpu = vcpus_[index];
    if (!vcpu.runs_since) vcpu.runs_since = now_;
    if (vcpu.instruction.empty()) {
        if (outcome_.events > options_.events) return;
        std::optional<Instruction> next = options_.load(index);
        if (!next) return;
        if (next->empty()) return schedule_attempt(index, options_.wire.latency);
        vcpu.began = now_;
        vcpu.instruction = std::move(*next);
    }
    for (const Touch& touch : vcpu.instruction) {
        if (mappings_.permits(vcpu.node, touch.page, touch.access)) continue;
        if (chance(options_.ships)) return ship(index);
        stop_running(vcpu);
        vcpu.waits_for = touch.page;
        vcpu.waits_since = now_;
        vcpu.waits_remote = false;
        return schedule(
            up_to(options_.reaction),
            {.kind = Event::Kind::fault, .a = index, .fault = touch, .node = vcpu.node});
    }
    execute(index);
    schedule_attempt(index, up_to(options_.think));
}

void Cluster::execute(std::size_t index) {
    Vcpu& vcpu = vcpus_[index];
    for (const Touch& touch : vcpu.instruction) {
        if (word(vcpu.node, touch.page) != written_[touch.page]) fail("a read sees old contents");
        // Some writes change nothing: the old copies of others then are still good.
        if (touch.access == Access::write && below(4) != 0)
            word(vcpu.node, touch.page) = written_[touch.page] = ++next_value_;
    }
    vcpu.instruction.clear();
    ++outcome_.instructions;
    outcome_.longest_instruction = std::max(outcome_.longest_instruction, now_ - vcpu.began);
}

// The vCPU goes elsewhere in the middle of an instruction; its faults may still be under way here.
void Cluster::ship(std::size_t index) {
    Vcpu& vcpu = vcpus_[index];
    nodes_[vcpu.node]->broker.on_abandoned(claimant(index), now_);
    settle(vcpu.node);
    stop_running(vcpu);
    vcpu.node = below(options_.nodes);
    schedule_attempt(index, options_.wire.latency);
}

void Cluster::report_fault(const Event& event) {
    Node& node = *nodes_[event.node];
    if (network_->fabric(event.node).congested()) return schedule(10us, event);
    const Userfault fault{PageNumber{event.fault.page}, event.fault.access, 0};
    Vcpu& vcpu = vcpus_[event.a];
    vcpu.waits_remote = node.broker.is_remote(fault);
    // A fault of a vCPU that left meanwhile is answered, for somebody who does not exist.
    const bool here = vcpu.node == event.node;
    node.broker.on_fault(fault, claimant(here ? event.a : vcpus_.size() + event.a), now_);
    if (chance(options_.prefetches)) {
        const std::array ahead{PageNumber{below(pages())}, PageNumber{below(pages())}};
        node.broker.prefetch(ahead, below(2) ? Access::read : Access::write,
                             below(2) ? MapAhead::at_once : MapAhead::on_touch, now_);
    }
    settle(event.node);
}

void Cluster::deliver(std::size_t to, NodeId from, ByteView payload) {
    if (options_.trace)
        std::fprintf(stderr, "%10.1f us %d -> %zu kind %d\n",
                     std::chrono::duration<double, std::micro>(now_.time_since_epoch()).count(),
                     from.value(), to, std::to_integer<int>(payload[0]));
    std::vector<std::byte> changed;
    if (options_.mutation != Mutation::none) {
        while (!payload.empty()) {
            const auto decoded = decode(take_message(payload), pages(), options_.nodes);
            if (!decoded) return fail("a message that cannot be decoded");
            Message message = decoded->message;
            if (!mutate(to, message)) continue;
            std::array<std::byte, kMessageHeaderSize> header;
            ByteWriter writer{header};
            encode(message, writer);
            changed.insert(changed.end(), header.begin(), header.end());
            if (message.contents == Contents::page)
                changed.insert(changed.end(), decoded->contents.begin(), decoded->contents.end());
        }
        payload = changed;
    }
    nodes_[to]->broker.on_message(from, payload, now_);
    settle(to);
}

bool Cluster::mutate(std::size_t to, Message& message) {
    const bool data =
        message.kind == MessageKind::shared_data || message.kind == MessageKind::exclusive_data;
    const bool full = data && message.contents == Contents::page;
    switch (options_.mutation) {
        case Mutation::none:
        case Mutation::no_hold:
        case Mutation::exceed_limit:
            return true;
        case Mutation::forget_sharer:
            if (message.kind != MessageKind::invalidate || message.requester == node_id(to))
                return true;
            {
                message.kind = MessageKind::invalidate_ack;
                std::array<std::byte, kMessageHeaderSize> bytes;
                ByteWriter writer{bytes};
                encode(message, writer);
                network_->fabric(to).send(message.requester, fabric::Channel::coherence,
                                          writer.written());
            }
            return false;
        case Mutation::lose_invalidation:
            return message.kind != MessageKind::invalidate;
        case Mutation::grant_before_acks:
            if (message.kind == MessageKind::exclusive_data ||
                message.kind == MessageKind::upgrade_grant)
                message.acks = 0;
            return true;
        case Mutation::lose_dirty_page:
            if (full && message.page.value() / options_.pages_per_node == to)
                message.contents = Contents::zero;
            return true;
        case Mutation::revalidate_old:
            if (message.version != 0)
                offers_.insert({message.requester.value(), message.page.value()});
            if (data && offers_.erase({to, message.page.value()}) > 0 && full)
                message.contents = Contents::same;
            return true;
    }
    VSMP_CHECK(false, "mutation out of range");
}

void Cluster::settle(std::size_t node) {
    for (const Mapped& mapped : std::exchange(mappings_.mapped, {})) {
        check_page(mapped);
        wake(mapped);
    }
    if (limit() != 0 && nodes_[node]->broker.memory_counters().resident > limit())
        fail("more resident pages than the limit");
    const auto due = nodes_[node]->broker.next_deadline();
    std::optional<Instant>& timer = nodes_[node]->timer;
    if (!due || (timer && *timer <= *due)) return;
    timer = std::max(*due, now_);
    schedule(*timer - now_, {.kind = Event::Kind::timer, .a = node});
}

void Cluster::wake(const Mapped& mapped) {
    for (std::size_t v = 0; v < vcpus_.size(); ++v) {
        Vcpu& vcpu = vcpus_[v];
        if (vcpu.node != mapped.node || vcpu.waits_for != mapped.page) continue;
        vcpu.waits_for.reset();
        if (vcpu.waits_remote) outcome_.waits.push_back(now_ - vcpu.waits_since);
        schedule_attempt(v, reaction_of(v));
    }
}

void Cluster::check_page(const Mapped& mapped) {
    if (const char* why = mappings_.broken(mapped.page)) fail(why);
    if (mappings_.pte(mapped.node, mapped.page) != Pte::none &&
        word(mapped.node, mapped.page) != written_[mapped.page])
        fail("a node may use old contents");
}

void Cluster::check_limit(std::size_t node) {
    if (limit() == 0) return;
    const auto resident = nodes_[node]->memory.resident_pages();
    if (!resident || *resident > limit()) fail("more resident pages than the limit, by the kernel");
}

void Cluster::check_end() {
    for (const Vcpu& vcpu : vcpus_)
        if (!vcpu.instruction.empty()) fail("ends with a vCPU that waits for ever");
    for (std::size_t n = 0; n < nodes_.size(); ++n) {
        check_limit(n);
        if (nodes_[n]->broker.next_deadline()) fail("ends with a page that is held");
    }
}

void Cluster::trace(const Event& event) const {
    static constexpr const char* kKinds[] = {"attempt", "fault", "timer"};
    std::fprintf(stderr, "%10.1f us %s %zu",
                 std::chrono::duration<double, std::micro>(now_.time_since_epoch()).count(),
                 kKinds[static_cast<std::size_t>(event.kind)], event.a);
    if (event.kind == Event::Kind::fault)
        std::fprintf(stderr, " node %zu page %zu %s", event.node, event.fault.page,
                     event.fault.access == Access::read ? "read" : "write");
    std::fputc('\n', stderr);
}

}  // namespace vsmp::coherence::sim
