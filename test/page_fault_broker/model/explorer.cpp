#include "explorer.hpp"

#include <algorithm>
#include <ostream>

namespace vsmp::coherence::model {

std::ostream& operator<<(std::ostream& out, const Finding& finding) {
    out << finding.states << " states, " << finding.transitions << " transitions, " << finding.ends
        << " ends, at most " << finding.most_in_flight << " messages in flight";
    if (finding.problem.empty()) return out;
    out << "\nproblem: " << finding.problem << '\n';
    for (const std::string& step : finding.path) out << "    " << step << '\n';
    return out;
}

Finding Explorer::explore() {
    finding_ = {};
    store_.insert(pack(model_, initial_world(model_)), 0);
    bool sound = true;
    for (StateStore::Index i = 0; sound && i < store_.size(); ++i) sound = visit(i);
    finding_.states = store_.size();
    if (sound && model_.hold == HoldModel::slower_than_network) check_acyclic();
    return finding_;
}

bool Explorer::visit(StateStore::Index index) {
    const World world = unpack(model_, store_[index].state);
    finding_.most_in_flight = std::max<std::size_t>(finding_.most_in_flight, world.message_count);
    enabled(model_, world, transitions_);
    if (transitions_.empty()) {
        ++finding_.ends;
        if (const char* why = broken_end(model_, world)) {
            fail(why, index, nullptr);
            return false;
        }
    }
    for (const Transition& transition : transitions_) {
        World next = world;
        const char* why = apply(model_, next, transition);
        if (!why) why = broken_invariant(model_, next);
        if (why) {
            fail(why, index, &transition);
            return false;
        }
        ++finding_.transitions;
        store_.insert(pack(model_, next), index);
    }
    return true;
}

std::vector<StateStore::Index> Explorer::successors(StateStore::Index index) {
    const World world = unpack(model_, store_[index].state);
    enabled(model_, world, transitions_);
    std::vector<StateStore::Index> found;
    for (const Transition& transition : transitions_) {
        World next = world;
        apply(model_, next, transition);
        found.push_back(store_.insert(pack(model_, next), 0).index);
    }
    return found;
}

// Programs are finite, so a protocol that makes progress never comes back to a state. Depth first:
// an edge to a state that is being visited closes a cycle.
void Explorer::check_acyclic() {
    struct Frame {
        StateStore::Index index;
        std::vector<StateStore::Index> successors;  // not followed yet
    };
    std::vector<Frame> path;
    const auto enter = [&](StateStore::Index index) {
        store_[index].visit = StateStore::Visit::under_way;
        path.push_back({index, successors(index)});
    };
    enter(0);
    while (!path.empty()) {
        Frame& frame = path.back();
        if (frame.successors.empty()) {
            store_[frame.index].visit = StateStore::Visit::over;
            path.pop_back();
            continue;
        }
        const StateStore::Index to = frame.successors.back();
        frame.successors.pop_back();
        if (store_[to].visit == StateStore::Visit::none) {
            enter(to);
        } else if (store_[to].visit == StateStore::Visit::under_way) {
            finding_.problem = "livelock: the machine comes back to where it was";
            for (std::size_t i = 0; i + 1 < path.size(); ++i) {
                if (path[i].index == to) finding_.path.push_back("from here on, again and again:");
                finding_.path.push_back(describe_edge(path[i].index, path[i + 1].index));
            }
            finding_.path.push_back(describe_edge(path.back().index, to));
            return;
        }
    }
}

std::string Explorer::describe_edge(StateStore::Index from, StateStore::Index to) {
    const World before = unpack(model_, store_[from].state);
    enabled(model_, before, transitions_);
    for (const Transition& transition : transitions_) {
        World next = before;
        apply(model_, next, transition);
        if (pack(model_, next) == store_[to].state) return describe(model_, before, transition);
    }
    VSMP_CHECK(false, "two states are not neighbours");
}

void Explorer::fail(const char* problem, StateStore::Index at, const Transition* last) {
    finding_.problem = problem;
    if (last) finding_.path.push_back(describe(model_, unpack(model_, store_[at].state), *last));
    for (; at != 0; at = store_[at].parent)
        finding_.path.push_back(describe_edge(store_[at].parent, at));
    std::ranges::reverse(finding_.path);
}

}  // namespace vsmp::coherence::model
