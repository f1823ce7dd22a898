#include <sstream>

#include "world.hpp"

namespace vsmp::coherence::model {

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
