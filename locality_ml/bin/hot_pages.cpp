#include "locality_ml/bin/hot_pages.hpp"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "locality_ml/trace.hpp"

namespace vsmp::locality {

Result<std::vector<HotPage>> hot_pages(ByteView trace, double from, double to) {
    VSMP_TRY_ASSIGN(TraceReader reader, TraceReader::open(trace));
    std::unordered_map<PageNumber, HotPage> by_page;
    for (;;) {
        VSMP_TRY_ASSIGN(const std::optional<TraceRecord> record, reader.next());
        if (!record) break;
        const auto* decided = std::get_if<Decided>(&*record);
        if (!decided) continue;
        const RemoteFault& fault = decided->fault;
        const std::chrono::duration<double> at = fault.now.time_since_epoch();
        if (at.count() < from || at.count() > to) continue;
        HotPage& hot = by_page[fault.page];
        hot.page = fault.page;
        ++hot.faults;
        hot.writes += fault.access == Access::write ? 1 : 0;
    }
    std::vector<HotPage> pages;
    for (const auto& [page, hot] : by_page) pages.push_back(hot);
    std::ranges::sort(pages, [](const HotPage& a, const HotPage& b) {
        return a.faults != b.faults ? a.faults > b.faults : a.page < b.page;
    });
    return pages;
}

}  // namespace vsmp::locality
