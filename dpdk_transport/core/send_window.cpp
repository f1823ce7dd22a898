#include "dpdk_transport/core/send_window.hpp"

#include <algorithm>
#include <bit>

#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::uint64_t kTolerance = 3, kMostTolerance = 64;
// Arrivals without a needless retransmission after which the tolerance is halved.
constexpr std::uint32_t kCalm = 4096;

}  // namespace

SendWindow::SendWindow(const LinkTiming& timing, std::size_t paths)
    : timing_(timing),
      queue_(timing.queue_limit),
      ring_(timing.window),
      paths_(paths, PathUse{timing}),
      tolerance_(kTolerance) {
    VSMP_CHECK(std::has_single_bit(timing.window), "window is not a power of two");
}

bool SendWindow::push(Channel channel, ByteView head, ByteView body) {
    return queue_.push(channel, head, body);
}

void SendWindow::clear() {
    queue_.clear();
    first_ = next_;
    lost_ = 0;
    for (PathUse& path : paths_) path.in_flight = 0;
}

void SendWindow::grant(std::uint32_t limit) {
    if (sequence_distance(limit_, limit) > 0) limit_ = limit;
}

std::size_t SendWindow::room() const {
    const auto granted = static_cast<std::size_t>(std::max(0, sequence_distance(next_, limit_)));
    return std::min(granted, ring_.size() - (next_ - first_));
}

std::optional<SendWindow::Frame> SendWindow::next(std::size_t largest) const {
    if (lost_ > 0) {
        std::uint32_t sequence = lost_from_;
        while (at(sequence).state != State::lost) ++sequence;
        const InFlight& frame = at(sequence);
        return Frame{
            sequence, frame.order, frame.behind, frame.segment, queue_.bytes(frame.segment), true};
    }
    const std::size_t left = room();
    if (left == 0) return std::nullopt;
    // An eighth of what may be in flight is for what must not wait behind bulk.
    const std::size_t reserve = (left + (next_ - first_)) / 8;
    const auto admit = left > reserve ? SendQueue::Admit::all : SendQueue::Admit::all_but_bulk;
    const auto segment = queue_.next(admit, largest);
    if (!segment) return std::nullopt;
    const Stream stream = stream_of(segment->channel);
    return Frame{
        next_,
        order_[static_cast<std::size_t>(stream)],
        stream == Stream::node ? std::uint16_t{0} : order_[static_cast<std::size_t>(Stream::node)],
        *segment,
        queue_.bytes(*segment),
        false};
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
        queue_.take(sent.segment);
        ++order_[static_cast<std::size_t>(stream_of(sent.segment.channel))];
        frame = InFlight{};
        frame.segment = sent.segment;
        frame.order = sent.order;
        frame.behind = sent.behind;
        ++next_;
    }
    PathUse& path = paths_[path_index];
    if (path.in_flight++ == 0) {
        path.timer_start = now;
        if (path.timeouts == 0) path.last_progress = now;
    }
    frame.state = State::flying;
    frame.path = static_cast<std::uint8_t>(path_index);
    frame.sent_at = now;
    frame.transmission = ++path.transmissions;
    ++frame.times_sent;
}

void SendWindow::lose(std::uint32_t sequence, Cause cause) {
    InFlight& frame = at(sequence);
    frame.state = State::lost;
    frame.cause = cause;
    --paths_[frame.path].in_flight;
    if (lost_++ == 0 || sequence_distance(lost_from_, sequence) < 0) lost_from_ = sequence;
}

void SendWindow::retransmission_was_needless(const InFlight& frame) {
    if (frame.cause != Cause::overtaken) return;
    tolerance_ = std::min(2 * tolerance_, kMostTolerance);
    calm_ = 0;
}

void SendWindow::arrived(InFlight& frame, Instant now, News& news) {
    PathUse& path = paths_[frame.path];
    ++news.count;
    news.filled_gap = news.filled_gap || frame.times_sent > 1;
    if (frame.state == State::lost)
        --lost_;
    else
        --path.in_flight;
    const Duration age = now - frame.sent_at;
    // An answer sooner than any round trip belongs to an earlier transmission.
    const bool earlier = frame.times_sent > 1 && age < path.round_trip.shortest();
    if (earlier) retransmission_was_needless(frame);
    if (!earlier) {
        path.newest_arrived = std::max(path.newest_arrived, frame.transmission);
        path.timer_start = path.last_progress = now;
        path.timeouts = 0;
        path.round_trip.progress();
    }
    if (frame.times_sent == 1 && (!news.sample || news.sample->sent_at < frame.sent_at))
        news.sample = frame;
    frame.state = State::arrived;
}

void SendWindow::take_news(const News& news, Duration held_back, Instant now) {
    if (news.sample && !news.filled_gap)
        paths_[news.sample->path].round_trip.sample(now - news.sample->sent_at, held_back);
    calm_ += news.count;
    if (calm_ >= kCalm) {
        tolerance_ = std::max(tolerance_ / 2, kTolerance);
        calm_ = 0;
    }
    timeouts_in_a_row_ = 0;
    last_progress_ = now;
    find_lost();
}

SendWindow::Ack SendWindow::acknowledge(std::uint32_t acknowledged, std::uint64_t selective,
                                        Duration held_back, Instant now) {
    const std::int32_t advance = sequence_distance(first_, acknowledged);
    if (advance < 0) return Ack::nothing_new;  // an old one, overtaken
    const std::uint32_t sent = next_ - first_;
    if (static_cast<std::uint32_t>(advance) > sent) return Ack::impossible;
    const std::uint32_t left = sent - static_cast<std::uint32_t>(advance);
    if (selective != 0 && static_cast<std::uint32_t>(std::bit_width(selective)) >= left)
        return Ack::impossible;

    News news;
    for (; first_ != acknowledged; ++first_) {
        if (at(first_).state != State::arrived) arrived(at(first_), now, news);
        queue_.release(at(first_).segment);
    }
    if (sequence_distance(lost_from_, first_) > 0) lost_from_ = first_;
    for (std::uint64_t bits = selective; bits != 0; bits &= bits - 1) {
        const auto bit = static_cast<std::uint32_t>(std::countr_zero(bits));
        InFlight& frame = at(first_ + 1 + bit);
        if (frame.state != State::arrived) arrived(frame, now, news);
    }
    if (news.count == 0) return Ack::nothing_new;
    take_news(news, held_back, now);
    return Ack::progress;
}

void SendWindow::find_lost() {
    for (std::uint32_t sequence = first_; sequence != next_; ++sequence) {
        const InFlight& frame = at(sequence);
        const std::uint64_t newest = paths_[frame.path].newest_arrived;
        if (frame.state == State::flying && frame.transmission + tolerance_ <= newest)
            lose(sequence, Cause::overtaken);
        // On one path, what comes later was sent later.
        if (paths_.size() == 1 && frame.times_sent == 1 && frame.transmission > newest) return;
    }
}

void SendWindow::tick(Instant now) {
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        PathUse& path = paths_[i];
        if (path.in_flight == 0 || now < path.timer_start + path.round_trip.timeout()) continue;
        std::uint32_t oldest = first_;
        while (at(oldest).state != State::flying || at(oldest).path != i) ++oldest;
        lose(oldest, Cause::other);
        // When this probe is acknowledged and others before it are not, they are lost too: leave
        // the gap that find_lost() looks for.
        path.transmissions += tolerance_;
        path.round_trip.back_off();
        ++path.timeouts;
        ++timeouts_in_a_row_;
        path.timer_start = now;
    }
}

std::optional<Instant> SendWindow::next_timeout() const {
    std::optional<Instant> next;
    for (const PathUse& path : paths_) {
        if (path.in_flight == 0) continue;
        const Instant at = path.timer_start + path.round_trip.timeout();
        next = next ? std::min(*next, at) : at;
    }
    return next;
}

void SendWindow::abandon(std::size_t path, Instant now) {
    // Frames that no other path can carry go over it again, and have their time again.
    paths_[path].last_progress = now;
    for (std::uint32_t sequence = first_; sequence != next_; ++sequence)
        if (at(sequence).state == State::flying && at(sequence).path == path)
            lose(sequence, Cause::other);
}

std::optional<Instant> SendWindow::stuck_since() const {
    if (!in_flight()) return std::nullopt;
    return last_progress_;
}

}  // namespace vsmp::fabric
