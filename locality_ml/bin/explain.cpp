#include "locality_ml/bin/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "locality_ml/policies.hpp"
#include "locality_ml/trace.hpp"

namespace vsmp::locality {
namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;
using Microseconds = std::chrono::duration<double, std::micro>;

struct Line {
    Instant when;
    std::string text;
};

std::string weighed(const Explanation& why) {
    return fmt::format(
        "fetch {:.0f} ship {:.0f} waits {:.2f}/{:.2f} cpu {:.2f}/{:.2f} {:.0f} us: {}",
        why.fetch_us, why.ship_us, why.stall_here, why.stall_there, why.share_here, why.share_there,
        why.useful_us, why.why);
}

std::string told(const Observation& observation) {
    struct Teller {
        std::string operator()(const Fetched& f) const {
            return fmt::format("v{} page {:x} came from {} after {:.0f} us", f.vcpu.value(),
                               f.page.value(), f.from.value(), Microseconds{f.cost}.count());
        }
        std::string operator()(const Prefetched& p) const {
            const char* fate = p.fate == PrefetchFate::used     ? "used"
                               : p.fate == PrefetchFate::wasted ? "wasted"
                                                                : "missed";
            return fmt::format("v{} page {:x}, ahead, {}", p.vcpu.value(), p.page.value(), fate);
        }
        std::string operator()(const Lost& l) const {
            return fmt::format("page {:x} to {} to {}", l.page.value(), l.to.value(),
                               l.access == Access::write ? "write" : "read");
        }
        std::string operator()(const Departed& d) const {
            return fmt::format("v{} left for {}", d.vcpu.value(), d.to.value());
        }
        std::string operator()(const Arrived& a) const {
            return fmt::format("v{} came from {} in {:.0f} us", a.vcpu.value(), a.from.value(),
                               Microseconds{a.blackout}.count());
        }
        std::string operator()(const ShipFailed& f) const {
            return fmt::format("v{} could not leave for {}", f.vcpu.value(), f.to.value());
        }
    };
    return std::visit(Teller{}, observation);
}

// Empty: nothing worth a line.
std::string step(Policy& policy, const TraceRecord& record) {
    if (const auto* decided = std::get_if<Decided>(&record)) {
        const RemoteFault& fault = decided->fault;
        const Decision decision = policy.decide(fault);
        const auto* ship = std::get_if<Ship>(&decision);
        const auto what = ship ? fmt::format("SHIP {}", ship->to.value())
                               : fmt::format("fetch+{}", std::get<Fetch>(decision).prefetch.size());
        return fmt::format("v{} {} {:x} at {}: {}; {}", fault.vcpu.value(),
                           fault.access == Access::write ? "write" : "read", fault.page.value(),
                           fault.location.value(), what, weighed(policy.explain(fault.vcpu)));
    }
    if (const auto* placed = std::get_if<Placed>(&record)) {
        const Placement placement = policy.place(placed->activity);
        const auto* ship = std::get_if<Ship>(&placement);
        if (!ship) return {};
        const VcpuId vcpu = placed->activity.vcpu;
        return fmt::format("v{} placed: SHIP {}; {}", vcpu.value(), ship->to.value(),
                           weighed(policy.explain(vcpu)));
    }
    if (const auto* loads = std::get_if<LoadsTold>(&record)) {
        policy.on_loads(std::span{loads->loads}.first(loads->count), loads->now);
        return {};
    }
    const Observation& what = std::get<Told>(record).what;
    policy.observe(what);
    return told(what);
}

Result<void> explain_node(ByteView bytes, std::vector<Line>& lines) {
    VSMP_TRY_ASSIGN(TraceReader trace, TraceReader::open(bytes));
    VSMP_TRY_ASSIGN(const auto policy, make_policy(trace.header().policy, trace.header().setup));
    for (;;) {
        VSMP_TRY_ASSIGN(const auto record, trace.next());
        if (!record) return {};
        const std::string text = step(*policy, *record);
        if (text.empty()) continue;
        lines.push_back(
            {time_of(*record), fmt::format("n{} {}\n", trace.header().setup.self.value(), text)});
    }
}

}  // namespace

Result<std::string> explain_run(const std::vector<ByteView>& traces) {
    std::vector<Line> lines;
    for (const ByteView bytes : traces) VSMP_TRY(explain_node(bytes, lines));
    std::ranges::stable_sort(lines, {}, &Line::when);
    std::string text;
    for (const Line& line : lines)
        text += fmt::format("{:9.3f} {}", Milliseconds{line.when - lines.front().when}.count(),
                            line.text);
    return text;
}

}  // namespace vsmp::locality
