// Pieces of pictures, as SVG. Coordinates in pixels, from the top left.
#pragma once

#include <array>
#include <string>

namespace vsmp::svg {

inline constexpr std::array<const char*, 6> kColours{"#4c78a8", "#f58518", "#54a24b",
                                                     "#e45756", "#b279a2", "#9d755d"};

std::string open(double width, double height);
std::string rectangle(double x, double y, double width, double height, const char* colour);
std::string line(double from_x, double from_y, double to_x, double to_y, const char* colour);
// `anchor`: which end of the text is at x; start, middle or end.
std::string text(double x, double y, const std::string& what, const char* anchor = "start");
std::string close();

}  // namespace vsmp::svg
