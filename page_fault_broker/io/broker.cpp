#include "page_fault_broker/io/broker.hpp"

#include <algorithm>

namespace vsmp {

using coherence::Action;
using coherence::ActionKind;
using coherence::Contents;
using coherence::LocalEvent;
using coherence::LocalEventKind;
using coherence::LocalPage;
using coherence::Message;
using coherence::MessageKind;
using coherence::Permission;

namespace {

// Pages mapped at once when a page of this node's own that nobody shares is touched first.
constexpr std::uint64_t kFaultAround = 16;

void must(const Result<void>& result, std::string_view why) {
    if (!result) VSMP_CHECK(false, result.error().in(std::string{why}).message);
}

bool is_for_home(MessageKind kind) {
    switch (kind) {
        case MessageKind::read_request:
        case MessageKind::write_request:
        case MessageKind::done:
            return true;
        case MessageKind::forward_read:
        case MessageKind::forward_write:
        case MessageKind::invalidate:
        case MessageKind::invalidate_ack:
        case MessageKind::shared_data:
        case MessageKind::exclusive_data:
        case MessageKind::upgrade_grant:
            return false;
    }
    VSMP_CHECK(false, "message kind out of range");
}

}  // namespace

HomeMap::HomeMap(const std::vector<std::uint64_t>& pages) : starts_(1, 0) {
    for (std::uint64_t count : pages) starts_.push_back(starts_.back() + count);
}

NodeId HomeMap::home_of(PageNumber page) const {
    const auto after = std::upper_bound(starts_.begin() + 1, starts_.end(), page.value());
    VSMP_CHECK(after != starts_.end(), "page beyond guest RAM");
    return NodeId{static_cast<std::uint8_t>(after - starts_.begin() - 1)};
}

Broker::Broker(NodeId self, HomeMap homes, coherence::HoldLimits holds, GuestMemory& memory,
               UserfaultFd& userfault)
    : self_(self),
      homes_(std::move(homes)),
      memory_(memory),
      userfault_(userfault),
      holds_(holds),
      local_(homes_.page_count()),
      mapped_(homes_.page_count()),
      on_touch_(homes_.page_count()),
      populated_(homes_.page_count()) {
    const std::uint64_t first = homes_.first_page_of(self).value();
    const NodeId next{static_cast<std::uint8_t>(self.value() + 1)};
    const std::uint64_t end = homes_.first_page_of(next).value();
    home_.assign(end - first, coherence::initial_home_page(self));
    for (std::uint64_t page = first; page < end; ++page)
        local_[page].permission = Permission::exclusive;
}

bool Broker::permits(PageNumber page, Access access) const {
    const Permission permission = local_[page.value()].permission;
    return access == Access::write ? permission == Permission::exclusive
                                   : permission != Permission::none;
}

NodeId Broker::location(PageNumber page) const {
    const NodeId home = homes_.home_of(page);
    if (home != self_) return home;
    return NodeId{home_[page.value() - homes_.first_page_of(self_).value()].owner};
}

void Broker::on_fault(const Userfault& fault, coherence::Claimant claimant, Instant now) {
    ++counters_.faults;
    if (on_touch_[fault.page.value()]) {
        on_touch_[fault.page.value()] = false;
        if (observer_) observer_->on_touched(fault.page, now);
    }
    if (is_remote(fault)) {
        holds_.on_fault(claimant, fault.page, now);
        const Waiting claim{fault.page, claimant};
        if (std::find(waiting_.begin(), waiting_.end(), claim) == waiting_.end())
            waiting_.push_back(claim);
    } else {
        ++counters_.local_maps;
        mapped_[fault.page.value()] = false;  // or there would have been no fault
    }
    run_local(fault.page, {LocalEventKind::fault, fault.access, {}}, {}, now);
    settle(now);
}

void Broker::prefetch(std::span<const PageNumber> pages, Access access, MapAhead map, Instant now) {
    if (fabric_ && fabric_->congested()) return;
    for (PageNumber page : pages.first(std::min(pages.size(), kMaxPrefetch))) {
        if (page.value() >= homes_.page_count() || permits(page, access)) continue;
        if (local_[page.value()].request != coherence::Request::none) continue;
        ++counters_.prefetches;
        on_touch_[page.value()] = map == MapAhead::on_touch && !mapped_[page.value()];
        run_local(page, {LocalEventKind::fault, access, {}}, {}, now);
    }
    settle(now);
}

void Broker::on_abandoned(coherence::Claimant claimant, Instant now) {
    std::erase_if(waiting_, [&](const Waiting& w) { return w.claimant == claimant; });
    holds_.on_abandoned(claimant, now);
}

void Broker::on_message(NodeId from, ByteView payload, Instant now) {
    const auto decoded = coherence::decode(payload, homes_.page_count(), homes_.node_count());
    if (!decoded) {
        ++counters_.malformed;
        return;
    }
    dispatch(from, decoded->message, decoded->contents, now);
    settle(now);
}

void Broker::on_timer(Instant now) {
    expired_.clear();
    holds_.expired(now, expired_);
    for (PageNumber page : expired_)
        run_local(page, {LocalEventKind::hold_expired, Access::read, {}}, {}, now);
    settle(now);
}

void Broker::mark_populated(PageNumber first, std::uint64_t count) {
    for (std::uint64_t page = first.value(); page < first.value() + count; ++page) {
        VSMP_CHECK(homes_.home_of(PageNumber{page}) == self_, "boot image outside the boot node");
        populated_[page] = true;
    }
}

void Broker::dispatch(NodeId from, const Message& message, ByteView contents, Instant now) {
    if (!is_for_home(message.kind)) {
        run_local(message.page, {LocalEventKind::message, Access::read, message}, contents, now);
    } else if (homes_.home_of(message.page) == self_ && message.requester == from) {
        run_home(message);
    } else {
        ++counters_.malformed;
    }
}

void Broker::run_local(PageNumber page, const LocalEvent& event, ByteView contents, Instant now) {
    const LocalPage before = local_[page.value()];
    const coherence::LocalStep step =
        coherence::step(self_, homes_.home_of(page), page, before, event);
    local_[page.value()] = step.next;
    count(before, event);
    tell_if_wanted(before, event, now);
    for (const Action& action : step.actions) perform(page, action, contents, now);
}

void Broker::run_home(const Message& message) {
    coherence::HomePage& entry = home_[message.page.value() - homes_.first_page_of(self_).value()];
    const coherence::HomeStep step = coherence::step(self_, entry, message);
    entry = step.next;
    for (const Action& action : step.actions) send(action.to, action.message);
}

void Broker::perform(PageNumber page, const Action& action, ByteView contents, Instant now) {
    switch (action.kind) {
        case ActionKind::send:
            send(action.to, action.message);
            return;
        case ActionKind::store_contents:
            store(page, contents);
            return;
        case ActionKind::map_shared:
            populate(page);
            if (on_touch_[page.value()]) return;
            must(userfault_.map_read_only(page), "map a page for reading");
            mapped_[page.value()] = true;
            return;
        case ActionKind::map_exclusive:
            map_exclusive(page);
            return;
        case ActionKind::revoke_write:
            if (mapped_[page.value()]) must(userfault_.forbid_write(page), "revoke writing");
            return;
        case ActionKind::revoke_all:
            ++counters_.invalidations;
            if (mapped_[page.value()]) must(userfault_.unmap(page), "take a page away");
            mapped_[page.value()] = false;
            on_touch_[page.value()] = false;
            return;
        case ActionKind::start_hold: {
            bool claimed = false;
            for (const Waiting& w : waiting_) {
                if (w.page != page) continue;
                holds_.on_granted(w.claimant, page, now);
                if (observer_) observer_->on_obtained(w.claimant, page, now);
                claimed = true;
            }
            if (!claimed) unclaimed_.push_back(page);
            std::erase_if(waiting_, [&](const Waiting& w) { return w.page == page; });
            return;
        }
    }
}

void Broker::send(NodeId to, Message message) {
    ByteView body;
    if (message.contents != Contents::none && to != self_) {
        const bool zero =
            !populated_[message.page.value()] || is_zero(memory_.contents(message.page));
        message.contents = zero ? Contents::zero : Contents::page;
        if (!zero) body = memory_.contents(message.page);
    }
    if (to == self_) {
        loopback_.push_back(message);
        return;
    }
    VSMP_CHECK(fabric_ != nullptr, "a message to another node without a fabric");
    std::array<std::byte, coherence::kMessageHeaderSize> header;
    ByteWriter writer{header};
    coherence::encode(message, writer);
    fabric_->send(to, fabric::Channel::coherence, writer.written(), body);
}

void Broker::settle(Instant now) {
    while (!loopback_.empty() || !unclaimed_.empty()) {
        if (!loopback_.empty()) {
            const Message message = loopback_.front();
            loopback_.pop_front();
            dispatch(self_, message, {}, now);
        } else {
            const PageNumber page = unclaimed_.back();
            unclaimed_.pop_back();
            run_local(page, {LocalEventKind::hold_expired, Access::read, {}}, {}, now);
        }
    }
}

void Broker::store(PageNumber page, ByteView contents) {
    std::span<std::byte, kPageSize> to = memory_.contents(page);
    if (!contents.empty()) {  // else it came as the zero flag
        std::memcpy(to.data(), contents.data(), kPageSize);
        populated_[page.value()] = true;
        return;
    }
    ++counters_.zero_pages;
    if (populated_[page.value()]) std::memset(to.data(), 0, kPageSize);
}

void Broker::map_exclusive(PageNumber page) {
    if (on_touch_[page.value()]) return;
    if (mapped_[page.value()]) {
        // Read-only until now. Should the PTE have gone meanwhile, whoever waits faults anew and
        // comes here with mapped_ false.
        must(userfault_.allow_write(page), "allow writing");
        return;
    }
    const std::uint64_t count = fault_around(page);
    for (std::uint64_t i = 0; i < count; ++i) {
        populate(PageNumber{page.value() + i});
        mapped_[page.value() + i] = true;
    }
    must(userfault_.map_writable(page, count), "map pages for writing");
}

void Broker::populate(PageNumber page) {
    if (populated_[page.value()]) return;
    // UFFDIO_CONTINUE wants the page in the page cache; a write through the alias puts it there.
    memory_.contents(page)[0] = std::byte{0};
    populated_[page.value()] = true;
}

std::uint64_t Broker::fault_around(PageNumber page) {
    const std::uint64_t end =
        std::min((page.value() / kFaultAround + 1) * kFaultAround, homes_.page_count());
    std::uint64_t next = page.value() + 1;
    while (next < end && is_home_local(PageNumber{next}) && !mapped_[next] && !on_touch_[next])
        ++next;
    return next - page.value();
}

bool Broker::is_home_local(PageNumber page) const {
    return homes_.home_of(page) == self_ &&
           local_[page.value()].permission == Permission::exclusive;
}

void Broker::tell_if_wanted(const LocalPage& page, const LocalEvent& event, Instant now) {
    if (!observer_ || event.kind != LocalEventKind::message || page.permission == Permission::none)
        return;
    switch (event.message.kind) {
        case MessageKind::forward_read:
            if (page.permission == Permission::exclusive)
                observer_->on_wanted(event.message.page, Access::read, event.message.requester,
                                     now);
            return;
        case MessageKind::forward_write:
        case MessageKind::invalidate:
            observer_->on_wanted(event.message.page, Access::write, event.message.requester, now);
            return;
        case MessageKind::read_request:
        case MessageKind::write_request:
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
            ++(before.permission == Permission::shared ? counters_.upgrades
                                                       : counters_.fetches_write);
            return;
        case MessageKind::upgrade_grant:
            ++counters_.upgrades;
            return;
        case MessageKind::read_request:
        case MessageKind::write_request:
        case MessageKind::forward_read:
        case MessageKind::forward_write:
        case MessageKind::invalidate:
        case MessageKind::invalidate_ack:
        case MessageKind::done:
            return;
    }
}

}  // namespace vsmp
