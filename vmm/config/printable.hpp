// Text of others that is shown to a person.
#pragma once

#include <string>
#include <string_view>

namespace vsmp {

// UTF-8 `text` with what could move a terminal's cursor, change its state or the order of
// characters written as \xHH: control characters (C0 but for tab, DEL, C1) and Unicode's marks and
// overrides of direction.
std::string printable(std::string_view text);

}  // namespace vsmp
