// All vCPUs take a lock in turn, change the data that it guards, and think in between.
//
// Arguments: 0 pages of data (2), 1 times each vCPU takes the lock (20000), 2 ns to think (2000).
// Kind 0: times the lock was had. Failures: 4 = the data was changed by two at once, or an update
// was lost; value: what was found.
#include "test/micro/loads/load.hpp"

namespace micro {
namespace {

constexpr Status kLost = 4;

Start start;
MeetingPoint finished;

class alignas(kPageBytes) Lock {
  public:
    void take() {
        while (__atomic_exchange_n(&taken_, 1, __ATOMIC_SEQ_CST) != 0)
            while (load(&taken_) != 0) pause();
    }
    void give() { store(&taken_, 0); }

  private:
    u64 taken_ = 0;
};
Lock lock;

struct Data {
    const Load& load_;
    u64 pages;

    u64* word(u64 p) const { return load_.page(0, p); }
    // Every page counts the same: what is not equal was changed by two at once.
    void change() const {
        const u64 before = load(word(0));
        for (u64 p = 0; p < pages; ++p) {
            if (load(word(p)) != before) fail(kLost, load(word(p)));
            store(word(p), before + 1);
        }
    }
};

void think(u64 ticks) {
    const u64 begin = timestamp();
    while (timestamp() - begin < ticks) pause();
}

}  // namespace

Status run(const Guest& guest) {
    const Load load_{guest};
    const Data data{load_, load_.argument(0, 2)};
    const u64 quota = load_.argument(1, 20000);
    const u64 think_ticks = load_.ticks_of_ms(load_.argument(2, 2000)) / 1'000'000;
    u64* total = load_.page(0, data.pages);
    start.wait(load_);
    Meter meter{load_, 0};
    meter.begin();
    while (meter.units() < quota && meter.elapsed() < load_.limit()) {
        lock.take();
        data.change();
        lock.give();
        meter.count(1);
        think(think_ticks);
    }
    meter.end();
    add(total, meter.units());
    finished.wait(load_);
    for (u64 p = 0; p < data.pages; ++p)
        if (load(data.word(p)) != load(total)) fail(kLost, load(data.word(p)));
    meter.tell();
    return load_.done();
}

}  // namespace micro
