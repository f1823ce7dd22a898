// bench_pages: what it costs to have memory mapped with 4 KiB pages, as guest memory under a
// userfaultfd is, instead of 2 MiB pages; and what this kernel does with large pages there.
// The two alternate, round by round: machines are noisy, ratios of medians count.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "kvm_glue/probe.hpp"
#include "test/bench/page_region.hpp"
#include "test/bench/page_touch.hpp"

namespace vsmp::bench {
namespace {

struct Settings {
    unsigned rounds = 5;
    std::uint64_t touches = 1'000'000;
};

struct Samples {
    std::vector<double> small, large;
};

struct Size {
    unsigned mib = 0;
    Samples here, guest;  // nanoseconds a touch; guest: empty without KVM
};

double median(std::vector<double> samples) {
    std::ranges::sort(samples);
    return samples[samples.size() / 2];
}

Result<Size> measure(unsigned mib, const Settings& settings) {
    const std::size_t bytes = std::size_t{mib} << 20;
    VSMP_TRY_ASSIGN(const SmallPages small, SmallPages::create(bytes));
    VSMP_TRY_ASSIGN(const AlignedMemory large, AlignedMemory::create(bytes));
    VSMP_TRY(collapse(large.bytes));
    VSMP_TRY_ASSIGN(const std::size_t mapped, mapped_large(large.bytes.data()));
    if (mapped != bytes)
        return Error{"SKIPPED: this kernel maps no shared memory with 2 MiB pages"};
    Size size{.mib = mib, .here = {}, .guest = {}};
    for (unsigned round = 0; round < settings.rounds; ++round) {
        size.here.small.push_back(touch_here(small.bytes(), settings.touches));
        size.here.large.push_back(touch_here(large.bytes, settings.touches));
    }
    if (kvm::usability(kvm::probe()) == kvm::Usability::nothing) return size;
    VSMP_TRY_ASSIGN(auto on_small, TouchingGuest::start(small.bytes(), settings.touches));
    VSMP_TRY_ASSIGN(auto on_large, TouchingGuest::start(large.bytes, settings.touches));
    for (unsigned round = 0; round < settings.rounds; ++round) {
        VSMP_TRY_ASSIGN(const double small_ns, on_small.touch(settings.touches));
        size.guest.small.push_back(small_ns);
        VSMP_TRY_ASSIGN(const double large_ns, on_large.touch(settings.touches));
        size.guest.large.push_back(large_ns);
    }
    return size;
}

void append_row(std::string& text, nlohmann::ordered_json& rows, const Size& size,
                const Samples& samples, const char* where) {
    if (samples.small.empty()) {
        text += fmt::format("{:<8}{:>6} MiB  SKIPPED: no KVM\n", where, size.mib);
        return;
    }
    const double small = median(samples.small), large = median(samples.large);
    text += fmt::format("{:<8}{:>6} MiB{:>12.1f}{:>12.1f}{:>9.2f}\n", where, size.mib, small, large,
                        small / large);
    rows.push_back({{"where", where},
                    {"mib", size.mib},
                    {"ns_4k", small},
                    {"ns_2m", large},
                    {"ratio", small / large}});
}

Result<std::string> run(const Settings& settings, bool json) {
    VSMP_TRY_ASSIGN(const std::vector<Fact> facts, try_large_pages());
    std::string text;
    nlohmann::ordered_json document;
    for (const Fact& fact : facts) {
        text += fmt::format("{:<56}{}\n", fact.text, fact.holds ? "yes" : "no");
        document["facts"][fact.name] = fact.holds;
    }
    text += fmt::format("{:<18}{:>12}{:>12}{:>9}\n", "ns a touch", "4 KiB", "2 MiB", "ratio");
    for (unsigned mib : {16u, 128u, 512u}) {
        VSMP_TRY_ASSIGN(const Size size, measure(mib, settings));
        append_row(text, document["touches"], size, size.here, "process");
        append_row(text, document["touches"], size, size.guest, "guest");
    }
    return json ? document.dump(2) + "\n" : text;
}

}  // namespace
}  // namespace vsmp::bench

int main(int argc, char** argv) {
    using namespace vsmp::bench;
    Settings settings;
    bool json = false;
    CLI::App app{"Memory mapped with 4 KiB pages against 2 MiB pages."};
    app.add_option("--rounds", settings.rounds)->check(CLI::Range(1, 1000))->capture_default_str();
    app.add_option("--touches", settings.touches, "of each kind in a round")
        ->check(CLI::Range(1, 1'000'000'000))
        ->capture_default_str();
    app.add_flag("--json", json, "for machines");
    CLI11_PARSE(app, argc, argv);
    const auto text = run(settings, json);
    if (!text) {
        std::fprintf(stderr, "bench_pages: %s\n", text.error().message.c_str());
        return 1;
    }
    std::fwrite(text->data(), 1, text->size(), stdout);
    return 0;
}
