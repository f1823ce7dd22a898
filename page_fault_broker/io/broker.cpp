#include "page_fault_broker/io/broker.hpp"

#include <algorithm>
#include <utility>

namespace vsmp {

using coherence::Action;
using coherence::ActionKind;
using coherence::Contents;
using coherence::LocalEvent;
using coherence::LocalEventKind;
using coherence::LocalPage;
using coherence::Message;
using coherence::MessageKind;
using coherence::PageFlag;
using coherence::Permission;
using coherence::Version;

namespace {

// Pages mapped at once when a page of this node's own that nobody shares is touched first.
constexpr std::uint64_t kFaultAround = 16;

}  // namespace

Broker::Broker(NodeId self, HomeMap homes, coherence::HoldLimits holds, GuestMemory& memory,
               PageMapper& mapper, std::uint64_t memory_limit)
    : self_(self),
      table_(self, std::move(homes)),
      store_(table_, memory, mapper),
      holds_(holds),
      resident_(table_, *this, memory_limit),
      ahead_ledger_(table_) {}

bool Broker::permits(PageNumber page, Access access) const {
    const Permission permission = table_.permission(page);
    return access == Access::write ? permission == Permission::exclusive
                                   : permission != Permission::none;
}

NodeId Broker::location(PageNumber page) const {
    const NodeId home = table_.homes().home_of(page);
    return home == self_ ? NodeId{table_.home(page).owner} : home;
}

void Broker::on_fault(const Userfault& fault, coherence::Claimant claimant, Instant now) {
    now_ = now;
    ++counters_.faults;
    read_ahead_.on_fates(ahead_ledger_.counters().used, ahead_ledger_.counters().wasted);
    const coherence::ReadAhead::Advice advice = read_ahead_.on_fault(
        fault.page, fault.access,
        [this](PageNumber first, PageNumber end) { return still_ahead(first, end); },
        [this](PageNumber first, PageNumber end) { return has_marker(first, end); });
    ahead_ledger_.on_passed(advice.passed_from, advice.passed_to);
    ahead_ledger_.on_fault(fault.page);
    if (table_.has(fault.page, PageFlag::on_touch)) {
        table_.set(fault.page, PageFlag::on_touch, false);
        companions_.on_touched(fault.page);
        if (observer_) observer_->on_touched(fault.page, now);
    }
    const bool remote = is_remote(fault);
    Access asked = fault.access;
    if (remote) {
        asked = companions_.on_fault(claimant, fault.page, fault.access);
        expect(fault, claimant);
    } else {
        ++counters_.local_maps;
        table_.set(fault.page, PageFlag::mapped, false);  // or there would have been no fault
    }
    fault_when_possible({fault.page, asked, Starved::Why::fault});
    if (remote) ask_for_companions(fault.page, claimant);
    if (advice.request) ask_ahead(*advice.request, fault.page);
    settle();
}

void Broker::expect(const Userfault& fault, coherence::Claimant claimant) {
    holds_.on_fault(claimant, fault.page, now_);
    if (std::ranges::any_of(waiting_, [&](const Waiting& w) {
            return w.page == fault.page && w.claimant == claimant;
        }))
        return;
    const bool asked_now = table_.local(fault.page).request == coherence::Request::none;
    waiting_.push_back({fault.page, claimant, asked_now ? std::optional{now_} : std::nullopt});
}

void Broker::on_abandoned(coherence::Claimant claimant, Instant now) {
    std::erase_if(waiting_, [&](const Waiting& w) { return w.claimant == claimant; });
    holds_.on_abandoned(claimant, now);
}

void Broker::on_message(NodeId from, ByteView payload, Instant now) {
    now_ = now;
    while (!payload.empty()) {
        const auto decoded =
            coherence::decode(coherence::take_message(payload), table_.homes().page_count(),
                              table_.homes().node_count());
        if (!decoded) {
            ++counters_.malformed;
            break;
        }
        dispatch(from, decoded->message, decoded->contents);
    }
    settle();
}

// A large page takes its place beside those it replaces for a moment.
bool Broker::collapses() const {
    return !resident_.limited() ||
           resident_.limit() - resident_.counters().resident >= coherence::kPagesPerRange;
}

std::optional<Instant> Broker::next_deadline() const {
    const auto hold = holds_.next_deadline();
    const auto collapse = collapses() ? store_.next_collapse() : std::nullopt;
    return hold && collapse ? std::min(*hold, *collapse) : hold ? hold : collapse;
}

void Broker::on_timer(Instant now) {
    now_ = now;
    if (const auto due = store_.next_collapse(); due && *due <= now && collapses())
        store_.collapse_next(now);
    expired_.clear();
    holds_.expired(now, expired_);
    for (PageNumber page : expired_) run_local(page, {LocalEventKind::hold_expired, {}, {}});
    settle();
}

void Broker::mark_populated(PageNumber first, std::uint64_t count) {
    for (std::uint64_t page = first.value(); page < first.value() + count; ++page) {
        VSMP_CHECK(table_.is_home(PageNumber{page}), "boot image outside the boot node");
        if (!table_.has(PageNumber{page}, PageFlag::framed)) resident_.adopt(PageNumber{page});
        table_.set(PageNumber{page}, PageFlag::populated, true);
    }
}

void Broker::unmap(PageNumber page) {
    store_.unmap_later(page);
}

void Broker::evict(PageNumber page) {
    run_local(page, {LocalEventKind::evict, {}, {}});
}

void Broker::discard(PageNumber page) {
    store_.discard_later(page);
}

bool Broker::take(PageNumber page, coherence::Purpose purpose) {
    const bool taken = resident_.take(page, purpose);
    store_.give_back();
    return taken;
}

// False: there is no memory for it yet.
bool Broker::attempt(const Starved& what) {
    Access access = what.access;
    if (what.why == Starved::Why::take_home) {
        const auto needed = coherence::access_to_take_home(self_, table_.home(what.page));
        if (!needed) return true;  // it has come or gone meanwhile
        access = *needed;
    }
    const auto purpose =
        table_.is_home(what.page) ? coherence::Purpose::home : coherence::Purpose::fetch;
    if (!table_.has(what.page, PageFlag::framed) && !take(what.page, purpose)) return false;
    // Somebody waits: the page may have come home, or been fetched ahead, while there was no
    // memory.
    if (what.why == Starved::Why::fault) {
        table_.set(what.page, PageFlag::resting, false);
        table_.set(what.page, PageFlag::on_touch, false);
    }
    // Nobody here has asked for it: it is mapped when somebody does.
    if (what.why == Starved::Why::take_home && !table_.has(what.page, PageFlag::mapped) &&
        table_.local(what.page).request == coherence::Request::none)
        table_.set(what.page, PageFlag::resting, true);
    run_local(what.page, {LocalEventKind::fault, access, {}});
    return true;
}

void Broker::fault_when_possible(const Starved& what) {
    if (attempt(what)) return;
    if (what.why == Starved::Why::fault) {
        ++counters_.memory_waits;
        disregard_wait(what.page);
    }
    starved_.push_back(what);
}

void Broker::note_hand_over(NodeId from, const Message& message) {
    if (from != self_) holds_.on_told(from, message.hand_over * coherence::kHandOverUnit);
    if (message.waited && !coherence::is_for_home(message.kind)) disregard_wait(message.page);
}

void Broker::disregard_wait(PageNumber page) {
    for (Waiting& w : waiting_)
        if (w.page == page) w.since.reset();
}

void Broker::dispatch(NodeId from, const Message& message, ByteView contents) {
    note_hand_over(from, message);
    if (!coherence::is_for_home(message.kind)) {
        run_local(message.page, {LocalEventKind::message, Access::read, message}, contents);
    } else if (table_.is_home(message.page) && message.requester == from) {
        run_home(message);
    } else {
        ++counters_.malformed;
    }
}

void Broker::run_local(PageNumber page, const LocalEvent& event, ByteView contents) {
    const LocalPage before = table_.local(page);
    const coherence::LocalStep step =
        coherence::step(self_, table_.homes().home_of(page), page, before, event);
    table_.set_local(page, step.next);
    count(before, event);
    tell_if_wanted(before, event);
    for (const Action& action : step.actions) {
        if (action.kind == ActionKind::store_contents)
            store(page, event.message, contents);
        else
            perform(page, action);
    }
    if (before.permission == Permission::none && step.next.permission != Permission::none)
        resident_.on_obtained(page);
    if (before.permission != Permission::none && step.next.permission == Permission::none) {
        if (table_.has(page, PageFlag::on_touch)) companions_.on_wasted(page);
        companions_.on_lost(page);
        ahead_ledger_.on_lost(page);
        table_.set(page, PageFlag::on_touch, false);
        table_.set(page, PageFlag::resting, false);
        holds_.on_lost(page);
        resident_.on_lost(page);
    }
    if (before.releasing && !step.next.releasing) resident_.on_offer_settled(page);
}

void Broker::run_home(const Message& message) {
    const coherence::HomeStep step = coherence::step(self_, table_.home(message.page), message);
    table_.set_home(message.page, step.next);
    for (const Action& action : step.actions) perform(message.page, action);
}

void Broker::perform(PageNumber page, const Action& action) {
    switch (action.kind) {
        case ActionKind::send:
            send(action.to, action.message);
            return;
        case ActionKind::store_contents:
            VSMP_CHECK(false, "contents without a message");
        case ActionKind::map_shared:
            if (!is_mapped_later(page)) store_.map_read_only(page);
            return;
        case ActionKind::map_exclusive:
            map_exclusive(page);
            return;
        case ActionKind::revoke_write:
            store_.forbid_write(page);
            return;
        case ActionKind::revoke_all:
            ++counters_.invalidations;
            store_.unmap(page);
            return;
        case ActionKind::take_home:
            return fault_when_possible({page, Access::read, Starved::Why::take_home});
        case ActionKind::start_hold:
            return start_hold(page);
    }
}

void Broker::start_hold(PageNumber page) {
    bool claimed = false;
    for (const Waiting& w : waiting_) {
        if (w.page != page) continue;
        if (w.since) holds_.on_fetched(now_ - *w.since);
        holds_.on_granted(w.claimant, page, now_);
        if (observer_) observer_->on_obtained(w.claimant, page, now_);
        claimed = true;
    }
    if (!claimed) unclaimed_.push_back(page);
    std::erase_if(waiting_, [&](const Waiting& w) { return w.page == page; });
}

// How the contents travel, and what of them follows the message.
ByteView Broker::put_contents(Message& message) {
    const Version offered = std::exchange(message.version, 0);
    message.contents = Contents::zero;
    if (!store_.populated(message.page)) return {};
    const auto contents = store_.contents(message.page);
    if (is_zero(contents)) return {};
    if (offered != 0 && offered == coherence::version_of(contents)) {
        message.contents = Contents::same;
        return {};
    }
    message.contents = Contents::page;
    return contents;
}

void Broker::send(NodeId to, Message message) {
    const bool asks =
        message.kind == MessageKind::read_request || message.kind == MessageKind::write_request;
    if (asks && store_.populated(message.page) && offers_.worthwhile()) {
        message.version = coherence::version_of(store_.contents(message.page));
        offers_.offered();
    }
    if (to == self_) {
        loopback_.push_back(message);
        return;
    }
    message.hand_over = static_cast<std::uint16_t>(
        std::min<Duration::rep>(holds_.hand_over() / coherence::kHandOverUnit, 0xffff));
    VSMP_CHECK(fabric_ != nullptr, "a message to another node without a fabric");
    const ByteView body = message.contents == Contents::none ? ByteView{} : put_contents(message);
    outbox_.push(*fabric_, to, message, body);
}

void Broker::settle() {
    for (;;) {
        if (!loopback_.empty()) {
            const Message message = loopback_.front();
            loopback_.pop_front();
            dispatch(self_, message, {});
        } else if (!unclaimed_.empty()) {
            const PageNumber page = unclaimed_.back();
            unclaimed_.pop_back();
            run_local(page, {LocalEventKind::hold_expired, {}, {}});
        } else if (!retry_starved()) {
            break;
        }
    }
    resident_.work_ahead();
    store_.give_back();
    if (!batching_) send_and_map();
}

void Broker::end_batch() {
    batching_ = false;
    send_and_map();
}

void Broker::send_and_map() {
    store_.flush();
    if (fabric_) outbox_.flush(*fabric_);
}

// Homes first: who waits for them may be what keeps this node waiting.
bool Broker::retry_starved() {
    std::ranges::stable_partition(
        starved_, [](const Starved& s) { return s.why == Starved::Why::take_home; });
    bool any = false;
    while (!starved_.empty() && attempt(starved_.front())) {
        starved_.pop_front();
        any = true;
    }
    return any;
}

void Broker::store(PageNumber page, const Message& message, ByteView contents) {
    if (message.contents == Contents::same) {
        VSMP_CHECK(store_.populated(page), "no copy that could be good");
        ++counters_.revalidated;
        offers_.accepted();
        return;
    }
    if (message.contents == Contents::page) return store_.fill(page, contents);
    ++counters_.zero_pages;
    store_.make_zero(page);
}

void Broker::map_exclusive(PageNumber page) {
    if (is_mapped_later(page)) return;
    if (store_.mapped(page)) {
        // Read-only until now. Should the PTE have gone meanwhile, whoever waits faults anew and
        // comes here with the flag unset.
        store_.allow_write(page);
        return;
    }
    const std::uint64_t count = fault_around(page);
    for (std::uint64_t i = 0; i < count; ++i) {
        store_.map_writable(PageNumber{page.value() + i});
        table_.set(PageNumber{page.value() + i}, PageFlag::resting, false);
    }
}

std::uint64_t Broker::fault_around(PageNumber page) {
    const std::uint64_t end =
        std::min((page.value() / kFaultAround + 1) * kFaultAround, table_.homes().page_count());
    std::uint64_t next = page.value() + 1;
    while (next < end && is_mine_alone(PageNumber{next}) &&
           !table_.has(PageNumber{next}, PageFlag::mapped) &&
           !table_.has(PageNumber{next}, PageFlag::on_touch) &&
           (table_.has(PageNumber{next}, PageFlag::framed) ||
            take(PageNumber{next}, coherence::Purpose::ahead)))
        ++next;
    return next - page.value();
}

// Not before somebody here wants it.
bool Broker::is_mapped_later(PageNumber page) const {
    return table_.has(page, PageFlag::on_touch) || table_.has(page, PageFlag::resting);
}

bool Broker::is_mine_alone(PageNumber page) const {
    return table_.is_home(page) && table_.permission(page) == Permission::exclusive;
}

void Broker::tell_if_wanted(const LocalPage& page, const LocalEvent& event) {
    if (!observer_ || event.kind != LocalEventKind::message || page.permission == Permission::none)
        return;
    switch (event.message.kind) {
        case MessageKind::forward_read:
            if (page.permission == Permission::exclusive)
                observer_->on_wanted(event.message.page, Access::read, event.message.requester,
                                     now_);
            return;
        case MessageKind::forward_write:
        case MessageKind::invalidate:
            observer_->on_wanted(event.message.page, Access::write, event.message.requester, now_);
            return;
        case MessageKind::read_request:
        case MessageKind::write_request:
        case MessageKind::upgrade_request:
        case MessageKind::release:
        case MessageKind::release_refused:
        case MessageKind::invalidate_ack:
        case MessageKind::shared_data:
        case MessageKind::exclusive_data:
        case MessageKind::upgrade_grant:
        case MessageKind::done:
            return;
    }
}

void Broker::count(const LocalPage& before, const LocalEvent& event) {
    if (event.kind != LocalEventKind::message) return;
    switch (event.message.kind) {
        case MessageKind::shared_data:
            ++counters_.fetches_read;
            return;
        case MessageKind::exclusive_data:
            ++counters_.fetches_write;
            return;
        case MessageKind::upgrade_grant:
            ++counters_.upgrades;
            return;
        case MessageKind::forward_read:
        case MessageKind::forward_write:
            if (before.releasing &&
                event.message.requester == table_.homes().home_of(event.message.page))
                ++counters_.written_back;
            return;
        case MessageKind::read_request:
        case MessageKind::write_request:
        case MessageKind::upgrade_request:
        case MessageKind::invalidate:
        case MessageKind::invalidate_ack:
        case MessageKind::release:
        case MessageKind::release_refused:
        case MessageKind::done:
            return;
    }
}

}  // namespace vsmp
