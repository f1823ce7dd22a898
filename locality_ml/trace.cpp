#include "locality_ml/trace.hpp"

#include <bit>

namespace vsmp::locality {
namespace {

constexpr std::string_view kMagic = "vsmptrc1";
constexpr std::size_t kLargestRecord = kMaxLuggage + kMaxNodes * 16 + 256;

enum class Kind : std::uint8_t {
    decide,
    fetched,
    prefetched,
    lost,
    departed,
    arrived,
    ship_failed,
    loads,
    place,
};

enum Flag : std::uint8_t { kWrite = 1, kStuck = 2, kShips = 4 };

std::int64_t to_ns(Instant now) {
    return now.time_since_epoch().count();
}

// --- Writing

struct Put {
    ByteWriter& to;

    void u8(std::uint64_t value) { to.write(static_cast<std::uint8_t>(value)); }
    void v(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) u8((value & 0x7f) | 0x80);
        u8(value);
    }
    void z(std::int64_t value) {
        v((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
    }
    void f(float value) { to.write(std::bit_cast<std::uint32_t>(value)); }
    void ship(const Ship& ship) {
        u8(ship.to.value());
        u8(static_cast<std::uint8_t>(ship.reason));
    }

    void body(const Fetched& r) {
        v(r.vcpu.value());
        v(r.page.value());
        u8(r.from.value());
        v(static_cast<std::uint64_t>(std::max<std::int64_t>(r.cost.count(), 0)));
    }
    void body(const Prefetched& r) {
        v(r.vcpu.value());
        v(r.page.value());
        u8(static_cast<std::uint8_t>(r.fate));
    }
    void body(const Lost& r) {
        v(r.page.value());
        u8(static_cast<std::uint8_t>(r.access));
        u8(r.to.value());
    }
    void body(const Departed& r) {
        v(r.vcpu.value());
        u8(r.to.value());
    }
    void body(const Arrived& r) {
        VSMP_CHECK(r.luggage.size() <= kMaxLuggage, "luggage too long");
        v(r.vcpu.value());
        u8(r.from.value());
        v(static_cast<std::uint64_t>(std::max<std::int64_t>(r.blackout.count(), 0)));
        v(r.luggage.size());
        to.write(r.luggage);
    }
    void body(const ShipFailed& r) {
        v(r.vcpu.value());
        u8(r.to.value());
    }
    void body(const Decided& r) {
        const RemoteFault& fault = r.fault;
        const auto* ship_to = std::get_if<Ship>(&r.decision);
        v(fault.vcpu.value());
        v(fault.page.value());
        u8((fault.access == Access::write ? unsigned{kWrite} : 0U) |
           (fault.mobility == Mobility::stuck ? unsigned{kStuck} : 0U) |
           (ship_to ? unsigned{kShips} : 0U));
        u8(fault.location.value());
        v(fault.code.value());
        if (ship_to) return ship(*ship_to);
        const PageList& pages = std::get<Fetch>(r.decision).prefetch;
        u8(pages.size());
        auto last = static_cast<std::int64_t>(fault.page.value());
        for (const PageNumber page : pages) {
            const auto number = static_cast<std::int64_t>(page.value());
            z(number - last);
            last = number;
        }
    }
    void body(const LoadsTold& r) {
        u8(r.count);
        for (std::size_t i = 0; i < r.count; ++i) {
            u8(r.loads[i].host);
            f(r.loads[i].cpus);
            f(r.loads[i].runnable);
            u8(static_cast<std::uint8_t>(r.loads[i].reach));
        }
    }
    void body(const Placed& r) {
        v(r.activity.vcpu.value());
        f(r.activity.busy);
        v(r.activity.code.value());
        const auto* ship_to = std::get_if<Ship>(&r.placement);
        u8(ship_to ? 1 : 0);
        if (ship_to) ship(*ship_to);
    }
};

Kind kind_of(const TraceRecord& record) {
    if (std::holds_alternative<Decided>(record)) return Kind::decide;
    if (std::holds_alternative<LoadsTold>(record)) return Kind::loads;
    if (std::holds_alternative<Placed>(record)) return Kind::place;
    struct {
        Kind operator()(const Fetched&) { return Kind::fetched; }
        Kind operator()(const Prefetched&) { return Kind::prefetched; }
        Kind operator()(const Lost&) { return Kind::lost; }
        Kind operator()(const Departed&) { return Kind::departed; }
        Kind operator()(const Arrived&) { return Kind::arrived; }
        Kind operator()(const ShipFailed&) { return Kind::ship_failed; }
    } kind;
    return std::visit(kind, std::get<Told>(record).what);
}

// --- Reading

struct Get {
    ByteReader& from;
    const PolicySetup& setup;
    bool sane = true;

    std::uint8_t u8() { return from.read<std::uint8_t>(); }
    std::uint64_t v() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const std::uint64_t byte = u8();
            value |= (byte & 0x7f) << shift;
            if ((byte & 0x80) == 0) return value;
        }
        sane = false;
        return 0;
    }
    std::int64_t z() {
        const std::uint64_t value = v();
        return static_cast<std::int64_t>((value >> 1) ^ (0 - (value & 1)));
    }
    float f() { return std::bit_cast<float>(from.read<std::uint32_t>()); }
    template <class T>
    T below(std::uint64_t value, std::uint64_t limit) {
        if (value >= limit) sane = false;
        return T{static_cast<typename T::rep>(value < limit ? value : 0)};
    }
    template <class E>
    E choice(E last) {
        const std::uint8_t value = u8();
        if (value > static_cast<std::uint8_t>(last)) sane = false;
        return static_cast<E>(value > static_cast<std::uint8_t>(last) ? 0 : value);
    }
    VcpuId vcpu() { return below<VcpuId>(v(), setup.vcpu_count); }
    PageNumber page() { return below<PageNumber>(v(), setup.page_count); }
    NodeId node() { return below<NodeId>(u8(), setup.node_count); }
    Duration duration() { return Duration{static_cast<std::int64_t>(v() & ~(1ULL << 63))}; }
    Ship ship() {
        const NodeId to = node();
        return {to, choice(ShipReason::spread)};
    }

    // Braced lists are read from left to right.
    TraceRecord record(Kind kind, Instant now) {
        switch (kind) {
            case Kind::decide:
                return decided(now);
            case Kind::fetched:
                return Told{Fetched{vcpu(), page(), node(), duration(), now}};
            case Kind::prefetched:
                return Told{Prefetched{vcpu(), page(), choice(PrefetchFate::missed), now}};
            case Kind::lost:
                return Told{Lost{page(), choice(Access::write), node(), now}};
            case Kind::departed:
                return Told{Departed{vcpu(), node(), now}};
            case Kind::arrived: {
                Arrived arrived{vcpu(), node(), duration(), {}, now};
                const std::uint64_t size = v();
                if (size > kMaxLuggage)
                    sane = false;
                else
                    arrived.luggage = from.take(size);
                return Told{arrived};
            }
            case Kind::ship_failed:
                return Told{ShipFailed{vcpu(), node(), now}};
            case Kind::loads:
                return loads(now);
            case Kind::place: {
                Placed placed{{vcpu(), f(), CodeAddress{v()}, now}, Stay{}};
                if (u8() != 0) placed.placement = ship();
                return placed;
            }
        }
        sane = false;
        return LoadsTold{};
    }

    TraceRecord decided(Instant now) {
        Decided r;
        r.fault.now = now;
        r.fault.vcpu = vcpu();
        r.fault.page = page();
        const std::uint8_t flags = u8();
        r.fault.access = (flags & kWrite) != 0 ? Access::write : Access::read;
        r.fault.mobility = (flags & kStuck) != 0 ? Mobility::stuck : Mobility::free;
        r.fault.location = node();
        r.fault.code = CodeAddress{v()};
        if ((flags & kShips) != 0) {
            r.decision = ship();
            return r;
        }
        Fetch fetch;
        const std::uint8_t count = u8();
        if (count > kMaxPrefetch) sane = false;
        std::uint64_t last = r.fault.page.value();
        for (std::uint8_t i = 0; sane && i < count; ++i) {
            last += static_cast<std::uint64_t>(z());  // unsigned: may wrap, and is then no page
            fetch.prefetch.add(below<PageNumber>(last, setup.page_count));
        }
        r.decision = fetch;
        return r;
    }

    TraceRecord loads(Instant now) {
        LoadsTold r{.count = u8(), .now = now};
        if (r.count > kMaxNodes) {
            sane = false;
            r.count = 0;
        }
        for (std::size_t i = 0; i < r.count; ++i)
            r.loads[i] = {u8(), f(), f(), choice(Reach::unreachable)};
        return r;
    }
};

class Recording final : public Policy {
  public:
    Recording(std::unique_ptr<Policy> inner, const TraceHeader& header, TraceWriter::Sink sink)
        : inner_(std::move(inner)), writer_(header, std::move(sink)) {}

    Decision decide(const RemoteFault& fault) override {
        const Decision decision = inner_->decide(fault);
        writer_.write(Decided{fault, decision});
        return decision;
    }
    void observe(const Observation& observation) override {
        writer_.write(Told{observation});
        inner_->observe(observation);
    }
    void on_loads(std::span<const NodeLoad> loads, Instant now) override {
        LoadsTold told{.count = loads.size(), .now = now};
        std::copy(loads.begin(), loads.end(), told.loads.begin());
        writer_.write(told);
        inner_->on_loads(loads, now);
    }
    Placement place(const Activity& activity) override {
        const Placement placement = inner_->place(activity);
        writer_.write(Placed{activity, placement});
        return placement;
    }
    // Asked, to have in the trace how busy the vCPUs are.
    bool places() const override { return true; }
    void pack(VcpuId vcpu, ByteWriter& to) const override { inner_->pack(vcpu, to); }
    Explanation explain(VcpuId vcpu) const override { return inner_->explain(vcpu); }

  private:
    std::unique_ptr<Policy> inner_;
    TraceWriter writer_;
};

}  // namespace

Instant time_of(const TraceRecord& record) {
    if (const auto* decided = std::get_if<Decided>(&record)) return decided->fault.now;
    if (const auto* loads = std::get_if<LoadsTold>(&record)) return loads->now;
    if (const auto* placed = std::get_if<Placed>(&record)) return placed->activity.now;
    return std::visit([](const auto& what) { return what.now; }, std::get<Told>(record).what);
}

TraceWriter::TraceWriter(const TraceHeader& header, Sink sink)
    : buffer_(kBuffer), sink_(std::move(sink)) {
    VSMP_CHECK(header.policy.size() < 256, "a policy's name is too long");
    ByteWriter writer{buffer_};
    Put put{writer};
    writer.write(std::as_bytes(std::span{kMagic}));
    put.u8(header.setup.self.value());
    put.u8(header.setup.node_count);
    put.v(header.setup.vcpu_count);
    put.v(header.setup.page_count);
    put.v(header.setup.seed);
    put.u8(header.policy.size());
    writer.write(std::as_bytes(std::span{header.policy}));
    used_ = writer.size();
}

void TraceWriter::write(const TraceRecord& record) {
    if (kBuffer - used_ < kLargestRecord) flush();
    ByteWriter writer{std::span{buffer_}.subspan(used_)};
    Put put{writer};
    const std::int64_t now = to_ns(time_of(record));
    put.u8(static_cast<std::uint8_t>(kind_of(record)));
    put.z(now - last_ns_);
    last_ns_ = now;
    if (const auto* told = std::get_if<Told>(&record))
        std::visit([&](const auto& what) { put.body(what); }, told->what);
    else if (const auto* decided = std::get_if<Decided>(&record))
        put.body(*decided);
    else if (const auto* loads = std::get_if<LoadsTold>(&record))
        put.body(*loads);
    else
        put.body(std::get<Placed>(record));
    used_ += writer.size();
}

void TraceWriter::flush() {
    if (used_ > 0) sink_(ByteView{buffer_}.first(used_));
    used_ = 0;
}

Result<TraceReader> TraceReader::open(ByteView bytes) {
    TraceReader trace{bytes};
    ByteReader& reader = trace.reader_;
    const ByteView magic = reader.take(kMagic.size());
    const ByteView expected = std::as_bytes(std::span{kMagic});
    if (!std::equal(magic.begin(), magic.end(), expected.begin(), expected.end()))
        return Error{"not a trace of a policy"};
    PolicySetup& setup = trace.header_.setup;
    Get get{reader, setup};
    setup.self = NodeId{get.u8()};
    setup.node_count = get.u8();
    setup.vcpu_count = get.v();
    setup.page_count = get.v();
    setup.seed = get.v();
    const ByteView name = reader.take(get.u8());
    for (const std::byte b : name) trace.header_.policy += static_cast<char>(b);
    if (!reader.ok() || !get.sane || setup.node_count > kMaxNodes ||
        setup.self.value() >= setup.node_count || setup.vcpu_count > kMaxVcpus)
        return Error{"the trace's header makes no sense"};
    return trace;
}

Result<std::optional<TraceRecord>> TraceReader::next() {
    if (reader_.at_end()) return std::optional<TraceRecord>{};
    Get get{reader_, header_.setup};
    const std::uint8_t kind = get.u8();
    last_ns_ = static_cast<std::int64_t>(static_cast<std::uint64_t>(last_ns_) +
                                         static_cast<std::uint64_t>(get.z()));
    if (kind > static_cast<std::uint8_t>(Kind::place)) return Error{"an unknown kind of record"};
    const TraceRecord record = get.record(static_cast<Kind>(kind), Instant{Duration{last_ns_}});
    if (!reader_.ok()) return std::optional<TraceRecord>{};
    if (!get.sane) return Error{"a record that makes no sense"};
    return std::optional<TraceRecord>{record};
}

std::unique_ptr<Policy> make_recording(std::unique_ptr<Policy> inner, const TraceHeader& header,
                                       TraceWriter::Sink sink) {
    return std::make_unique<Recording>(std::move(inner), header, std::move(sink));
}

}  // namespace vsmp::locality
