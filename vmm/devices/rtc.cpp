#include "vmm/devices/rtc.hpp"

namespace vsmp {
namespace {

constexpr std::uint8_t kSeconds = 0, kMinutes = 2, kHours = 4, kWeekday = 6, kDay = 7, kMonth = 8;
constexpr std::uint8_t kYear = 9, kA = 10, kB = 11, kC = 12, kD = 13, kCentury = 0x32;

constexpr std::uint8_t kDividerOn = 0x26;  // 32.768 kHz time base, 1024 Hz periodic rate
constexpr std::uint8_t kUpdateInProgress = 0x80;
constexpr std::uint8_t kSet = 0x80, kBinary = 0x04, kHours24 = 0x02;
constexpr std::uint8_t kValid = 0x80;  // D: the battery is fine
constexpr std::uint8_t kAfternoon = 0x80;

bool is_time(std::uint8_t index) {
    return index == kSeconds || index == kMinutes || index == kHours ||
           (index >= kWeekday && index <= kYear) || index == kCentury;
}

}  // namespace

Rtc::Rtc(std::function<WallTime()> wall_clock) : wall_clock_(std::move(wall_clock)) {
    cells_[kA] = kDividerOn;
    cells_[kB] = kHours24;
}

bool Rtc::binary() const {
    return (cells_[kB] & kBinary) != 0;
}
bool Rtc::hours24() const {
    return (cells_[kB] & kHours24) != 0;
}
bool Rtc::setting() const {
    return (cells_[kB] & kSet) != 0;
}

std::uint8_t Rtc::read_byte(std::uint64_t offset) {
    if (offset == 0) return index_;
    if (index_ == kD) return kValid;
    if (index_ == kC) return 0;
    if (is_time(index_) && !setting()) show(wall_clock_() + guest_offset_);
    return cells_[index_];
}

void Rtc::write_byte(std::uint64_t offset, std::uint8_t value) {
    if (offset == 0) {
        index_ = value & 0x7f;  // bit 7 masks NMI, of which there is none
    } else if (index_ == kB) {
        write_register_b(value);
    } else if (index_ == kA) {
        cells_[kA] = value & static_cast<std::uint8_t>(~kUpdateInProgress);
    } else if (is_time(index_) && !setting()) {
        show(wall_clock_() + guest_offset_);
        cells_[index_] = value;
        adopt_shown_time();
    } else if (index_ != kC && index_ != kD) {
        cells_[index_] = value;
    }
}

void Rtc::write_register_b(std::uint8_t value) {
    const bool was_setting = setting();
    const bool sets = (value & kSet) != 0;
    if (!was_setting && sets) show(wall_clock_() + guest_offset_);
    cells_[kB] = value;
    if (was_setting && !sets) adopt_shown_time();
}

std::uint8_t Rtc::encode(unsigned value) const {
    return static_cast<std::uint8_t>(binary() ? value : value / 10 << 4 | value % 10);
}

unsigned Rtc::decode(std::uint8_t value) const {
    return binary() ? value : (value >> 4) * 10u + (value & 0x0f);
}

std::uint8_t Rtc::encode_hour(unsigned hour) const {
    if (hours24()) return encode(hour);
    const std::uint8_t of_half_day = encode(hour % 12 == 0 ? 12 : hour % 12);
    return static_cast<std::uint8_t>(of_half_day | (hour >= 12 ? kAfternoon : 0));
}

unsigned Rtc::decode_hour(std::uint8_t value) const {
    if (hours24()) return decode(value);
    const unsigned of_half_day = decode(value & static_cast<std::uint8_t>(~kAfternoon)) % 12;
    return of_half_day + ((value & kAfternoon) != 0 ? 12 : 0);
}

void Rtc::show(WallTime time) {
    const auto midnight = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{midnight};
    const std::chrono::hh_mm_ss clock{time - midnight};
    const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
    cells_[kSeconds] = encode(static_cast<unsigned>(clock.seconds().count()));
    cells_[kMinutes] = encode(static_cast<unsigned>(clock.minutes().count()));
    cells_[kHours] = encode_hour(static_cast<unsigned>(clock.hours().count()));
    cells_[kWeekday] = encode(std::chrono::weekday{midnight}.c_encoding() + 1);  // 1: Sunday
    cells_[kDay] = encode(static_cast<unsigned>(date.day()));
    cells_[kMonth] = encode(static_cast<unsigned>(date.month()));
    cells_[kYear] = encode(year % 100);
    cells_[kCentury] = encode(year / 100);
}

// A date that does not exist leaves the clock as it was.
void Rtc::adopt_shown_time() {
    const unsigned year = decode(cells_[kCentury]) * 100 + decode(cells_[kYear]);
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)},
                                           std::chrono::month{decode(cells_[kMonth])},
                                           std::chrono::day{decode(cells_[kDay])}};
    if (!date.ok()) return;
    const WallTime time = std::chrono::sys_days{date} +
                          std::chrono::hours{decode_hour(cells_[kHours])} +
                          std::chrono::minutes{decode(cells_[kMinutes])} +
                          std::chrono::seconds{decode(cells_[kSeconds])};
    guest_offset_ = time - wall_clock_();
}

}  // namespace vsmp
