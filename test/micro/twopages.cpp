// Instructions that need two contended pages at once, run by all vCPUs against each other. What is
// tested first of all is that they make progress: taking the pages one after the other, two vCPUs
// could rob each other for ever.
//
// Arguments: 0 first page's address (3 pages are used), 1 instructions for each vCPU (1000),
//            2 kind: 0 movsq between the pages, in opposite directions on odd and even vCPUs;
//              1 plain store across the page boundary; 2 rep movsb over three pages;
//              3 locked add across the boundary (a split lock: slow, and some hosts forbid it).
// Reports: 1 = instructions done.
// Failures: 1 = a word is none of the values that anybody wrote; 2 = wrong sum; values: the word.
#include <initializer_list>

#include "test/micro/guest.hpp"

namespace micro {
namespace {

Barrier barrier;

constexpr u64 kTag = 0x5a5a'0000'0000'0000;

void copy_word(u64* to, const u64* from) {
    asm volatile("movsq" : "+D"(to), "+S"(from) : : "memory");
}

// Both start with a tagged value, and copies only spread those.
void copy_between(u64* a, u64* b, const Guest& guest, u64 count) {
    if (guest.vcpu == 0) {
        store(a, kTag | 1);
        store(b, kTag | 2);
    }
    barrier.wait(guest);
    for (u64 i = 0; i < count; ++i) {
        if (guest.vcpu % 2 == 0)
            copy_word(a, b);
        else
            copy_word(b, a);
    }
    barrier.wait(guest);
    for (const u64* word : {a, b})
        if (load(word) != (kTag | 1) && load(word) != (kTag | 2)) fail(1, load(word));
}

u64* across_boundary(u64 area) {
    return words_at(area + kPageBytes - 4);
}

// Both halves of what a vCPU stores are its number + 1.
void store_across(u64 area, const Guest& guest, u64 count) {
    const u64 half = guest.vcpu + 1;
    u64* target = across_boundary(area);
    for (u64 i = 0; i < count; ++i)
        asm volatile("mov %1, (%0)" : : "r"(target), "r"(half << 32 | half) : "memory");
    barrier.wait(guest);
    u64 found = 0;
    asm volatile("mov (%1), %0" : "=r"(found) : "r"(target) : "memory");
    for (u64 part : {found >> 32, found & 0xffffffff})
        if (part == 0 || part > guest.vcpus) fail(1, found);
}

// Copies a page's worth of bytes from the middle of page 0 to the middle of page 1, or back. All
// bytes of a word and all words are alike, so no order of copies shows.
void copy_page(u64 area, const Guest& guest, u64 count) {
    if (guest.vcpu == 0)
        for (u64 i = 0; i < 3 * kPageBytes / sizeof(u64); ++i) words_at(area)[i] = kTag | 3;
    barrier.wait(guest);
    for (u64 i = 0; i < count; ++i) {
        u64 from = area + kPageBytes / 2, to = area + kPageBytes + kPageBytes / 2;
        if (guest.vcpu % 2 == 1) {
            const u64 swapped = from;
            from = to;
            to = swapped;
        }
        u64 bytes = kPageBytes;
        asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
    }
    barrier.wait(guest);
    for (u64 i = 0; i < 3 * kPageBytes / sizeof(u64); ++i)
        if (words_at(area)[i] != (kTag | 3)) fail(1, words_at(area)[i]);
}

void add_across(u64 area, const Guest& guest, u64 count) {
    u64* target = across_boundary(area);
    for (u64 i = 0; i < count; ++i) asm volatile("lock incq (%0)" : : "r"(target) : "memory", "cc");
    barrier.wait(guest);
    u64 found = 0;
    asm volatile("mov (%1), %0" : "=r"(found) : "r"(target) : "memory");
    if (found != count * guest.vcpus) fail(2, found);
}

}  // namespace

Status run(const Guest& guest) {
    const u64 area = guest.argument(0, kDefaultArea), count = guest.argument(1, 1000);
    switch (guest.arguments[2]) {
        case 0:
            copy_between(words_at(area), words_at(area + kPageBytes), guest, count);
            break;
        case 1:
            store_across(area, guest, count);
            break;
        case 2:
            copy_page(area, guest, count);
            break;
        case 3:
            add_across(area, guest, count);
            break;
        default:
            fail(3, guest.arguments[2]);
    }
    report(1, count);
    return kGood;
}

}  // namespace micro
