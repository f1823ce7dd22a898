#include "vmm/node/pilot.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace vsmp {
namespace {

using locality::PrefetchFate;

// Between two looks at the vCPUs: while some of them want to run, and while none does.
constexpr Duration kTick = std::chrono::milliseconds(10);
constexpr Duration kIdleTick = std::chrono::milliseconds(100);
// The load is told again after this time, and at once when it differs by so much.
constexpr Duration kLoadPeriod = std::chrono::milliseconds(200);
constexpr std::uint32_t kLoadStep = 100;  // permille of a vCPU
// Pages fetched ahead tell each for itself whether they were of use, unless there are more than so
// many together: then one for each few.
constexpr std::size_t kFewPages = 4;
constexpr std::size_t kPagesPerProbe = 8;
constexpr std::size_t kMaxProbes = 256;
// Untouched for so long, a page was fetched in vain.
constexpr Duration kPatience = std::chrono::milliseconds(200);

}  // namespace

Pilot::Pilot(PilotOptions options, PilotHooks hooks, locality::Policy& policy, Broker& broker,
             VcpuDirectory& directory)
    : options_(options),
      hooks_(std::move(hooks)),
      policy_(&policy),
      broker_(broker),
      directory_(directory),
      here_(options.vcpu_count),
      busy_(options.vcpu_count),
      loads_(options.node_count),
      told_(options.node_count) {
    loads_[options_.self.value()] = {.cpu_set = options_.cpu_set, .cpus = options_.cpus};
    probes_.reserve(kMaxProbes);
    broker_.set_observer(this);
}

Pilot::~Pilot() {
    broker_.set_observer(nullptr);
}

// What the old one had asked for and not heard of is not the new one's business.
void Pilot::use(locality::Policy& policy) {
    policy_ = &policy;
    tick_due_ = {};
    probes_.clear();
    for (Here& here : here_) {
        here.awaited.reset();
        here.luggage.clear();
    }
}

Pilot::Course Pilot::on_fault(const Userfault& fault, VcpuId vcpu, Instant now) {
    ahead_ = {};
    const NodeId location = broker_.location(fault.page);
    // A page that is shared and owned here waits for its sharers only: nowhere to go.
    if (location == options_.self) return Course::fetch;
    ++counters_.decisions;
    const locality::Decision decision =
        policy_->decide({.vcpu = vcpu,
                         .page = fault.page,
                         .access = fault.access,
                         .location = location,
                         .mobility = directory_.is_here(vcpu) ? locality::Mobility::free
                                                              : locality::Mobility::stuck,
                         .code = {},
                         .now = now});
    if (const auto* ship_to = std::get_if<locality::Ship>(&decision)) {
        // Should it not leave after all, the page is fetched, and the policy is told of that too.
        here_[vcpu.value()].awaited = Awaited{fault.page, location, now};
        if (!ship(vcpu, ship_to->to, now)) return Course::fetch;
        ++counters_.ships_by_fault;
        return Course::shipping;
    }
    ahead_ = std::get<locality::Fetch>(decision).prefetch;
    ahead_for_ = vcpu;
    here_[vcpu.value()].awaited = Awaited{fault.page, location, now};
    return Course::fetch;
}

bool Pilot::ship(VcpuId vcpu, NodeId to, Instant now) {
    if (directory_.ship(vcpu, to)) return true;
    ++counters_.ships_refused;
    policy_->observe(locality::ShipFailed{vcpu, to, now});
    return false;
}

void Pilot::on_ship_failed(VcpuId vcpu, Instant now) {
    ++counters_.ships_refused;
    if (auto& awaited = here_[vcpu.value()].awaited) awaited->since = now;
    policy_->observe(locality::ShipFailed{vcpu, directory_.peer(vcpu), now});
}

// Whether a page that is mapped was touched cannot be seen, so a probe's first page is mapped only
// when it is touched.
void Pilot::prefetch(Access access, Instant now) {
    const std::vector<PageNumber> pages(ahead_.begin(), ahead_.end());
    ahead_ = {};
    const std::size_t together = pages.size() <= kFewPages ? 1 : kPagesPerProbe;
    for (std::size_t i = 0; i < pages.size(); i += together) {
        const std::size_t count = std::min(together, pages.size() - i);
        std::vector<PageNumber> group(pages.begin() + static_cast<std::ptrdiff_t>(i),
                                      pages.begin() + static_cast<std::ptrdiff_t>(i + count));
        // Not always the first in line, which is the surest.
        std::swap(group.front(), group[counters_.decisions % count]);
        prefetch_group(group, access, now);
    }
}

void Pilot::prefetch_group(std::span<const PageNumber> group, Access access, Instant now) {
    Probe probe{ahead_for_, {}, now};
    const auto miss = [&](PageNumber page) {
        policy_->observe(locality::Prefetched{ahead_for_, page, PrefetchFate::missed, now});
    };
    while (!group.empty() && probe.pages.empty()) {
        if (probes_.size() < kMaxProbes)
            probe.pages = broker_.prefetch(group.first(1), access, MapAhead::on_touch, now);
        if (probe.pages.empty()) miss(group.front());
        group = group.subspan(1);
    }
    if (probe.pages.empty()) return;
    const std::vector<PageNumber> others = broker_.prefetch(group, access, MapAhead::at_once, now);
    for (PageNumber page : group)
        if (std::ranges::find(others, page) == others.end()) miss(page);
    probe.pages.insert(probe.pages.end(), others.begin(), others.end());
    probes_.push_back(std::move(probe));
}

void Pilot::conclude(std::size_t probe, PrefetchFate fate, Instant now) {
    for (PageNumber page : probes_[probe].pages)
        policy_->observe(locality::Prefetched{probes_[probe].vcpu, page, fate, now});
    (fate == PrefetchFate::used ? counters_.prefetch_used : counters_.prefetch_wasted) +=
        probes_[probe].pages.size();
    std::swap(probes_[probe], probes_.back());
    probes_.pop_back();
}

void Pilot::on_touched(PageNumber page, Instant now) {
    for (std::size_t i = 0; i < probes_.size(); ++i)
        if (probes_[i].pages.front() == page) return conclude(i, PrefetchFate::used, now);
}

void Pilot::expire_probes(Instant now) {
    for (std::size_t i = probes_.size(); i-- > 0;)
        if (now - probes_[i].since > kPatience) conclude(i, PrefetchFate::wasted, now);
}

void Pilot::on_wanted(PageNumber page, Access access, NodeId by, Instant now) {
    // The guest has awoken, and others ask themselves how busy this node is.
    if (policy_->places()) tick_due_ = std::min(tick_due_, now + kTick);
    policy_->observe(locality::Lost{page, access, by, now});
    if (access == Access::read) return;
    for (std::size_t i = 0; i < probes_.size(); ++i)
        if (probes_[i].pages.front() == page) return conclude(i, PrefetchFate::wasted, now);
}

void Pilot::on_obtained(coherence::Claimant claimant, PageNumber page, Instant now) {
    if (claimant.value() >= here_.size()) return;
    std::optional<Awaited>& awaited = here_[claimant.value()].awaited;
    if (!awaited || awaited->page != page) return;
    policy_->observe(locality::Fetched{.vcpu = VcpuId{static_cast<std::uint16_t>(claimant.value())},
                                       .page = page,
                                       .from = awaited->from,
                                       .cost = now - awaited->since,
                                       .now = now});
    awaited.reset();
}

void Pilot::on_departing(VcpuId vcpu, NodeId to, Instant now) {
    here_[vcpu.value()].awaited.reset();
    std::array<std::byte, locality::kMaxLuggage> buffer;
    ByteWriter writer{buffer};
    policy_->pack(vcpu, writer);
    if (writer.size() > 0) hooks_.send(to, Luggage{vcpu, writer.written()});
    policy_->observe(locality::Departed{vcpu, to, now});
    move_load(vcpu, options_.self, to, now);
}

// A ship takes less time than the next look at the loads.
void Pilot::move_load(VcpuId vcpu, NodeId from, NodeId to, Instant now) {
    if (!policy_->places()) return;
    const auto moved = static_cast<std::uint32_t>(std::lround(busy_[vcpu.value()] * 1000));
    std::uint32_t& left = loads_[from.value()].runnable_permille;
    left -= std::min(left, moved);
    loads_[to.value()].runnable_permille += moved;
    tell_loads(now);
}

void Pilot::on_arrived(VcpuId vcpu, NodeId from, Duration blackout, Instant now) {
    Here& here = here_[vcpu.value()];
    here.idle_before = hooks_.idle_time(vcpu);
    here.looked_at = now;
    busy_[vcpu.value()] = 1;
    if (policy_->places()) tick_due_ = std::min(tick_due_, now + kTick);
    const std::vector<std::byte> luggage = std::exchange(here.luggage, {});
    policy_->observe(locality::Arrived{
        .vcpu = vcpu, .from = from, .blackout = blackout, .luggage = luggage, .now = now});
    move_load(vcpu, from, options_.self, now);
}

void Pilot::on_message(NodeId from, const PolicyMessage& message) {
    if (const auto* load = std::get_if<LoadReport>(&message)) {
        loads_[from.value()] = *load;
    } else if (const auto* luggage = std::get_if<Luggage>(&message)) {
        here_[luggage->vcpu.value()].luggage.assign(luggage->bytes.begin(), luggage->bytes.end());
    }
}

void Pilot::on_timer(Instant now) {
    if (now < tick_due_) return;
    expire_probes(now);
    if (options_.node_count == 1 || !policy_->places()) {
        tick_due_ = now + kIdleTick;
        if (options_.node_count > 1) tell_loads(now);
        return;
    }
    float runnable = 0;
    for (std::size_t i = 0; i < here_.size(); ++i) {
        const VcpuId vcpu{static_cast<std::uint16_t>(i)};
        busy_[i] = directory_.is_here(vcpu) ? busy_share(vcpu, now) : 0;
        runnable += busy_[i];
    }
    tick_due_ = now + (runnable > 0 ? kTick : kIdleTick);
    report_load(runnable, now);
    tell_loads(now);
    for (std::size_t i = 0; i < here_.size(); ++i) {
        const VcpuId vcpu{static_cast<std::uint16_t>(i)};
        if (directory_.is_here(vcpu)) place(vcpu, busy_[i], now);
    }
}

// Of the time since the last look, or since it arrived.
float Pilot::busy_share(VcpuId vcpu, Instant now) {
    Here& here = here_[vcpu.value()];
    const Duration idle = hooks_.idle_time(vcpu);
    const Duration passed = now - here.looked_at;
    if (passed < kTick / 2) return busy_[vcpu.value()];
    const float share =
        static_cast<float>((idle - here.idle_before).count()) / static_cast<float>(passed.count());
    here.idle_before = idle;
    here.looked_at = now;
    return 1 - std::clamp(share, 0.0f, 1.0f);
}

void Pilot::report_load(float runnable, Instant now) {
    LoadReport& own = loads_[options_.self.value()];
    const auto permille = static_cast<std::uint32_t>(std::lround(runnable * 1000));
    const std::uint32_t change = permille > own.runnable_permille
                                     ? permille - own.runnable_permille
                                     : own.runnable_permille - permille;
    if (change < kLoadStep && now - load_sent_ < kLoadPeriod) return;
    own.runnable_permille = permille;
    load_sent_ = now;
    hooks_.send(std::nullopt, own);
}

// Nodes that share CPUs share their load.
void Pilot::tell_loads(Instant now) {
    for (std::size_t i = 0; i < loads_.size(); ++i) {
        const auto same = [&](const LoadReport& other) {
            return other.cpu_set == loads_[i].cpu_set;
        };
        const auto first = std::ranges::find_if(loads_, same) - loads_.begin();
        locality::NodeLoad& told = told_[i];
        told = {.host = static_cast<std::uint8_t>(first),
                .cpus = static_cast<float>(loads_[i].cpus),
                .reach = locality::Reach::reachable};
        for (const LoadReport& load : loads_)
            if (same(load)) told.runnable += static_cast<float>(load.runnable_permille) / 1000;
    }
    policy_->on_loads(told_, now);
}

void Pilot::place(VcpuId vcpu, float busy, Instant now) {
    const locality::Placement placement =
        policy_->place({.vcpu = vcpu, .busy = busy, .code = {}, .now = now});
    const auto* move = std::get_if<locality::Ship>(&placement);
    if (move && ship(vcpu, move->to, now)) ++counters_.ships_by_placement;
}

}  // namespace vsmp
