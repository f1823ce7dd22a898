// The parts of bench_locality that need no guest.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "test/bench/locality/load_file.hpp"
#include "test/bench/locality/locality_report.hpp"

namespace vsmp::bench {
namespace {

TEST(LoadFile, SaysWhatTheFileSays) {
    const auto load = parse_load(
        "# a comment\nrow = a row\nguest=load_x  # more\n\nmemory = 12\nbegin = 0 0 2\n"
        "data = 1 0 3\narguments = 5 6\nms = 70\nquota = 1.5 0\n");
    ASSERT_TRUE(load) << load.error().message;
    EXPECT_EQ(load->row, "a row");
    EXPECT_EQ(load->guest, "load_x");
    EXPECT_EQ(load->memory_mib, 12u);
    EXPECT_EQ(load->begin, (std::vector<unsigned>{0, 0, 2}));
    EXPECT_EQ(load->data, (std::vector<unsigned>{1, 0, 3}));
    EXPECT_EQ(load->arguments, (std::vector<std::uint64_t>{5, 6}));
    EXPECT_EQ(load->ms, 70u);
    EXPECT_EQ(load->quota, (std::vector<double>{1.5, 0}));
    EXPECT_EQ(load->nodes(), 4u);
}

TEST(LoadFile, DataIsWhereTheVcpuBeginsUnlessSaid) {
    const auto load = parse_load("row=r\nguest=g\nbegin=0\nquota=1\n");
    ASSERT_TRUE(load) << load.error().message;
    EXPECT_EQ(load->data, load->begin);
    EXPECT_EQ(load->nodes(), 2u);
}

TEST(LoadFile, RefusesWhatItDoesNotUnderstand) {
    const std::string good = "row=r\nguest=g\nbegin=0 1\nquota=1\n";
    ASSERT_TRUE(parse_load(good));
    for (const char* line :
         {"colour = blue", "begin", "memory = much", "memory = 1 2", "quota =", "data = 0",
          "begin = 0 0 0 0 0 0 0 0 0", "arguments = 1 2 3 4 5 6 7 8 9"})
        EXPECT_FALSE(parse_load(good + line)) << line;
    EXPECT_FALSE(parse_load("guest=g\nbegin=0 1\nquota=1\n")) << "no row";
}

TEST(LoadFile, AllOfTheRepositoryAreGood) {
    const auto loads = read_loads(VSMP_LOADS_DIR);
    ASSERT_TRUE(loads) << loads.error().message;
    EXPECT_GE(loads->size(), 9u);
}

TEST(LocalityReport, SettledWhenTheRateIsThatOfTheSecondHalf) {
    EXPECT_EQ(settled_after_ms({}), 0);
    EXPECT_EQ(settled_after_ms({10, 10, 10, 10}), 0);
    EXPECT_EQ(settled_after_ms({1, 5, 9, 10, 10, 10}), 200);
}

LoadResult took(double seconds) {
    LoadResult result;
    result.seconds = seconds;
    return result;
}

TEST(LocalityReport, LearnedIsComparedWithTheBestMedianOfTheFixedPolicies) {
    LocalityReport report{.rows = {"r"}, .policies = {"p", "q", "learned"}, .results = {}};
    report.results["r"]["p"] = {took(9), took(2), took(2)};
    report.results["r"]["q"] = {took(1), took(3), took(4)};
    report.results["r"]["learned"] = {took(1), took(2.5), took(7)};
    const auto json = nlohmann::json::parse(to_json(report));
    EXPECT_DOUBLE_EQ(json["learned_over_best"]["r"], 1.25);
    EXPECT_DOUBLE_EQ(json["learned_over_best_geomean"], 1.25);
    EXPECT_DOUBLE_EQ(json["rows"]["r"]["q"]["over_best"], 1.5);
    EXPECT_DOUBLE_EQ(json["rows"]["r"]["p"]["slowest"], 9);
    EXPECT_DOUBLE_EQ(json["learned_over_oracle_geomean"], 0) << "there is no plan";
}

TEST(LocalityReport, TheOracleIsNeverSlowerThanTheBestPolicy) {
    LocalityReport report{.rows = {"r", "s"}, .policies = {"p", "learned"}, .results = {}};
    report.results["r"] = {{"p", {took(2)}}, {"learned", {took(3)}}, {"oracle", {took(5)}}};
    report.results["s"] = {{"p", {took(2)}}, {"learned", {took(3)}}, {"oracle", {took(1)}}};
    const auto json = nlohmann::json::parse(to_json(report));
    EXPECT_DOUBLE_EQ(json["rows"]["r"]["oracle"]["seconds"], 2);
    EXPECT_DOUBLE_EQ(json["rows"]["s"]["oracle"]["seconds"], 1);
    EXPECT_DOUBLE_EQ(json["learned_over_oracle_geomean"], std::sqrt(1.5 * 3));
}

TEST(LocalityReport, TellsThePhaseThatTookLongestToSettle) {
    LocalityReport report{.rows = {"r"}, .policies = {"learned"}, .results = {}};
    LoadResult run = took(1);
    run.phases = {{.kind = 0, .round = 1, .slices = {10, 10}},
                  {.kind = 1, .round = 1, .slices = {1, 1, 3, 3, 3, 3}}};
    report.results["r"]["learned"] = {run};
    const auto json = nlohmann::json::parse(to_json(report));
    EXPECT_DOUBLE_EQ(json["rows"]["r"]["learned"]["settled_after_ms"], 200);
}

}  // namespace
}  // namespace vsmp::bench
