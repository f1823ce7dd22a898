#include "dpdk_transport/core/send_window.hpp"

#include <algorithm>

#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {
namespace {

// A frame is lost when one sent so many transmissions later has arrived (RFC 5681's three
// duplicate acknowledgements, counted in transmissions as RACK, RFC 8985, does with times: that
// also finds a retransmission that is lost in turn).
constexpr std::uint64_t kReorderTolerance = 3;
constexpr std::size_t kSpareBuffers = 64;

}  // namespace

SendWindow::SendWindow(const LinkTiming& timing) : timing_(timing), round_trip_(timing) {}

bool SendWindow::push(Channel channel, ByteView head, ByteView body) {
    if (waiting() >= timing_.queue_limit) return false;
    Message message;
    message.channel = channel;
    if (!spare_.empty()) {
        message.payload = std::move(spare_.back());
        spare_.pop_back();
    }
    message.payload.assign(head.begin(), head.end());
    message.payload.insert(message.payload.end(), body.begin(), body.end());
    messages_.push_back(std::move(message));
    return true;
}

void SendWindow::clear() {
    messages_.clear();
    sent_ = 0;
    lost_ = 0;
}

std::optional<std::size_t> SendWindow::next_index() const {
    if (lost_ > 0)
        for (std::size_t i = 0; i < sent_; ++i)
            if (messages_[i].lost) return i;
    if (sent_ < messages_.size() && sent_ < timing_.window) return sent_;
    return std::nullopt;
}

std::optional<SendWindow::Frame> SendWindow::next() const {
    const auto index = next_index();
    if (!index) return std::nullopt;
    const Message& message = messages_[*index];
    return Frame{first_ + static_cast<std::uint32_t>(*index), message.channel, message.payload};
}

void SendWindow::transmitted(Instant now) {
    const auto index = next_index();
    VSMP_CHECK(index.has_value(), "nothing was to be sent");
    Message& message = messages_[*index];
    if (message.lost) {
        message.lost = false;
        --lost_;
        ++retransmissions_;
    } else {
        if (sent_ == 0) timer_start_ = last_progress_ = now;
        ++sent_;
    }
    message.sent_at = now;
    message.order = ++next_order_;
    ++message.transmissions;
}

void SendWindow::arrived(Message& message, Instant now, Arrivals& arrivals) {
    const Duration age = now - message.sent_at;
    if (message.transmissions == 1) {
        round_trip_.sample(age);
        arrivals.first_time = std::max(arrivals.first_time, message.order);
    } else if (age >= round_trip_.shortest()) {
        // An answer sooner than any round trip belongs to an earlier transmission.
        arrivals.again = std::max(arrivals.again, message.order);
    }
    if (message.lost) {
        message.lost = false;
        --lost_;
    }
}

void SendWindow::drop_front() {
    if (spare_.size() < kSpareBuffers) spare_.push_back(std::move(messages_.front().payload));
    messages_.pop_front();
    --sent_;
    ++first_;
}

SendWindow::Ack SendWindow::acknowledge(std::uint32_t acknowledged, std::uint64_t selective,
                                        Instant now) {
    const std::int32_t advance = sequence_distance(first_, acknowledged);
    if (advance < 0) return Ack::nothing_new;  // an old one, overtaken
    if (static_cast<std::size_t>(advance) > sent_) return Ack::impossible;
    const std::size_t left = sent_ - static_cast<std::size_t>(advance);
    for (std::size_t bit = 0; bit < 64; ++bit)
        if ((selective >> bit & 1) != 0 && bit + 1 >= left) return Ack::impossible;

    Arrivals arrivals;
    bool progress = advance > 0;
    for (std::int32_t i = 0; i < advance; ++i) {
        if (!messages_.front().arrived) arrived(messages_.front(), now, arrivals);
        drop_front();
    }
    for (std::size_t bit = 0; bit < 64 && selective >> bit != 0; ++bit) {
        if ((selective >> bit & 1) == 0) continue;
        Message& message = messages_[bit + 1];
        if (message.arrived) continue;
        arrived(message, now, arrivals);
        message.arrived = true;
        progress = true;
    }
    if (!progress) return Ack::nothing_new;
    round_trip_.progress();
    timeouts_in_a_row_ = 0;
    timer_start_ = last_progress_ = now;
    // Frames sent once arriving along with one sent again: the peer was slow, not the wire lossy,
    // and the answer is to the first transmissions.
    const std::uint64_t newest = arrivals.first_time > 0 ? arrivals.first_time : arrivals.again;
    newest_arrived_order_ = std::max(newest_arrived_order_, newest);
    find_lost();
    return Ack::progress;
}

void SendWindow::find_lost() {
    for (std::size_t i = 0; i < sent_; ++i) {
        Message& message = messages_[i];
        if (message.arrived || message.lost) continue;
        if (message.order + kReorderTolerance <= newest_arrived_order_) {
            message.lost = true;
            ++lost_;
        }
    }
}

std::optional<std::size_t> SendWindow::oldest_missing() const {
    for (std::size_t i = 0; i < sent_; ++i)
        if (!messages_[i].arrived) return i;
    return std::nullopt;
}

void SendWindow::tick(Instant now) {
    const auto timeout = next_timeout();
    if (!timeout || now < *timeout) return;
    const auto index = oldest_missing();
    VSMP_CHECK(index.has_value(), "the first frame in flight is always missing");
    if (!messages_[*index].lost) {
        messages_[*index].lost = true;
        ++lost_;
    }
    // When this probe is acknowledged and others before it are not, they are lost too: leave the
    // gap that find_lost() looks for.
    next_order_ += kReorderTolerance;
    round_trip_.back_off();
    ++timeouts_in_a_row_;
    timer_start_ = now;
}

std::optional<Instant> SendWindow::next_timeout() const {
    if (sent_ == 0) return std::nullopt;
    return timer_start_ + round_trip_.timeout();
}

std::optional<Instant> SendWindow::stuck_since() const {
    if (sent_ == 0) return std::nullopt;
    return last_progress_;
}

}  // namespace vsmp::fabric
