// bench_fabric: the fabric over each kind of port that works here, beside the bare port, kernel UDP
// and TCP over the same path and shared memory, all in one run and interleaved. docs/fabric.md says
// what the figures mean.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <thread>

#include "dpdk_transport/bench/fabric_report.hpp"
#include "dpdk_transport/bench/port_jobs.hpp"

namespace vsmp::fabric {
namespace {

using nlohmann::json;

[[noreturn]] void finish(const Result<>& result) {
    if (!result) std::fprintf(stderr, "bench_fabric: %s\n", result.error().message.c_str());
    std::fflush(nullptr);
    ::_exit(result ? 0 : 1);
}

// One end; `first` is what it does when both processes are there.
template <class First>
Result<json> play(const BenchPlan& plan, const Stage& stage, int self, First first) {
    Meeting meeting{stage.shared, self};
    const auto all = [&]() -> Result<json> {
        VSMP_TRY(first(meeting));
        VSMP_TRY_ASSIGN(End end, open_end(stage, meeting));
        // As a node's data plane: not on the thread that started DPDK, which that one treats
        // better.
        Result<json> found{Error{}};
        std::thread{[&] { found = run_jobs(plan, end, meeting); }}.join();
        return found;
    };
    auto found = all();
    if (!found) meeting.fail();
    return found;
}

Result<json> in_two_processes(const BenchPlan& plan, const Stage& stage) {
    const pid_t other = ::fork();
    if (other < 0) return Error::from_errno("fork");
    if (other == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const auto found = play(plan, stage, 1, [&](Meeting& meeting) -> Result<> {
            VSMP_TRY(enter_other_side(stage));
            VSMP_TRY(meeting.meet());
            return meeting.meet();  // the link was handed over
        });
        finish(found ? Result<>{} : found.error());
    }
    auto found = play(plan, stage, 0, [&](Meeting& meeting) -> Result<> {
        VSMP_TRY(meeting.meet());
        VSMP_TRY(hand_over_link(stage, other));
        return meeting.meet();
    });
    ::waitpid(other, nullptr, 0);
    return found;
}

Result<json> in_two_threads(const BenchPlan& plan, const Stage& stage) {
    VSMP_TRY_ASSIGN(std::vector<End> ends, open_memory_ends(stage));
    Result<json> results[2] = {Error{}, Error{}};
    std::vector<std::thread> threads;
    for (int self = 0; self < 2; ++self)
        threads.emplace_back([&, self] {
            Meeting meeting{stage.shared, self};
            auto& result = results[self];
            result = run_jobs(plan, ends[static_cast<std::size_t>(self)], meeting);
            if (!result) meeting.fail();
        });
    for (std::thread& thread : threads) thread.join();
    if (!results[1]) return results[1];
    return results[0];
}

Result<json> measure(const BenchPlan& plan, Stage stage) {
    const std::string problem = prepare(stage);
    if (!problem.empty()) return json{{"skipped", problem}};
    VSMP_TRY_ASSIGN(stage.shared, Meeting::make_shared());
    VSMP_TRY_ASSIGN(stage.rings, make_shared_rings());
    if (stage.port != BenchPort::memory) return in_two_processes(plan, stage);
    // Its two threads share a process: what waiting costs is not to be seen there.
    BenchPlan shorter = plan;
    shorter.idle = Duration::zero();
    shorter.hog_rounds = 0;
    return in_two_threads(shorter, stage);
}

// In a process of its own: DPDK starts once in a process, and so does a network namespace.
Result<json> measure_apart(const BenchPlan& plan, const Stage& stage) {
    int answer[2];
    if (::pipe(answer) != 0) return Error::from_errno("pipe");
    const pid_t child = ::fork();
    if (child < 0) return Error::from_errno("fork");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::close(answer[0]);
        const auto found = measure(plan, stage);
        if (!found) finish(found.error());
        const std::string text = found->dump();
        for (std::size_t at = 0; at < text.size();) {
            const ssize_t put = ::write(answer[1], text.data() + at, text.size() - at);
            if (put <= 0) finish(Error::from_errno("write"));
            at += static_cast<std::size_t>(put);
        }
        finish({});
    }
    ::close(answer[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = ::read(answer[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(got));
    ::close(answer[0]);
    ::waitpid(child, nullptr, 0);
    auto found = json::parse(text, nullptr, false);
    if (found.is_discarded()) return Error{to_string(stage.port) + " could not be measured"};
    found["port"] = to_string(stage.port);
    if (!found.contains("skipped")) add_ratios(found);
    return found;
}

enum class Output : std::uint8_t { table, json_document };

int run(const BenchPlan& plan, const std::vector<BenchPort>& ports, Output output) {
    char folder[] = "/tmp/vsmp-bench-XXXXXX";
    if (::mkdtemp(folder) == nullptr) {
        std::fprintf(stderr, "bench_fabric: %s\n", Error::from_errno("mkdtemp").message.c_str());
        return 1;
    }
    json document;
    int code = 0;
    for (BenchPort port : ports) {
        std::fprintf(stderr, "measuring %s\n", to_string(port).c_str());
        Stage stage;
        stage.port = port;
        stage.folder = folder;
        auto found = measure_apart(plan, stage);
        if (!found) {
            std::fprintf(stderr, "bench_fabric: %s\n", found.error().message.c_str());
            code = 1;
            continue;
        }
        for (const char* what : {"rtt_over_port", "goodput_over_port"})
            if (found->contains(what) && (*found)[what].contains("fabric"))
                document[what][to_string(port)] = (*found)[what]["fabric"];
        document["ports"].push_back(*std::move(found));
    }
    std::filesystem::remove_all(folder);
    if (document.contains("ports")) {
        const std::string text =
            output == Output::json_document ? document.dump(2) + "\n" : to_table(document);
        std::fwrite(text.data(), 1, text.size(), stdout);
    }
    return code;
}

}  // namespace
}  // namespace vsmp::fabric

int main(int argc, char** argv) {
    using namespace vsmp;
    using namespace vsmp::fabric;
    BenchPlan plan;
    std::vector<BenchPort> ports{BenchPort::memory, BenchPort::vhost_user, BenchPort::af_packet};
    std::size_t idle_s = 30, stream_ms = 100;
    bool as_json = false;
    CLI::App app{"The fabric over each kind of port, beside what it could be at best."};
    app.add_option("--port", ports, "memory, vhost-user, af_packet (needs root); default all")
        ->transform(CLI::CheckedTransformer(
            std::map<std::string, BenchPort>{{"memory", BenchPort::memory},
                                             {"vhost-user", BenchPort::vhost_user},
                                             {"af_packet", BenchPort::af_packet}}));
    app.add_option("--wire", plan.wires,
                   "port, fabric, fabric_sealed, shared_memory, udp, tcp; default all");
    app.add_option("--size", plan.round_trip_sizes, "bytes of round trips; default 64 4200 8900")
        ->check(CLI::Range(std::size_t{16}, kMaxPayload));
    app.add_option("--stream-size", plan.stream_sizes,
                   "bytes of one-way messages; default 64 4096 4200 8900")
        ->check(CLI::Range(std::size_t{16}, kMaxPayload));
    app.add_option("--repeats", plan.repeats, "of everything, interleaved")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("--rounds", plan.rounds, "round trips in a repeat")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    app.add_option("--stream-ms", stream_ms, "a stream's length in a repeat")
        ->check(CLI::Range(1, 10'000))
        ->capture_default_str();
    app.add_option("--hog-rounds", plan.hog_rounds, "round trips beside CPU hogs; 0: none")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str();
    app.add_option("--idle-s", idle_s, "how long nothing is sent; 0: not measured")
        ->check(CLI::Range(0, 3600))
        ->capture_default_str();
    app.add_flag("--json", as_json, "for machines");
    CLI11_PARSE(app, argc, argv);
    plan.idle = std::chrono::seconds(idle_s);
    plan.stream = std::chrono::milliseconds(stream_ms);
    return run(plan, ports, as_json ? Output::json_document : Output::table);
}
