#include "dpdk_transport/ports/dpdk_port.hpp"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "dpdk_transport/core/frame.hpp"

namespace vsmp::fabric {
namespace {

constexpr std::uint16_t kQueue = 0;

// Where the payload of a kept frame is: behind the room for headers, as these grow downwards, and
// so that a frame without a VLAN tag begins with a cache line, as a copied one does. vhost, which
// copies it, needs about twice the instructions for one that begins anywhere.
constexpr std::size_t kPayloadAt =
    RTE_PKTMBUF_HEADROOM + FrameStore::kHeaderRoom + kHeaderSize % RTE_CACHE_LINE_SIZE;
static_assert((kPayloadAt - kHeaderSize) % RTE_CACHE_LINE_SIZE == 0);

}  // namespace

bool DpdkFrameStore::fits() const {
    return rte_pktmbuf_data_room_size(pool_) >= kPayloadAt + kMaxPayload;
}

FrameStore::Slot DpdkFrameStore::take() {
    if (taken_ == kMost) return {};
    rte_mbuf* frame = rte_pktmbuf_alloc(pool_);
    if (frame == nullptr) return {};
    ++taken_;
    return {frame, static_cast<std::byte*>(frame->buf_addr) + kPayloadAt};
}

void DpdkFrameStore::give_back(void* handle) {
    --taken_;
    auto* frame = static_cast<rte_mbuf*>(handle);
    // The driver has it, too, on this same thread: no need for an atomic operation, which would
    // wait for the copy of the page before.
    if (const std::uint16_t users = rte_mbuf_refcnt_read(frame); users > 1)
        rte_mbuf_refcnt_set(frame, static_cast<std::uint16_t>(users - 1));
    else
        rte_pktmbuf_free(frame);
}

DpdkPort::DpdkPort(std::unique_ptr<DpdkDevice> device, std::unique_ptr<Sleeper> sleeper,
                   std::size_t mtu, std::string name, UniqueFd lock)
    : lock_(std::move(lock)),
      device_(std::move(device)),
      sleeper_(std::move(sleeper)),
      store_(device_->pool()),
      mtu_(mtu),
      name_(std::move(name)) {
    rte_ether_addr address{};
    VSMP_CHECK(rte_eth_macaddr_get(device_->port(), &address) == 0, "port without a MAC");
    std::ranges::copy(address.addr_bytes, mac_.octets.begin());
}

DpdkPort::~DpdkPort() {
    rte_pktmbuf_free_bulk(unsent_.data(), unsent_count_);
    rte_pktmbuf_free_bulk(early_.data(), early_count_);
}

bool DpdkPort::has_room() {
    if (unsent_count_ == kBurst) flush();
    return unsent_count_ < kBurst;
}

bool DpdkPort::queue(const Header& header, ByteView body) {
    VSMP_CHECK(header.size + body.size() <= mtu_ + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN,
               "frame larger than the MTU");
    if (!has_room()) return false;
    rte_mbuf* frame = rte_pktmbuf_alloc(device_->pool());
    if (frame == nullptr) return false;
    const auto size = static_cast<std::uint16_t>(header.size + body.size());
    auto* bytes = reinterpret_cast<std::byte*>(rte_pktmbuf_append(frame, size));
    VSMP_CHECK(bytes != nullptr, "frame buffers are smaller than the MTU");
    header.write({bytes, header.size});
    if (!body.empty()) std::memcpy(bytes + header.size, body.data(), body.size());
    unsent_[unsent_count_++] = frame;
    return true;
}

// Drivers that copy, and those that give a buffer back late, count it down as they let go of it.
Port::Kept DpdkPort::queue_kept(const KeptFrame& kept, const Header& header, std::size_t size) {
    if (kept.store() != &store_) return Kept::copy_needed;
    auto* frame = static_cast<rte_mbuf*>(kept.handle());
    if (rte_mbuf_refcnt_read(frame) != 1) return Kept::copy_needed;
    if (!has_room()) return Kept::full;
    std::byte* start = kept.payload() - header.size;
    header.write({start, header.size});
    frame->data_off = static_cast<std::uint16_t>(start - static_cast<std::byte*>(frame->buf_addr));
    frame->data_len = static_cast<std::uint16_t>(header.size + size);
    frame->pkt_len = frame->data_len;
    rte_mbuf_refcnt_set(frame, 2);
    unsent_[unsent_count_++] = frame;
    return Kept::queued;
}

bool DpdkPort::flush() {
    if (unsent_count_ == 0) return true;
    sleeper_->on_traffic();
    const std::uint16_t sent =
        rte_eth_tx_burst(device_->port(), kQueue, unsent_.data(), unsent_count_);
    std::copy(unsent_.begin() + sent, unsent_.begin() + unsent_count_, unsent_.begin());
    unsent_count_ = static_cast<std::uint16_t>(unsent_count_ - sent);
    return unsent_count_ == 0;
}

// The header, and a small message behind it. Another processor has just written them: they come
// together what would otherwise be waited for one after the other.
void fetch_start(const rte_mbuf* frame) {
    const char* bytes = rte_pktmbuf_mtod(frame, const char*);
    for (int line = 0; line < 3; ++line) rte_prefetch0(bytes + line * RTE_CACHE_LINE_SIZE);
}

void DpdkPort::hand_over(rte_mbuf* frame, const Receive& receive) {
    const std::size_t size = rte_pktmbuf_pkt_len(frame);
    if (rte_pktmbuf_is_contiguous(frame)) {
        receive({rte_pktmbuf_mtod(frame, const std::byte*), size});
    } else {
        flat_.resize(size);
        const void* bytes =
            rte_pktmbuf_read(frame, 0, static_cast<std::uint32_t>(size), flat_.data());
        receive({static_cast<const std::byte*>(bytes), size});
    }
    rte_pktmbuf_free(frame);
}

// DPDK keeps a cache of free buffers for each thread that it knows; for others each buffer takes a
// lock, which waits for the copy of the page before. When it can know no more threads, so be it.
void DpdkPort::know_this_thread() {
    if (thread_is_known_) return;
    thread_is_known_ = true;
    if (rte_lcore_id() == LCORE_ID_ANY) rte_thread_register();
}

std::size_t DpdkPort::receive(const Receive& receive) {
    know_this_thread();
    std::array<rte_mbuf*, kBurst> frames;
    std::uint16_t count = early_count_;
    if (count > 0) {
        frames = early_;
        early_count_ = 0;
    } else {
        count = rte_eth_rx_burst(device_->port(), kQueue, frames.data(), kBurst);
    }
    if (count > 0) fetch_start(frames[0]);
    for (std::uint16_t i = 0; i < count; ++i) {
        if (i + 1 < count) fetch_start(frames[i + 1]);
        hand_over(frames[i], receive);
    }
    if (count > 0) sleeper_->on_traffic();
    return count;
}

bool DpdkPort::arm_wakeup() {
    sleeper_->arm();
    // What came before the interrupt was on will not raise it.
    if (early_count_ == 0)
        early_count_ = rte_eth_rx_burst(device_->port(), kQueue, early_.data(), kBurst);
    if (early_count_ == 0) return true;
    sleeper_->disarm();
    return false;
}

}  // namespace vsmp::fabric
