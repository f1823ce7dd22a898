#include "dpdk_transport/core/send_window.hpp"

#include <algorithm>
#include <bit>

namespace vsmp::fabric {
SendWindow::SendWindow(const LinkTiming& timing, std::size_t paths, FrameStore* store)
    : timing_(timing),
      queue_(timing.queue_limit, store),
      ring_(timing.window),
      paths_(paths, PathUse{timing}),
      flight_(timing.flight) {
    VSMP_CHECK(std::has_single_bit(timing.window) && timing.window <= kSelectiveReach,
               "size of a window");
}

void SendWindow::clear() {
    queue_.clear();
    first_ = next_;
    lost_ = 0;
    overtaken_until_.reset();
    for (PathUse& path : paths_) path.in_flight = path.asked = 0;
    flying_ = 0;
}

void SendWindow::grant(std::uint32_t limit) {
    if (sequence_distance(limit_, limit) > 0) limit_ = limit;
}

std::size_t SendWindow::room() const {
    const auto granted = static_cast<std::size_t>(std::max(0, sequence_distance(next_, limit_)));
    const std::size_t may_fly = flight_ - std::min(flying_, flight_);
    return std::min(may_fly, std::min(granted, timing_.window - (next_ - first_)));
}

// An eighth of what may be in flight is for what must not wait behind bulk.
SendQueue::Admit SendWindow::admit() const {
    const std::size_t left = room();
    if (left == 0) return SendQueue::Admit::none;
    const std::size_t reserve = (left + flying_) / 8;
    return left > reserve ? SendQueue::Admit::all : SendQueue::Admit::all_but_bulk;
}

void SendWindow::show(const InFlight& what, Frame& frame) const {
    frame.order = what.order;
    frame.behind = what.behind;
    frame.segment = &what.segment;
    const KeptFrame& kept = queue_.kept(what.segment);
    frame.kept = kept && what.segment.size == what.segment.total ? &kept : nullptr;
}

// What is new is written where it will be in flight: to copy it just written would have to wait
// until the stores before it, of a whole page perhaps, have left the processor.
bool SendWindow::next(std::size_t largest, Frame& frame) {
    if (lost_ > 0) {
        frame.sequence = lost_from_;
        while (at(frame.sequence).state != State::lost) ++frame.sequence;
        frame.again = true;
        show(at(frame.sequence), frame);
        return true;
    }
    const SendQueue::Admit admitted = admit();
    if (admitted == SendQueue::Admit::none) return false;
    InFlight& fresh = at(next_);
    if (!queue_.next(admitted, largest, fresh.segment)) return false;
    const Stream stream = stream_of(fresh.segment.channel);
    fresh.order = order_[static_cast<std::size_t>(stream)];
    fresh.behind = stream == Stream::node ? 0 : order_[static_cast<std::size_t>(Stream::node)];
    frame.sequence = next_;
    frame.again = false;
    show(fresh, frame);
    return true;
}

void SendWindow::transmitted(const Frame& sent, std::size_t path_index, Instant now) {
    InFlight& frame = at(sent.sequence);
    if (sent.again) {
        VSMP_CHECK(frame.state == State::lost, "not lost");
        --lost_;
        lost_from_ = sent.sequence + 1;
        ++retransmissions_;
    } else {
        VSMP_CHECK(sent.sequence == next_, "not the frame that is next");
        if (!in_flight()) last_progress_ = now;
        queue_.take(frame.segment);
        ++order_[static_cast<std::size_t>(stream_of(frame.segment.channel))];
        frame.times_sent = 0;
        frame.answer = Answer::prompt;
        frame.was_needless = false;
        ++next_;
    }
    PathUse& path = paths_[path_index];
    ++flying_;
    if (path.in_flight++ == 0) {
        path.timer_start = now;
        if (path.timeouts == 0) path.last_progress = now;
    }
    frame.state = State::flying;
    frame.path = static_cast<std::uint8_t>(path_index);
    frame.sent = path.reordering.transmit(now);
    if (++frame.times_sent > 1) ++path.asked;
}

void SendWindow::leave_flight(const InFlight& frame) {
    PathUse& path = paths_[frame.path];
    --path.in_flight;
    --flying_;
    if (frame.times_sent > 1) --path.asked;
}

void SendWindow::lose(std::uint32_t sequence, Cause cause) {
    InFlight& frame = at(sequence);
    leave_flight(frame);
    frame.state = State::lost;
    frame.cause = cause;
    if (lost_++ == 0 || sequence_distance(lost_from_, sequence) < 0) lost_from_ = sequence;
}

// The peer names a sequence that it had already. What was sent again for nothing tells how to wait.
void SendWindow::came_again(std::uint16_t low_bits) {
    const auto back = static_cast<std::uint16_t>(next_ - low_bits);
    if (back == 0 || back > timing_.window) return;
    InFlight& frame = at(next_ - back);
    if (frame.times_sent < 2 || frame.was_needless) return;
    frame.was_needless = true;
    ++needless_;
    PathUse& path = paths_[frame.path];
    switch (frame.cause) {
        case Cause::overtaken:
            path.reordering.was_late();
            return;
        case Cause::timeout:
            // Otherwise perhaps only the acknowledgement was lost.
            if (frame.answer == Answer::odd) path.round_trip.timeout_was_needless();
            return;
        case Cause::moved:
            return;
    }
}

void SendWindow::arrived(InFlight& frame, Instant now, News& news) {
    PathUse& path = paths_[frame.path];
    ++news.count;
    news.filled_gap = news.filled_gap || frame.times_sent > 1;
    if (frame.state == State::lost)
        --lost_;
    else
        leave_flight(frame);
    const Duration age = now - frame.sent.at;
    const bool again = frame.times_sent > 1;
    if (again && !path.round_trip.plausible(age)) frame.answer = Answer::odd;
    // An answer sooner than any round trip belongs to an earlier transmission.
    if (!again || age >= path.round_trip.shortest()) {
        if (news.scope == AckScope::whole) path.reordering.arrived(frame.sent);
        if (again && frame.cause == Cause::timeout && frame.answer == Answer::prompt)
            path.round_trip.timeout_was_needed();
        path.timer_start = path.last_progress = now;
        path.timeouts = 0;
        path.round_trip.progress();
    }
    if (!again && (news.sample == nullptr || news.sample->sent.at < frame.sent.at))
        news.sample = &frame;
    frame.state = State::arrived;
}

void SendWindow::take_news(const News& news, Duration held_back, Instant now) {
    if (news.sample != nullptr && !news.filled_gap) {
        RoundTrip& round_trip = paths_[news.sample->path].round_trip;
        round_trip.sample(now - news.sample->sent.at, held_back);
        flight_ = round_trip.smoothed() <= timing_.near ? timing_.flight_near : timing_.flight;
    }
    for (PathUse& path : paths_) path.reordering.calm(news.count);
    timeouts_in_a_row_ = 0;
    last_progress_ = now;
    // Of what only a whole acknowledgement names nothing is known now.
    if (news.scope == AckScope::whole) find_lost(now);
}

bool SendWindow::possible(const Acknowledgement& told) const {
    const std::uint32_t sent = next_ - first_, advance = told.below - first_;
    if (advance > sent) return false;
    std::uint32_t highest = 0;  // 1 more than the highest bit that is set
    for (std::uint32_t word = 0; word < kSelectiveWords; ++word)
        if (told.selective[word] != 0)
            highest = 64 * word + static_cast<std::uint32_t>(std::bit_width(told.selective[word]));
    return highest == 0 || highest < sent - advance;
}

SendWindow::Verdict SendWindow::judge(const Acknowledgement& told) const {
    const std::int32_t ahead = sequence_distance(first_, told.below);
    if (ahead < 0) return Verdict::nothing_new;  // overtaken
    if (ahead == 0 && !any_bit(told.selective) && !told.doubled) return Verdict::nothing_new;
    return possible(told) ? Verdict::news : Verdict::impossible;
}

void SendWindow::acknowledge(const Acknowledgement& told, Instant now) {
    News news;
    news.scope = told.scope;
    for (; first_ != told.below; ++first_) {
        if (at(first_).state != State::arrived) arrived(at(first_), now, news);
        queue_.release(at(first_).segment);
    }
    if (sequence_distance(lost_from_, first_) > 0) lost_from_ = first_;
    for (std::uint32_t word = 0; word < kSelectiveWords; ++word) {
        for (std::uint64_t bits = told.selective[word]; bits != 0; bits &= bits - 1) {
            const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
            InFlight& frame = at(first_ + 1 + 64 * word + bit);
            if (frame.state != State::arrived) arrived(frame, now, news);
        }
    }
    if (told.doubled) came_again(*told.doubled);
    if (news.count > 0) take_news(news, told.held_back, now);
}

void SendWindow::find_lost(Instant now) {
    overtaken_until_.reset();
    for (std::uint32_t sequence = first_; sequence != next_; ++sequence) {
        const InFlight& frame = at(sequence);
        const PathUse& path = paths_[frame.path];
        const bool overtaken = path.reordering.overtaken(frame.sent);
        if (frame.state == State::flying && overtaken) {
            const Instant lost_at = path.reordering.lost_at(frame.sent, path.round_trip);
            if (lost_at <= now)
                lose(sequence, Cause::overtaken);
            else
                overtaken_until_ =
                    overtaken_until_ ? std::min(*overtaken_until_, lost_at) : lost_at;
        }
        // On one path, what comes later was sent later.
        if (paths_.size() == 1 && frame.times_sent == 1 && !overtaken) return;
    }
}

void SendWindow::time_out(std::size_t index, Instant now) {
    PathUse& path = paths_[index];
    std::uint32_t oldest = next_;  // none
    for (std::uint32_t sequence = first_; sequence != next_; ++sequence) {
        const InFlight& frame = at(sequence);
        if (frame.state != State::flying || frame.path != index) continue;
        if (oldest == next_ || frame.sent.number < at(oldest).sent.number) oldest = sequence;
    }
    VSMP_CHECK(oldest != next_, "nothing is in flight");
    // All of it went out after the timer was started.
    path.timer_start = std::max(path.timer_start, at(oldest).sent.at);
    if (now < path.timeout_at()) return;
    path.round_trip.back_off(path.urgency());
    lose(oldest, Cause::timeout);
    path.reordering.probe();
    ++path.timeouts;
    ++timeouts_in_a_row_;
    path.timer_start = now;
}

void SendWindow::tick(Instant now) {
    if (overtaken_until_ && now >= *overtaken_until_) find_lost(now);
    for (std::size_t i = 0; i < paths_.size(); ++i)
        if (paths_[i].in_flight > 0 && now >= paths_[i].timeout_at()) time_out(i, now);
}

std::optional<Instant> SendWindow::next_timeout() const {
    std::optional<Instant> next = overtaken_until_;
    for (const PathUse& path : paths_) {
        if (path.in_flight == 0) continue;
        next = next ? std::min(*next, path.timeout_at()) : path.timeout_at();
    }
    return next;
}

void SendWindow::abandon(std::size_t path, Instant now) {
    // Frames that no other path can carry go over it again, and have their time again.
    paths_[path].last_progress = now;
    for (std::uint32_t sequence = first_; sequence != next_; ++sequence)
        if (at(sequence).state == State::flying && at(sequence).path == path)
            lose(sequence, Cause::moved);
}

std::optional<Instant> SendWindow::stuck_since() const {
    if (!in_flight()) return std::nullopt;
    return last_progress_;
}

}  // namespace vsmp::fabric
