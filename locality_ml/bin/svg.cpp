#include "locality_ml/bin/svg.hpp"

#include <fmt/format.h>

namespace vsmp::svg {

std::string open(double width, double height) {
    return fmt::format(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {0:.0f} {1:.0f}' "
        "width='{0:.0f}' height='{1:.0f}' font-family='sans-serif' font-size='12'>\n"
        "<rect width='100%' height='100%' fill='white'/>\n",
        width, height);
}

std::string rectangle(double x, double y, double width, double height, const char* colour) {
    return fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}'/>\n",
                       x, y, width, height, colour);
}

std::string line(double from_x, double from_y, double to_x, double to_y, const char* colour) {
    return fmt::format("<line x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}' stroke='{}'/>\n",
                       from_x, to_x, from_y, to_y, colour);
}

std::string text(double x, double y, const std::string& what, const char* anchor) {
    return fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='{}'>{}</text>\n", x, y, anchor,
                       what);
}

std::string close() {
    return "</svg>\n";
}

}  // namespace vsmp::svg
