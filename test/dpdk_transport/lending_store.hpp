// A FrameStore like a driver's that lets go of frames late: what it still has must not change and
// must not be given to anybody else. Has few slots, so that users run out of them.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "dpdk_transport/core/checksum.hpp"
#include "dpdk_transport/core/frame.hpp"
#include "dpdk_transport/core/frame_store.hpp"
#include "dpdk_transport/port.hpp"

namespace vsmp::fabric {

class LendingStore final : public FrameStore {
  public:
    LendingStore() {
        for (Frame& frame : frames_) free_.push_back(&frame);
    }

    Slot take() override {
        if (free_.empty()) return {};
        Frame* frame = free_.back();
        free_.pop_back();
        frame->users = 1;
        return {frame, frame->bytes.data() + kHeaderRoom};
    }
    void give_back(void* handle) override { drop(*static_cast<Frame*>(handle)); }

    // Writes the header; what is sent, or nothing when the driver still has the frame.
    ByteView lend(const KeptFrame& kept, const Port::Header& header, std::size_t size) {
        Frame& frame = *static_cast<Frame*>(kept.handle());
        if (frame.users != 1) return {};
        std::byte* start = kept.payload() - header.size;
        header.write({start, header.size});
        const ByteView sent{start, header.size + size};
        ++frame.users;
        lent_.push_back({&frame, sent, sum_of(sent)});
        if (lent_.size() > kLate) {
            const Lent& oldest = lent_.front();
            VSMP_CHECK(sum_of(oldest.bytes) == oldest.sum, "a frame was changed under the driver");
            drop(*oldest.frame);
            lent_.pop_front();
        }
        return sent;
    }

  private:
    static constexpr std::size_t kSlots = 40, kLate = 10;
    struct Frame {
        std::vector<std::byte> bytes = std::vector<std::byte>(kHeaderRoom + kMaxPayload);
        int users = 0;
    };
    struct Lent {
        Frame* frame;
        ByteView bytes;
        std::uint32_t sum;
    };
    static std::uint32_t sum_of(ByteView bytes) {
        Checksum sum;
        sum.add(bytes);
        return sum.value();
    }
    void drop(Frame& frame) {
        VSMP_CHECK(frame.users > 0, "given back twice");
        if (--frame.users == 0) free_.push_back(&frame);
    }

    std::vector<Frame> frames_{kSlots};
    std::vector<Frame*> free_;
    std::deque<Lent> lent_;
};

}  // namespace vsmp::fabric
