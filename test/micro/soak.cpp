// Random reads and writes all over memory, each checked: what a guest larger than its nodes has to
// survive. Every vCPU has a word in every page, which it alone writes, and notes of its own (a
// shadow) of how often: so it knows what its own words are, exactly, and that others' never go
// back.
//
// A word is its generation in the low 16 bits and, above, a tag that follows from page, owner and
// generation.
//
// When all is checked, vCPU 0 waits for a typed line, so that a test can look at the nodes.
//
// Arguments: 0 operations of each vCPU (100,000), 1 seed, 2 first address (4 MiB; up to the end of
//            memory is used), 3 pages (as many as there are), 4 writes in 100 operations (50).
// Reports: 1 = operations done; 2 = pages used; 3 = words checked at the end, the last report.
// Failures: 1 = an own word is not what was written last; 2 = a word that nobody can have written;
//           3 = a word that went back; 4 = not enough memory; values: the word's address.
#include "test/micro/guest.hpp"

namespace micro {
namespace {

constexpr u64 kGenerationBits = 16;
constexpr u64 kGenerationMask = (1u << kGenerationBits) - 1;
constexpr u64 kWordsPerPage = kPageBytes / sizeof(u64);

using Generation = std::uint16_t;

Barrier barrier;

class Soak {
  public:
    explicit Soak(const Guest& guest)
        : guest_(guest), shadows_(guest.argument(2, kDefaultArea)), random_(guest.arguments[1]) {
        const u64 available = (guest.ram_bytes - shadows_) / kPageBytes;
        // Each vCPU notes a generation of each vCPU's word in each page.
        const u64 notes_per_page = guest.vcpus * guest.vcpus * sizeof(Generation);
        pages_ = guest.argument(3, available * kPageBytes / (kPageBytes + notes_per_page) - 2);
        first_ = round_up(shadows_ + pages_ * notes_per_page);
        if (first_ + pages_ * kPageBytes > guest.ram_bytes) fail(4, first_);
    }

    void one(u64 writes_in_100) {
        const u64 dice = mix(random_++, guest_.vcpu, 1);
        const u64 page = (dice >> 16) % pages_;
        const u64 owner = (dice >> 8 & 0xff) % guest_.vcpus;
        check(page, owner);
        if ((dice & 0xff) * 100 >= writes_in_100 * 256) return;
        check(page, guest_.vcpu);
        Generation& own = noted(guest_.vcpu, guest_.vcpu, page);
        ++own;
        store(word(page, guest_.vcpu), value(page, guest_.vcpu, own));
    }

    // What the next vCPU says it has written, all of it.
    u64 check_neighbour() {
        const u64 owner = (guest_.vcpu + 1) % guest_.vcpus;
        for (u64 page = 0; page < pages_; ++page)
            if (load(word(page, owner)) != value(page, owner, noted(owner, owner, page)))
                fail(1, reinterpret_cast<u64>(word(page, owner)));
        return pages_;
    }

    u64 pages() const { return pages_; }

  private:
    static u64 round_up(u64 bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

    // Memory is zero at first: so is the word of generation 0.
    static u64 value(u64 page, u64 owner, u64 generation) {
        if (generation == 0) return 0;
        return mix(page, owner, generation) << kGenerationBits | generation;
    }

    u64* word(u64 page, u64 owner) const {
        return words_at(first_ + page * kPageBytes) +
               (page * 7 + owner * (kWordsPerPage / MAX_VCPUS)) % kWordsPerPage;
    }

    // What `viewer` knows of `owner`'s word.
    Generation& noted(u64 viewer, u64 owner, u64 page) const {
        return reinterpret_cast<Generation*>(
            shadows_)[(viewer * guest_.vcpus + owner) * pages_ + page];
    }

    void check(u64 page, u64 owner) {
        u64* const at = word(page, owner);
        const u64 found = load(at);
        const u64 generation = found & kGenerationMask;
        Generation& known = noted(guest_.vcpu, owner, page);
        if (found != value(page, owner, generation)) fail(2, reinterpret_cast<u64>(at));
        if (generation < known) fail(3, reinterpret_cast<u64>(at));
        if (owner == guest_.vcpu && generation != known) fail(1, reinterpret_cast<u64>(at));
        known = static_cast<Generation>(generation);
    }

    const Guest& guest_;
    u64 shadows_, pages_ = 0, first_ = 0, random_;
};

}  // namespace

Status run(const Guest& guest) {
    const u64 operations = guest.argument(0, 100'000);
    const u64 writes_in_100 = guest.argument(4, 50);
    Soak soak{guest};
    barrier.wait(guest);
    while (guest.vcpu == 0 && console_has_input()) read_console();  // what opened the gate
    for (u64 i = 0; i < operations; ++i) soak.one(writes_in_100);
    report(1, operations);
    barrier.wait(guest);
    report(2, soak.pages());
    report(3, soak.check_neighbour());
    while (guest.vcpu == 0 && !console_has_input()) pause();
    return kGood;
}

}  // namespace micro
