#include "test/vcpu_shipper/handover_model.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <vector>

namespace vsmp::shipper::model {
namespace {

enum class Pending : std::uint8_t { none, capture, install };

struct NodeVcpu {
    Handover handover;
    Pending pending = Pending::none;  // what the vCPU's thread was asked and has not answered
    bool runs = false;
};

struct InFlight {
    Message message;
    std::uint8_t hops = 0;
};

struct World {
    std::array<std::array<NodeVcpu, kMaxModelVcpus>, kMaxModelNodes> nodes;
    std::array<std::array<std::vector<InFlight>, kMaxModelNodes>, kMaxModelNodes> links;
    std::array<std::int8_t, 8> undelivered{};    // per vector: raised, not delivered nor merged
    std::array<std::uint64_t, 8> route_epoch{};  // per vector: of its last hop, plus 1
    unsigned ships = 0, interrupts = 0, refusals = 0, replays = 0;  // used up
};

void put(std::string& to, std::uint64_t value) {
    to.push_back(static_cast<char>(value));
}

unsigned vectors_in(const InterruptStash& stash) {
    unsigned bits = 0;
    stash.for_each([&](const Interrupt& i) { bits |= 1u << i.vector; });
    return bits;
}

class Explorer {
  public:
    Explorer(const Bounds& bounds, const StepFunction& step_function)
        : bounds_(bounds), step_(step_function) {}

    Outcome run() {
        World start;
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            for (std::size_t v = 0; v < bounds_.vcpus; ++v) {
                start.nodes[n][v].handover = initial_handover(node(n), node(0));
                start.nodes[n][v].runs = n == 0;
            }
        }
        visit(start, 0);
        outcome_.states = seen_.size();
        return outcome_;
    }

  private:
    static NodeId node(std::size_t n) { return NodeId{static_cast<std::uint8_t>(n)}; }
    static VcpuId vcpu(std::size_t v) { return VcpuId{static_cast<std::uint16_t>(v)}; }

    std::string key(const World& w) const {
        std::string k;
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            for (std::size_t v = 0; v < bounds_.vcpus; ++v) {
                const NodeVcpu& x = w.nodes[n][v];
                put(k, static_cast<unsigned>(x.handover.phase) |
                           static_cast<unsigned>(x.pending) << 3 | (x.runs ? 1u << 5 : 0u));
                put(k, x.handover.peer.value() + 16 * x.handover.epoch.value());
                put(k, vectors_in(x.handover.stash));
            }
            for (std::size_t m = 0; m < bounds_.nodes; ++m) {
                put(k, w.links[n][m].size());
                for (const InFlight& f : w.links[n][m]) {
                    put(k, static_cast<unsigned>(f.message.kind) + 8u * f.message.vcpu.value() +
                               16u * f.message.interrupt.vector);
                    put(k, f.message.epoch.value() + 16u * f.hops);
                }
            }
        }
        for (std::size_t i = 0; i < bounds_.vectors; ++i) {
            put(k, static_cast<std::uint8_t>(w.undelivered[i]));
            put(k, w.route_epoch[i]);
        }
        put(k, w.ships + 16 * w.interrupts);
        put(k, w.refusals + 16 * w.replays);
        return k;
    }

    bool broken(const std::string& what) {
        if (outcome_.failure) return true;
        outcome_.failure = what + ", after:";
        for (const std::string& event : path_) *outcome_.failure += "\n  " + event;
        return true;
    }

    // Whether the exploration must stop.
    bool visit(const World& w, unsigned depth) {
        if (!seen_.insert(key(w)).second) return false;
        outcome_.longest_path = std::max(outcome_.longest_path, depth);
        if (check(w)) return true;
        return deliver_messages(w, depth) || answer_requests(w, depth) || ask_ships(w, depth) ||
               raise_interrupts(w, depth);
    }

    bool check(const World& w) {
        std::array<int, 8> copies{};
        bool quiet = true;
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            for (std::size_t m = 0; m < bounds_.nodes; ++m) {
                quiet &= w.links[n][m].empty();
                for (const InFlight& f : w.links[n][m])
                    if (f.message.kind == MessageKind::interrupt)
                        ++copies[f.message.interrupt.vector];
            }
            for (std::size_t v = 0; v < bounds_.vcpus; ++v) {
                quiet &= w.nodes[n][v].pending == Pending::none;
                w.nodes[n][v].handover.stash.for_each(
                    [&](const Interrupt& i) { ++copies[i.vector]; });
            }
        }
        for (std::size_t i = 0; i < bounds_.vectors; ++i)
            if (copies[i] != w.undelivered[i]) return broken("an interrupt was lost or doubled");
        for (std::size_t v = 0; v < bounds_.vcpus; ++v) {
            unsigned running = 0;
            for (std::size_t n = 0; n < bounds_.nodes; ++n) running += w.nodes[n][v].runs;
            if (running > 1) return broken("a vCPU runs on two nodes");
            if (quiet && running == 0) return broken("a vCPU runs nowhere");
        }
        for (const int i : w.undelivered)
            if (quiet && i != 0) return broken("an interrupt is never delivered");
        return false;
    }

    bool go(World& w, std::size_t n, std::size_t v, const Event& event, const std::string& label,
            unsigned depth, std::uint8_t hops = 0) {
        ++outcome_.transitions;
        path_.push_back("node " + std::to_string(n) + ", vCPU " + std::to_string(v) + ": " + label);
        const bool stop = apply(w, n, v, event, hops) || visit(w, depth + 1);
        path_.pop_back();
        return stop;
    }

    bool apply(World& w, std::size_t n, std::size_t v, const Event& event, std::uint8_t hops) {
        NodeVcpu& x = w.nodes[n][v];
        const InterruptStash before = x.handover.stash;
        const Step step = step_(node(n), vcpu(v), x.handover, event);
        x.handover = step.next;
        const bool interrupt =
            event.kind == EventKind::raised ||
            (event.kind == EventKind::message && event.message.kind == MessageKind::interrupt);
        if (interrupt && step.actions.empty() && !before.empty() && step.next.stash == before)
            --w.undelivered[event.message.interrupt.vector];  // merged with the one waiting
        for (const Action& action : step.actions)
            if (perform(w, n, v, action, step, hops)) return true;
        return false;
    }

    bool perform(World& w, std::size_t n, std::size_t v, const Action& action, const Step& step,
                 std::uint8_t hops) {
        NodeVcpu& x = w.nodes[n][v];
        switch (action.kind) {
            case ActionKind::request_capture:
                x.pending = Pending::capture;
                return false;
            case ActionKind::install:
                // It may run from now on, long before the node hears that it does.
                x.pending = Pending::install;
                x.runs = true;
                return false;
            case ActionKind::resume_here:
                x.runs = true;
                return false;
            case ActionKind::send_state:
            case ActionKind::send:
                return post(w, n, action.to, action.message, hops);
            case ActionKind::announce:
                for (std::size_t m = 0; m < bounds_.nodes; ++m)
                    if (m != n && node(m) != action.to) post(w, n, node(m), action.message, 0);
                return false;
            case ActionKind::deliver:
                return deliver(w, x, action.message.interrupt);
            case ActionKind::deliver_stash: {
                bool stop = false;
                step.flushed.for_each([&](const Interrupt& i) { stop |= deliver(w, x, i); });
                return stop;
            }
            case ActionKind::forward_stash: {
                bool stop = false;
                step.flushed.for_each([&](const Interrupt& i) {
                    Message message = action.message;
                    message.interrupt = i;
                    stop |= post(w, n, action.to, message, 0);
                });
                return stop;
            }
            case ActionKind::refuse_ship:
                return broken("a ship was refused that was possible");
            case ActionKind::violation:
                return broken("a node saw a protocol violation");
        }
        return false;
    }

    bool post(World& w, std::size_t from, NodeId to, Message message, std::uint8_t hops) {
        if (to == node(from)) return broken("a message to oneself");
        if (message.kind == MessageKind::interrupt) {
            const std::uint8_t i = message.interrupt.vector;
            // Interrupts that share a vector cannot be told apart.
            if (bounds_.vectors == bounds_.interrupts) {
                if (message.epoch.value() + 1 <= w.route_epoch[i])
                    return broken("an interrupt does not follow a higher epoch");
                w.route_epoch[i] = message.epoch.value() + 1;
            }
            ++hops;
            outcome_.most_hops = std::max<unsigned>(outcome_.most_hops, hops);
        }
        w.links[from][to.value()].push_back({message, hops});
        return false;
    }

    bool deliver(World& w, const NodeVcpu& x, const Interrupt& interrupt) {
        if (!x.runs) return broken("an interrupt was delivered where the vCPU does not run");
        if (--w.undelivered[interrupt.vector] < 0) return broken("an interrupt came twice");
        return false;
    }

    bool deliver_messages(const World& w, unsigned depth) {
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            for (std::size_t m = 0; m < bounds_.nodes; ++m) {
                if (w.links[n][m].empty()) continue;
                const InFlight head = w.links[n][m].front();
                Event event;
                event.kind = EventKind::message;
                event.node = node(n);
                event.message = head.message;
                const std::size_t v = head.message.vcpu.value();
                const std::string label = "message kind " +
                                          std::to_string(static_cast<int>(head.message.kind)) +
                                          " epoch " + std::to_string(head.message.epoch.value()) +
                                          " from node " + std::to_string(n);
                World next = w;
                next.links[n][m].erase(next.links[n][m].begin());
                if (go(next, m, v, event, label, depth, head.hops)) return true;
                if (w.replays == bounds_.replays || head.message.kind == MessageKind::interrupt)
                    continue;
                next = w;
                ++next.replays;
                if (go(next, m, v, event, label + ", and again", depth)) return true;
            }
        }
        return false;
    }

    // The vCPU's thread answers a request_capture or an install.
    bool answer_requests(const World& w, unsigned depth) {
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            for (std::size_t v = 0; v < bounds_.vcpus; ++v) {
                const Pending pending = w.nodes[n][v].pending;
                if (pending == Pending::none) continue;
                const bool capture = pending == Pending::capture;
                World next = w;
                next.nodes[n][v].pending = Pending::none;
                next.nodes[n][v].runs = !capture;
                Event event;
                event.kind = capture ? EventKind::captured : EventKind::installed;
                if (go(next, n, v, event, capture ? "captured" : "installed", depth)) return true;
                if (w.refusals == bounds_.refusals) continue;
                next = w;
                ++next.refusals;
                next.nodes[n][v].pending = Pending::none;
                next.nodes[n][v].runs = false;
                event.kind = capture ? EventKind::capture_failed : EventKind::install_failed;
                if (!capture) event.message.reason = NackReason::cannot_load;
                if (go(next, n, v, event, capture ? "capture failed" : "install failed", depth))
                    return true;
            }
        }
        return false;
    }

    bool ask_ships(const World& w, unsigned depth) {
        if (w.ships == bounds_.ships) return false;
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            for (std::size_t v = 0; v < bounds_.vcpus; ++v) {
                if (w.nodes[n][v].handover.phase != Phase::here) continue;
                for (std::size_t to = 0; to < bounds_.nodes; ++to) {
                    if (to == n) continue;
                    World next = w;
                    ++next.ships;
                    Event event;
                    event.kind = EventKind::ship_requested;
                    event.node = node(to);
                    if (go(next, n, v, event, "ship to node " + std::to_string(to), depth))
                        return true;
                }
            }
        }
        return false;
    }

    bool raise_interrupts(const World& w, unsigned depth) {
        if (w.interrupts == bounds_.interrupts) return false;
        for (std::size_t n = 0; n < bounds_.nodes; ++n) {
            World next = w;
            Event event;
            event.kind = EventKind::raised;
            event.message.interrupt.vector =
                static_cast<std::uint8_t>(next.interrupts % bounds_.vectors);
            const std::size_t v = next.interrupts % bounds_.vcpus;
            ++next.interrupts;
            ++next.undelivered[event.message.interrupt.vector];
            const std::string label =
                "interrupt " + std::to_string(event.message.interrupt.vector) + " raised";
            if (go(next, n, v, event, label, depth)) return true;
        }
        return false;
    }

    const Bounds bounds_;
    const StepFunction& step_;
    std::unordered_set<std::string> seen_;
    std::vector<std::string> path_;
    Outcome outcome_;
};

}  // namespace

Outcome explore(const Bounds& bounds, const StepFunction& step_function) {
    VSMP_CHECK(bounds.nodes <= kMaxModelNodes && bounds.vcpus <= kMaxModelVcpus &&
                   bounds.vectors <= 8 && bounds.vectors % bounds.vcpus == 0 &&
                   bounds.ships + bounds.refusals < 15 && bounds.interrupts < 15,
               "model too large for its state encoding");
    return Explorer{bounds, step_function}.run();
}

}  // namespace vsmp::shipper::model
