#include "dpdk_transport/core/link.hpp"

#include <algorithm>
#include <array>

#include "dpdk_transport/core/sequence.hpp"

namespace vsmp::fabric {
namespace {

// While data streams in and none goes back: often enough for the peer's credit, seldom enough
// to cost nothing.
constexpr std::size_t kAckEvery = 16;
// A link on which nothing moved needs this many unanswered retransmissions to be lost, so that a
// node that was itself stopped for long does not blame its peer.
constexpr std::size_t kTimeoutsToLose = 4;
// Silence beyond which the peer is lost though it is heard: what it needs does not get through.
constexpr int kStuckFactor = 4;
// Frames of another version, with none of ours between, that are no accident.
constexpr std::size_t kForeignToLose = 3;

constexpr std::array<std::byte, kLargestEthernetPayload> kPadding{};

// An earlier reconnection of the same process: each adds 1 (LinkIdentity). A damaged or delayed
// frame of it must not look like a restart.
bool is_earlier(LinkIncarnation which, LinkIncarnation than) {
    constexpr std::int32_t kReconnections = 1 << 16;
    const std::int32_t ahead = sequence_distance(which.value(), than.value());
    return than != LinkIncarnation{} && ahead > 0 && ahead < kReconnections;
}

std::string seconds(Duration duration) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    if (ms % 1000 == 0) return std::to_string(ms / 1000) + " s";
    return std::to_string(ms) + " ms";
}

}  // namespace

Link::Link(const LinkIdentity& identity, const LinkTiming& timing, const LinkPaths& paths)
    : identity_(identity),
      timing_(timing),
      seal_overhead_(paths.seal_overhead),
      send_(timing, paths.mtus.size(), paths.store),
      receive_(timing.window),
      streams_(identity.peer, timing.window),
      credit_(paths.credit == 0 ? timing.window : paths.credit) {
    VSMP_CHECK(identity.incarnation != LinkIncarnation{}, "incarnation 0 means unknown");
    VSMP_CHECK(!paths.mtus.empty() && paths.mtus.size() <= kMaxPaths, "number of paths");
    const std::size_t smallest = kMtuOverhead + seal_overhead_;
    for (std::size_t mtu : paths.mtus)
        paths_.emplace_back(timing, std::min(mtu, smallest + kMaxPayload), smallest);
    segment_size_ = find_segment_size();
}

std::string Link::peer_name() const {
    return "node " + std::to_string(identity_.peer.value());
}

void Link::lose(std::string why) {
    state_ = PeerState::lost;
    problem_ = std::move(why);
    send_.clear();
    untaken_.is_news = false;
    ack_now_ = false;
    owed_ = 0;
}

void Link::send(Channel channel, ByteView head, ByteView body) {
    VSMP_CHECK(head.size() + body.size() <= kMaxPayload, "message larger than a frame");
    if (state_ == PeerState::lost) return;
    disturbed_ = true;
    if (!send_.push(channel, head, body)) [[unlikely]]
        return refuse_message();
    ++counters_.messages_sent;
}

void Link::send(Channel channel, KeptFrame message, std::size_t size) {
    VSMP_CHECK(size <= kMaxPayload, "message larger than a frame");
    if (state_ == PeerState::lost) return;
    disturbed_ = true;
    if (!send_.push(channel, std::move(message), size)) [[unlikely]]
        return refuse_message();
    ++counters_.messages_sent;
}

void Link::refuse_message() {
    lose(peer_name() + " takes no messages: " + std::to_string(timing_.queue_limit) +
         " are waiting for it");
}

void Link::receive_foreign(std::uint8_t version) {
    disturbed_ = true;
    ++counters_.rejected;
    if (state_ != PeerState::connecting || ++foreign_in_a_row_ < kForeignToLose) return;
    lose(peer_name() + " speaks protocol version " + std::to_string(version) + ", this node " +
         std::to_string(kProtocolVersion));
}

// Not from an earlier life of it, nor after it has restarted.
bool Link::may_come_from_peer(const FrameHeader& header) {
    if (state_ == PeerState::up && header.sender == peer_) return true;
    if (header.sender == identity_.former && identity_.former != LinkIncarnation{}) return false;
    if (is_earlier(header.sender, identity_.former) || is_earlier(header.sender, peer_))
        return false;
    if (state_ != PeerState::up) return true;
    if (header.kind == FrameKind::hello || header.receiver == identity_.incarnation)
        lose(peer_name() + " has restarted");
    return false;
}

void Link::receive(std::size_t path_index, const FrameHeader& header, ByteView payload, Instant now,
                   const Deliver& deliver) {
    if (state_ == PeerState::lost) return;
    disturbed_ = true;
    if (!may_come_from_peer(header)) {
        ++counters_.rejected, ++counters_.stale;
        return;
    }
    foreign_in_a_row_ = 0;
    Path& path = paths_[path_index];
    const bool for_us = header.receiver == identity_.incarnation;
    if (header.kind == FrameKind::hello) path.hello_came();
    if (header.kind == FrameKind::hello || (header.kind == FrameKind::welcome && for_us)) {
        path.meet(header.mtu);
        segment_size_ = find_segment_size();
        peer_ = header.sender;
        heard_at_ = now;
    }
    if (!for_us || !path.known()) {
        if (header.kind != FrameKind::hello) ++counters_.rejected, ++counters_.stale;
        return;
    }
    take_acknowledgement();
    if (!note_acknowledgement(header, payload, now)) {
        ++counters_.rejected, ++counters_.impossible;
        return;
    }
    send_.grant(header.acknowledged + header.credit);
    peer_ = header.sender;
    heard_at_ = now;
    path.confirm();
    state_ = PeerState::up;
    switch (header.kind) {
        case FrameKind::hello:
        case FrameKind::welcome:
        case FrameKind::ack:
            return;
        case FrameKind::probe:
        case FrameKind::probe_ack:
            receive_probe(path_index, header, payload, now);
            return;
        case FrameKind::data:
            receive_data(path_index, header, payload, now, deliver);
            return;
    }
}

// False: it is impossible. News wait for take_acknowledgement().
bool Link::note_acknowledgement(const FrameHeader& header, ByteView payload, Instant now) {
    // The frames of a stream say the same many times: for that nothing is put together.
    if (header.kind != FrameKind::ack && header.selective == 0 && send_.knows(header.acknowledged))
        return true;
    read_acknowledgement(header, payload, untaken_.told);
    switch (send_.judge(untaken_.told)) {
        case SendWindow::Verdict::impossible:
            return false;
        case SendWindow::Verdict::news:
            untaken_.came = now;
            untaken_.is_news = true;
            return true;
        case SendWindow::Verdict::nothing_new:
            return true;
    }
    return false;
}

void Link::take_acknowledgement() {
    if (std::exchange(untaken_.is_news, false)) send_.acknowledge(untaken_.told, untaken_.came);
}

void Link::receive_probe(std::size_t path, const FrameHeader& header, ByteView payload,
                         Instant now) {
    if (header.kind == FrameKind::probe) {
        if (payload.size() + kMtuOverhead + seal_overhead_ == header.mtu)
            paths_[path].probe_came(header.mtu);
        return;
    }
    if (const auto taken = paths_[path].probe_acked(header.mtu, now)) send_.sample(path, *taken);
    segment_size_ = find_segment_size();
    send_.forgive(path);
}

void Link::receive_data(std::size_t path, const FrameHeader& header, ByteView payload, Instant now,
                        const Deliver& deliver) {
    using Arrival = ReceiveWindow::Arrival;
    const Arrival arrival = receive_.look(header.sequence);
    const bool is_new = arrival == Arrival::in_order || arrival == Arrival::early;
    const auto place = is_new ? streams_.place(header) : std::nullopt;
    if (arrival == Arrival::outside || (is_new && !place)) {
        ++counters_.rejected, ++counters_.outside_window;
        return;
    }
    reply_path_ = path;
    newest_data_at_ = now;
    if (owed_++ == 0) owed_since_ = now;
    if (header.answer == AckUrgency::now) ack_now_ = true;
    if (!is_new) {
        ++counters_.duplicates;
        ack_now_ = true;  // our acknowledgement may have been lost
        doubled_ = static_cast<std::uint16_t>(header.sequence);
        return;
    }
    if (arrival == Arrival::early) ++counters_.out_of_order;
    // What comes out of order, and what fills a gap, the sender waits to hear of (RFC 5681, 4.2).
    if (arrival == Arrival::early || receive_.has_gap()) ack_now_ = true;
    receive_.accept(header.sequence);
    streams_.accept(*place, header, payload, deliver);
}

// When the next thing is due is found in the first turn without any traffic: with traffic every
// turn looks anyway, and nobody waits for an answer meanwhile.
bool Link::rests(Instant now) {
    if (disturbed_) return false;
    if (!rests_until_) rests_until_ = next_deadline().value_or(Instant::max());
    return now < *rests_until_;
}

void Link::tick(Instant now) {
    disturbed_ = false;
    rests_until_.reset();
    take_acknowledgement();
    switch (state_) {
        case PeerState::lost:
            return;
        case PeerState::connecting:
            if (!connecting_since_) connecting_since_ = now;
            if (timing_.connect_timeout > Duration::zero() &&
                now - *connecting_since_ >= timing_.connect_timeout) {
                lose("no answer from " + peer_name() + " for " + seconds(timing_.connect_timeout));
                return;
            }
            break;
        case PeerState::up:
            send_.tick(now);
            check_paths(now);
            check_silence(now);
            break;
    }
    for (Path& path : paths_) path.tick(link_state(), now);
}

void Link::check_silence(Instant now) {
    const auto stuck_since = send_.stuck_since();
    if (!stuck_since || send_.timeouts_in_a_row() < kTimeoutsToLose) return;
    const Instant quiet_since = std::max(*stuck_since, heard_at_);
    if (now - quiet_since >= timing_.peer_timeout) {
        lose(peer_name() + " has been silent for " + seconds(timing_.peer_timeout));
    } else if (now - *stuck_since >= kStuckFactor * timing_.peer_timeout) {
        lose(peer_name() + " is heard but what it is sent does not arrive");
    }
}

bool Link::has_other_path(std::size_t index) const {
    for (std::size_t i = 0; i < paths_.size(); ++i)
        if (i != index && paths_[i].state() == Path::State::alive) return true;
    return false;
}

// When what is in flight over a suspect goes over the others instead.
std::optional<Instant> Link::failover_at(std::size_t index) const {
    const SendWindow::PathUse& use = send_.path(index);
    if (paths_[index].state() != Path::State::suspect || use.in_flight == 0) return std::nullopt;
    if (!has_other_path(index)) return std::nullopt;
    return use.last_progress + timing_.failover_after;
}

// A path that let a timeout pass is not used while there is another, but probed. Perhaps the peer
// only stood still for a while: what is in flight has a little more time.
void Link::check_paths(Instant now) {
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        const bool silent = send_.path(i).timeouts > 0;
        if (silent && paths_[i].state() == Path::State::alive && has_other_path(i))
            paths_[i].suspect();
        const auto at = failover_at(i);
        if (at && now >= *at) send_.abandon(i, now);
    }
}

bool Link::ack_due(Instant now) const {
    const std::size_t many = std::clamp<std::size_t>(credit_ / 4, 1, kAckEvery);
    return ack_now_ || owed_ >= many || (owed_ > 0 && now >= owed_since_ + timing_.ack_delay);
}

// Any path must be able to carry any segment: traffic may have to move.
std::size_t Link::find_segment_size() const {
    std::size_t mtu = kLargestEthernetPayload + seal_overhead_;
    for (const Path& path : paths_)
        if (path.known()) mtu = std::min(mtu, path.mtu());
    return mtu - kMtuOverhead - seal_overhead_;
}

// The least busy one that is alive and carries the frame; a suspect if there is no other.
std::optional<std::size_t> Link::choose_path(std::size_t payload, PathMask blocked) const {
    const auto carries = [&](std::size_t i) {
        return (blocked >> i & 1) == 0 && paths_[i].known() &&
               payload + kMtuOverhead + seal_overhead_ <= paths_[i].mtu();
    };
    if (paths_.size() == 1) return carries(0) ? std::optional<std::size_t>{0} : std::nullopt;
    std::optional<std::size_t> best;
    const auto worse = [&](std::size_t a, std::size_t b) {
        const bool suspect_a = paths_[a].state() == Path::State::suspect;
        const bool suspect_b = paths_[b].state() == Path::State::suspect;
        if (suspect_a != suspect_b) return suspect_a;
        return send_.path(a).in_flight > send_.path(b).in_flight;
    };
    for (std::size_t i = 0; i < paths_.size(); ++i)
        if (carries(i) && (!best || worse(*best, i))) best = i;
    return best;
}

void Link::begin_frame(FrameKind kind) {
    plan_.outgoing.header = FrameHeader{};
    plan_.outgoing.header.kind = kind;
    plan_.outgoing.payload = {};
    plan_.outgoing.kept = nullptr;
}

bool Link::plan_control(PathMask blocked) {
    if (!has_due()) return false;
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        if ((blocked >> i & 1) != 0 || !paths_[i].has_due()) continue;
        const Path::Due due = paths_[i].due();
        plan_.what = Plan::What::due;
        plan_.due = due;
        plan_.outgoing.path = i;
        begin_frame(due.kind);
        plan_.outgoing.header.mtu = due.mtu;
        if (due.kind == FrameKind::probe)
            plan_.outgoing.payload =
                ByteView{kPadding}.first(due.mtu - kMtuOverhead - seal_overhead_);
        return true;
    }
    return false;
}

bool Link::plan_data(PathMask blocked) {
    SendWindow::Frame& frame = plan_.frame;
    if (!send_.next(segment_size_, frame)) return false;
    const auto path = choose_path(frame.segment->size, blocked);
    if (!path) return false;
    plan_.what = Plan::What::data;
    plan_.outgoing.path = *path;
    begin_frame(FrameKind::data);
    plan_.outgoing.payload = send_.payload(frame);
    plan_.outgoing.kept = frame.kept;
    FrameHeader& header = plan_.outgoing.header;
    header.answer = frame.again ? AckUrgency::now : AckUrgency::may_wait;
    header.channel = frame.segment->channel;
    header.sequence = frame.sequence;
    header.order = frame.order;
    header.behind = frame.behind;
    header.offset = frame.segment->offset;
    header.total = frame.segment->total;
    return true;
}

bool Link::plan_ack(PathMask blocked, Instant now) {
    if (!ack_due(now)) return false;
    // By the way the data came, which is alive.
    const bool same_way = (blocked >> reply_path_ & 1) == 0;
    const auto path = same_way ? std::optional{reply_path_} : choose_path(0, blocked);
    if (!path) return false;
    plan_.what = Plan::What::ack;
    plan_.outgoing.path = *path;
    begin_frame(FrameKind::ack);
    return true;
}

void Link::fill_header(Instant now) {
    receive_.grant(credit_);
    FrameHeader& header = plan_.outgoing.header;
    header.from = identity_.self;
    header.to = identity_.peer;
    header.sender = identity_.incarnation;
    header.receiver = peer_;
    header.acknowledged = receive_.acknowledged();
    if (header.kind == FrameKind::ack) header.doubled = doubled_;
    if (receive_.has_gap()) fill_selective();
    header.credit = static_cast<std::uint16_t>(receive_.credit());
    if (owed_ > 0) {
        const auto us =
            std::chrono::duration_cast<std::chrono::microseconds>(now - newest_data_at_).count();
        header.ack_delay_us = static_cast<std::uint16_t>(std::clamp<std::int64_t>(us, 0, 0xffff));
    }
}

// Only an ack has room for all of it.
void Link::fill_selective() {
    const Selective selective = receive_.selective();
    FrameHeader& header = plan_.outgoing.header;
    header.selective = selective[0];
    std::size_t words = kSelectiveWords;
    while (words > 1 && selective[words - 1] == 0) --words;
    if (header.kind != FrameKind::ack) {
        if (words > 1) header.scope = AckScope::part;
        return;
    }
    ByteWriter writer{plan_.selective};
    for (std::size_t i = 1; i < words; ++i) writer.write(selective[i]);
    plan_.outgoing.payload = writer.written();
}

const Link::Outgoing* Link::next(Instant now, PathMask blocked) {
    if (state_ == PeerState::lost) return nullptr;
    if (send_.repeats()) take_acknowledgement();  // it may have arrived after all
    const bool planned = plan_control(blocked) || (state_ == PeerState::up &&
                                                   (plan_data(blocked) || plan_ack(blocked, now)));
    if (!planned) return nullptr;
    fill_header(now);
    return &plan_.outgoing;
}

void Link::transmitted(Instant now) {
    rests_until_.reset();
    if (plan_.what == Plan::What::due) {
        paths_[plan_.outgoing.path].sent(plan_.due, link_state(), now);
        return;
    }
    if (plan_.what == Plan::What::data) send_.transmitted(plan_.frame, plan_.outgoing.path, now);
    const FrameHeader& header = plan_.outgoing.header;
    if (plan_.what != Plan::What::ack &&
        (doubled_ || (owed_ > 0 && header.scope == AckScope::part))) {
        ack_now_ = true;
        return;
    }
    owed_ = 0;
    ack_now_ = false;
    doubled_.reset();
}

bool Link::something_to_send() const {
    return has_due() || (state_ == PeerState::up && (ack_due(Instant{}) || send_.has_next()));
}

std::optional<Instant> Link::next_deadline() const {
    if (state_ == PeerState::lost) return std::nullopt;
    if (something_to_send()) return Instant{};
    std::optional<Instant> next;
    const auto consider = [&](std::optional<Instant> at) {
        if (at && (!next || *at < *next)) next = at;
    };
    for (std::size_t i = 0; i < paths_.size(); ++i) {
        consider(paths_[i].next_deadline(link_state()));
        if (state_ == PeerState::up) consider(failover_at(i));
    }
    if (state_ != PeerState::up) return next;
    consider(send_.next_timeout());
    if (owed_ > 0) consider(owed_since_ + timing_.ack_delay);
    return next;
}

PeerCounters Link::counters() const {
    PeerCounters counters = counters_;
    counters.retransmissions = send_.retransmissions();
    counters.needless = send_.needless();
    counters.messages_received = streams_.delivered();
    counters.rejected += streams_.broken();
    return counters;
}

}  // namespace vsmp::fabric
