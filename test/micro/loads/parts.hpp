// Pieces of work that several workloads do.
#pragma once

#include "test/micro/loads/load.hpp"

namespace micro {

// Failures, in all workloads: 1 a page's checksum is wrong, 2 a table entry is torn or wrong,
// 3 a private word is wrong; values: the address.
inline constexpr Status kBadSum = 1, kBadEntry = 2, kBadWord = 3;

// Pages whose last word is the sum of the others.
class Array {
  public:
    Array(const Load& load, u64 node, u64 pages) : load_(load), node_(node), pages_(pages) {}

    u64 pages() const { return pages_; }
    void fill(u64 seed) const {
        for (u64 p = 0; p < pages_; ++p) {
            u64* words = load_.page(node_, p);
            u64 sum = 0;
            for (u64 i = 0; i + 1 < kWords; ++i) sum += words[i] = mix(seed, p, i);
            words[kWords - 1] = sum;
        }
    }
    void check(u64 p) const {
        const u64* words = load_.page(node_, p);
        u64 sum = 0;
        for (u64 i = 0; i + 1 < kWords; ++i) sum += words[i];
        if (sum != words[kWords - 1]) fail(kBadSum, reinterpret_cast<u64>(words));
    }

  private:
    const Load& load_;
    u64 node_, pages_;
};

// Entries of 64 bytes: version, six words that follow from it, version again. Written from the
// first word to the last and read from the last to the first, so that on x86 equal versions mean
// one version throughout. Entry e is written by vCPU e % vCPUs alone.
class Table {
  public:
    Table(const Load& load, u64 node, u64 first_page, u64 pages)
        : load_(load), node_(node), first_page_(first_page), entries_(pages * kEntriesPerPage) {}

    void fill() const {
        for (u64 e = 0; e < entries_; ++e) write(e, 1);
    }
    void look_up(u64 e) const {
        const u64* words = entry(e);
        for (;;) {
            const u64 version = load(&words[kEntryWords - 1]);
            u64 wrong = 0;
            for (u64 i = kEntryWords - 2; i > 0; --i) wrong |= load(&words[i]) ^ (e * version + i);
            if (load(&words[0]) != version) continue;  // being written
            if (wrong != 0) fail(kBadEntry, reinterpret_cast<u64>(words));
            return;
        }
    }
    // One `look_up` in `lookups` is a write instead.
    void use(Dice& dice, u64 lookups) const {
        for (u64 i = 0; i < lookups; ++i) look_up(dice.below(entries_));
        const u64 vcpus = load_.guest().vcpus;
        const u64 mine = dice.below(entries_ / vcpus) * vcpus + load_.guest().vcpu;
        write(mine, load(entry(mine)) + 1);
    }

  private:
    static constexpr u64 kEntryWords = 8, kEntriesPerPage = kWords / kEntryWords;
    u64* entry(u64 e) const {
        return load_.page(node_, first_page_ + e / kEntriesPerPage) +
               e % kEntriesPerPage * kEntryWords;
    }
    void write(u64 e, u64 version) const {
        u64* words = entry(e);
        store(&words[0], version);
        for (u64 i = 1; i + 1 < kEntryWords; ++i) store(&words[i], e * version + i);
        store(&words[kEntryWords - 1], version);
    }

    const Load& load_;
    u64 node_, first_page_, entries_;
};

// Pages that one vCPU alone uses: every word counts the passes over it.
class Private {
  public:
    Private(const Load& load, u64 first_page, u64 pages)
        : load_(load),
          node_(load.node_of_data(load.guest().vcpu)),
          first_page_(first_page + load.guest().vcpu * pages),
          pages_(pages) {}

    void pass() {
        for (u64 p = 0; p < pages_; ++p) {
            u64* words = load_.page(node_, first_page_ + p);
            for (u64 i = 0; i < kWords; ++i) {
                // Plain: who rewrites the same page beside (rewrite.cpp) does it atomically.
                asm volatile("incq %0" : "+m"(words[i]));
            }
        }
        ++passes_;
    }
    void check() const {
        for (u64 p = 0; p < pages_; ++p) {
            const u64* words = load_.page(node_, first_page_ + p);
            for (u64 i = 0; i < kWords; ++i)
                if (words[i] != passes_) fail(kBadWord, reinterpret_cast<u64>(words + i));
        }
    }

  private:
    const Load& load_;
    u64 node_, first_page_, pages_;
    u64 passes_ = 0;
};

}  // namespace micro
