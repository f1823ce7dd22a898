// vsmp-run, vsmpd and vsmpctl as programs, with fake nodes: how each way of ending looks from
// outside, and that nothing is left behind.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "program.hpp"
#include "proto/fd.hpp"
#include "test/find_node.hpp"
#include "test/skip.hpp"
#include "test/vmm/boot/images.hpp"

namespace vsmp::control {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kKernelBytes = 2'500'000;  // several chunks

class RunTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "vsmp-run-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        dir_ = pattern;
        ::setenv("XDG_RUNTIME_DIR", pattern.c_str(), 1);
        ::unsetenv("VSMP_FAKE_FAULT");
        name_ = dir_.filename();
        fs::create_directory(dir_ / "vsmp");
        constexpr std::uint64_t at = boot::kMiB;
        const boot::Bytes kernel =
            boot::make_elf(at, {{.physical = at,
                                 .contents = boot::filled(kKernelBytes, 0x90),
                                 .memory_bytes = kKernelBytes}});
        kernel_bytes_ = kernel.size();
        write("kernel", {reinterpret_cast<const char*>(kernel.data()), kernel.size()});
        write("initrd", "abc");
    }
    void TearDown() override {
        for (const auto& entry : fs::recursive_directory_iterator(dir_ / "vsmp"))
            ADD_FAILURE() << "left behind: " << entry.path();
        EXPECT_EQ(::if_nametoindex("vsmp0"), 0u);
        EXPECT_TRUE(wait_for_no_nodes()) << "a node is left behind";
        fs::remove_all(dir_);
    }

    std::string write(const std::string& name, const std::string& text) {
        std::ofstream{dir_ / name} << text;
        return dir_ / name;
    }

    // That a vsmpd listens on; empty (and a failure) if it does not say so.
    static std::string port_of(Program& daemon) {
        EXPECT_TRUE(daemon.wait_for("port ") && daemon.wait_for("\n")) << daemon.errors;
        const std::size_t at = daemon.errors.find("port ");
        if (at == std::string::npos) return {};
        return daemon.errors.substr(at + 5, daemon.errors.find('\n', at) - at - 5);
    }

    std::string guest(int nodes = 2, const std::string& host = "local",
                      const std::string& link = "type='auto'") {
        std::string cells, cluster;
        for (int i = 0; i < nodes; ++i) {
            const std::string n = std::to_string(i);
            cells += "<cell id='" + n + "' cpus='" + n + "' memory='8' unit='MiB'/>";
            std::string mine = link;
            if (const auto at = mine.find('@'); at != mine.npos) mine.replace(at, 1, n);
            cluster += "<v:node id='" + n + "' cell='" + n + "' host='" + host + "'><v:link " +
                       mine + "/></v:node>";
        }
        const std::string count = std::to_string(nodes), memory = std::to_string(8 * nodes);
        return write("guest.xml", "<domain type='kvm'><name>" + name_ +
                                      "</name><metadata><v:cluster xmlns:v='urn:vsmp:domain:1'>" +
                                      cluster + "</v:cluster></metadata><memory unit='MiB'>" +
                                      memory + "</memory><vcpu>" + count +
                                      "</vcpu><os><type>hvm</type><kernel>" +
                                      (dir_ / "kernel").string() + "</kernel><initrd>" +
                                      (dir_ / "initrd").string() +
                                      "</initrd></os><cpu mode='host-passthrough'><numa>" + cells +
                                      "</numa></cpu></domain>");
    }

    Program run(const std::string& xml, std::vector<std::string> more = {},
                Streams streams = Streams::pipes) {
        std::vector<std::string> command{VSMP_RUN, "--node-program", VSMP_FAKE_NODE, xml};
        command.insert(command.end(), more.begin(), more.end());
        return Program{std::move(command), streams};
    }

    // Runs with one node misbehaving; the exit status, and the only error line.
    std::string failure(const std::string& fault, int expected_status = 5,
                        std::vector<std::string> more = {}) {
        ::setenv("VSMP_FAKE_FAULT", fault.c_str(), 1);
        Program program = run(guest(), std::move(more));
        EXPECT_EQ(program.wait(), expected_status) << program.errors;
        EXPECT_EQ(program.error_lines(), 1) << program.errors;
        return program.errors;
    }

    bool node_exists() const { return test::find_node(name_ + "/").has_value(); }
    bool wait_for_no_nodes() const {
        for (int i = 0; i < 500 && node_exists(); ++i) ::usleep(10'000);
        return !node_exists();
    }

    fs::path dir_;
    std::string name_;
    std::size_t kernel_bytes_ = 0;
};

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
}

TEST_F(RunTest, GuestPowersOff) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ready")) << program.errors;
    EXPECT_TRUE(has(program.output, "kernel " + std::to_string(kernel_bytes_) + " initrd 3"));
    EXPECT_FALSE(has(program.output, "is missing"));
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0) << program.errors;
    EXPECT_TRUE(has(program.output, "typed off"));
    EXPECT_EQ(program.error_lines(), 0) << program.errors;
}

TEST_F(RunTest, SeveralAutoLinksAreSeveralVethPairs) {
    if (::geteuid() != 0) VSMP_SKIP() << "needs the right to make a network namespace";
    Program program = run(guest(2, "local", "type='auto'/><v:link type='auto'"));
    ASSERT_TRUE(program.wait_for("ready")) << program.errors;
    EXPECT_TRUE(has(program.output, "link vsmp0 exists")) << program.output;
    EXPECT_TRUE(has(program.output, "link vsmp0-1 exists")) << program.output;
    EXPECT_TRUE(has(program.errors, "auto link: af_packet on a veth pair")) << program.errors;
    Program status{{VSMPCTL, "status"}};
    EXPECT_EQ(status.wait(), 0);
    EXPECT_TRUE(has(status.output, "af_packet vsmp1, af_packet vsmp1-1")) << status.output;
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunTest, ThreeNodesAreJoinedByABridge) {
    if (::geteuid() != 0) VSMP_SKIP() << "needs the right to make a network namespace";
    Program program = run(guest(3));
    ASSERT_TRUE(program.wait_for("ready")) << program.errors;
    EXPECT_TRUE(has(program.output, "link vsmp0 exists"));
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0);
}

// Even for root: each of these rights is needed to make interfaces, or to use them.
TEST_F(RunTest, AutoTakesVhostUserWhereInterfacesDoNotWork) {
    if (::geteuid() != 0 || !fs::exists("/usr/bin/setpriv"))
        VSMP_SKIP() << "needs root and setpriv to give a right away";
    const auto run_without = [&](const std::string& right, int nodes) {
        return Program{{"/usr/bin/setpriv", "--bounding-set=-" + right, VSMP_RUN, "--node-program",
                        VSMP_FAKE_NODE, guest(nodes)}};
    };
    for (const char* right : {"sys_admin", "net_admin", "net_raw"}) {
        Program two = run_without(right, 2);
        ASSERT_TRUE(two.wait_for("ready")) << two.errors;
        EXPECT_TRUE(has(two.output, "link vhost-user")) << two.output;
        EXPECT_TRUE(has(two.errors, "auto link: no veth pair (")) << two.errors;
        EXPECT_TRUE(has(two.errors, "the nodes are linked by a vhost-user socket")) << two.errors;
        Program status{{VSMPCTL, "status"}};
        EXPECT_EQ(status.wait(), 0);
        EXPECT_TRUE(has(status.output, "vhost-user ")) << status.output;
        two.type("off\n");
        EXPECT_EQ(two.wait(), 0);
    }
    Program three = run_without("sys_admin", 3);
    EXPECT_EQ(three.wait(), 5);
    EXPECT_TRUE(has(three.errors, "cannot link 3 nodes: making a network namespace: "))
        << three.errors;
}

TEST_F(RunTest, LongOutputArrivesWhole) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ready"));
    program.type("flood\n");
    ASSERT_TRUE(program.wait_for("typed flood"));
    EXPECT_TRUE(has(program.output, std::string(300'000, 'x')));
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunTest, ResetAndCrashHaveTheirOwnStatus) {
    for (const auto& [word, status, text] :
         {std::tuple{"reset\n", 3, "asked for a reset"}, {"crash\n", 4, "triple fault"}}) {
        Program program = run(guest());
        ASSERT_TRUE(program.wait_for("ready"));
        program.type(word);
        EXPECT_EQ(program.wait(), status);
        EXPECT_TRUE(has(program.errors, text)) << program.errors;
    }
}

TEST_F(RunTest, EachFailureOfANodeIsOneClearLine) {
    EXPECT_TRUE(has(failure("1=die"), "node 1 (local): its process was killed by signal 9"));
    EXPECT_TRUE(has(failure("1=version"),
                    "node 1 (local): it speaks control protocol 3 (vsmp 0.1), this vsmp-run speaks "
                    "2 (vsmp 0.1)"));
    EXPECT_TRUE(has(failure("0=no-kvm"), "node 0 (local): /dev/kvm: Permission denied"));
    EXPECT_TRUE(has(failure("1=start-error"), "node 1 (local): KVM_CREATE_VM: no such luck"));
    EXPECT_TRUE(has(failure("1=old"), "host Linux 6.1.0 is too old; vsmp needs 6.4"));
    EXPECT_TRUE(has(failure("1=tsc"), "its TSC runs at 2500000 kHz, node 0's at 2000000 kHz"));
    EXPECT_TRUE(has(failure("1=no-links", 5, {"--timeout", "1"}),
                    "node 1 (local) cannot reach node 0 over "));
}

TEST_F(RunTest, NodeThatFailsWhileRunningEndsTheGuest) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ready"));
    program.type("fail\n");
    EXPECT_EQ(program.wait(), 5);
    EXPECT_TRUE(has(program.errors, "node 0 (local): node 1 is lost"));
    EXPECT_EQ(program.error_lines(), 1) << program.errors;
}

TEST_F(RunTest, UnreachableHost) {
    Program program = run(guest(2, "127.0.0.1:1", "type='af_packet' interface='e@'"));
    EXPECT_EQ(program.wait(), 5);
    EXPECT_TRUE(has(program.errors, "(127.0.0.1:1): cannot reach vsmpd on port 1: "))
        << program.errors;
    EXPECT_EQ(program.error_lines(), 1) << program.errors;
}

TEST_F(RunTest, BadInputIsOneLineAndStatusTwo) {
    const auto refuse = [&](const std::string& xml, std::vector<std::string> more) {
        Program program = run(xml, std::move(more));
        EXPECT_EQ(program.wait(), 2) << program.errors;
        EXPECT_EQ(program.error_lines(), 1) << program.errors;
        return program.errors;
    };
    EXPECT_TRUE(has(refuse(guest(), {"--kernel", "/nonexistent"}),
                    "guest.xml: kernel /nonexistent: No such file or directory"));
    EXPECT_TRUE(has(refuse(guest(), {"--kernel", write("text", "not a kernel")}),
                    "neither a bzImage nor an x86-64 ELF file"));
    EXPECT_TRUE(has(refuse(guest(), {"--local", "3"}), "--local 3: the guest has 2 nodes"));
    EXPECT_TRUE(has(refuse(guest(2, "elsewhere"), {}),
                    "node 0 (elsewhere): an 'auto' link joins nodes of this machine only"));
    EXPECT_TRUE(has(refuse("/nonexistent.xml", {}), "/nonexistent.xml: No such file"));
    Program usage = run(guest(), {"--unknown"});
    EXPECT_EQ(usage.wait(), 2);
}

TEST_F(RunTest, InputMayBeNothingAndOutputAFile) {
    const std::string command = "exec " + std::string{VSMP_RUN} + " --node-program " +
                                VSMP_FAKE_NODE + " --spread-after ready " + guest() +
                                " </dev/null >" + (dir_ / "log").string();
    Program program{{"/bin/sh", "-c", command}};
    const auto logged = [&] {
        std::ifstream file{dir_ / "log"};
        return std::string{std::istreambuf_iterator<char>{file}, {}};
    };
    for (int i = 0; i < 1000 && !has(logged(), "ship 1 to 1"); ++i) ::usleep(10'000);
    EXPECT_TRUE(has(logged(), "ship 1 to 1"));
    program.signal(SIGINT);
    EXPECT_EQ(program.wait(), 6);
}

TEST_F(RunTest, SignalWhileStartingLeavesNothing) {
    ::setenv("VSMP_FAKE_FAULT", "1=no-links", 1);
    Program program = run(guest());
    while (!node_exists()) ::usleep(1000);
    program.signal(SIGINT);
    EXPECT_EQ(program.wait(), 6);
}

TEST_F(RunTest, SignalWhileItReadsItsFiles) {
    const std::string fifo = dir_ / "fifo.xml";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    Program program = run(fifo);
    const UniqueFd never_written{::open(fifo.c_str(), O_WRONLY)};  // waits for the reader
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait(), 6);
    EXPECT_EQ(program.errors, "vsmp-run: info: stopped by signal 15\n");
}

TEST_F(RunTest, GuestThatDoesNotAnswerKeepsNobodyWaiting) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ready"));
    program.signal(SIGSTOP);
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    const std::string path = dir_ / "vsmp" / (name_ + ".sock");
    ASSERT_LT(path.copy(address.sun_path, sizeof address.sun_path - 1), sizeof address.sun_path);
    std::vector<UniqueFd> clients;  // until the socket's queue is full
    do {
        clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    } while (::connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&address),
                       sizeof address) == 0);
    EXPECT_EQ(errno, EAGAIN);
    Program status{{VSMPCTL, "status"}};
    EXPECT_EQ(status.wait(), 1);
    EXPECT_TRUE(has(status.errors, "does not answer")) << status.errors;
    Program again = run(guest());
    EXPECT_EQ(again.wait(), 2);
    EXPECT_TRUE(has(again.errors, "is already running")) << again.errors;
    program.signal(SIGCONT);
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait(), 6);
}

TEST_F(RunTest, SignalStopsTheGuest) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ready"));
    program.signal(SIGTERM);
    EXPECT_EQ(program.wait(), 6);
}

TEST_F(RunTest, NodesDieWithAKilledVsmpRun) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ready"));
    EXPECT_TRUE(node_exists());
    program.signal(SIGKILL);
    EXPECT_EQ(program.wait(), -SIGKILL);
    EXPECT_TRUE(wait_for_no_nodes());
    // Its socket is there still, but is not taken for a guest; the next run of it takes it over.
    Program status{{VSMPCTL, "status"}};
    EXPECT_EQ(status.wait(), 1);
    EXPECT_TRUE(has(status.errors, "no guest is running")) << status.errors;
    Program next = run(guest());
    ASSERT_TRUE(next.wait_for("ready")) << next.errors;
    next.type("off\n");
    EXPECT_EQ(next.wait(), 0);
}

TEST_F(RunTest, TerminalIsRawAndRestored) {
    Program program = run(guest(), {}, Streams::terminal);
    ASSERT_TRUE(program.wait_for("ready"));
    EXPECT_FALSE(program.terminal_is_restored());
    program.type("hello\r");
    ASSERT_TRUE(program.wait_for("typed hello"));
    program.type("\x1d");
    EXPECT_EQ(program.wait(), 6);
    EXPECT_TRUE(program.terminal_is_restored());
}

TEST_F(RunTest, VcpusAreSpreadOnceTheGuestRests) {
    Program program = run(guest());
    ASSERT_TRUE(program.wait_for("ship 1 to 1"));
    EXPECT_FALSE(has(program.output, "ship 0"));
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunTest, VcpusAreSpreadAtTheMarker) {
    Program program = run(guest(), {"--spread-after", "typed now"});
    ASSERT_TRUE(program.wait_for("ready"));
    program.type("now\n");
    ASSERT_TRUE(program.wait_for("ship 1 to 1"));
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0);
}

TEST_F(RunTest, ControlCommands) {
    Program program = run(guest(), {"--spread", "none"});
    ASSERT_TRUE(program.wait_for("ready"));
    const auto ctl = [](std::vector<std::string> words, int expected) {
        words.insert(words.begin(), VSMPCTL);
        Program tool{std::move(words)};
        EXPECT_EQ(tool.wait(), expected) << tool.errors;
        return tool.output + tool.errors;
    };
    EXPECT_TRUE(has(ctl({"status"}, 0), "running, 2 vCPUs, 2 nodes"));
    EXPECT_TRUE(has(ctl({"--guest", name_, "stats"}, 0), "faults"));
    const std::string json = ctl({"stats", "--json"}, 0);
    EXPECT_TRUE(has(json, "\"faults\": 101")) << json;
    EXPECT_TRUE(has(ctl({"ship", "7", "0"}, 1), "there is no vCPU 7; the guest has 2"));
    EXPECT_TRUE(has(ctl({"ship", "0", "7"}, 1), "there is no node 7; the guest has 2"));
    EXPECT_EQ(ctl({"ship", "1", "0"}, 0), "");  // it is there already
    EXPECT_EQ(ctl({"ship", "1", "1"}, 0), "");
    EXPECT_TRUE(program.wait_for("ship 1 to 1"));
    EXPECT_TRUE(has(ctl({"--guest", "other", "status"}, 1), "guest 'other' is not running"));
    {
        Program second = run(guest());
        EXPECT_EQ(second.wait(), 2);
        EXPECT_TRUE(has(second.errors, "is already running")) << second.errors;
    }
    EXPECT_EQ(ctl({"stop"}, 0), "");
    EXPECT_EQ(program.wait(), 6);
    EXPECT_TRUE(has(ctl({"status"}, 1), "no guest is running"));
}

TEST_F(RunTest, NodesOnVsmpd) {
    Program daemon{
        {VSMPD, "--listen", "127.0.0.1:0", "--max-nodes", "2", "--node-program", VSMP_FAKE_NODE}};
    const std::string port = port_of(daemon);
    Program program = run(guest(2, "127.0.0.1:" + port, "type='af_packet' interface='e@'"));
    ASSERT_TRUE(program.wait_for("ready")) << program.errors;
    {
        const fs::path other = dir_ / "other";
        fs::create_directory(other);
        ::setenv("XDG_RUNTIME_DIR", other.c_str(), 1);
        Program third = run(guest(2, "127.0.0.1:" + port, "type='af_packet' interface='e@'"));
        EXPECT_EQ(third.wait(), 5);
        EXPECT_TRUE(has(third.errors, "vsmpd runs 2 nodes already, its limit")) << third.errors;
    }
    program.type("off\n");
    EXPECT_EQ(program.wait(), 0) << program.errors;
    daemon.signal(SIGTERM);
    EXPECT_EQ(daemon.wait(), 0);
}

TEST_F(RunTest, VsmpdSaysWhyNoNodeStarts) {
    Program daemon{{VSMPD, "--listen", "127.0.0.1:0", "--node-program", "/nonexistent"}};
    const std::string port = port_of(daemon);
    Program program = run(guest(2, "127.0.0.1:" + port, "type='af_packet' interface='e@'"));
    EXPECT_EQ(program.wait(), 5);
    EXPECT_TRUE(has(program.errors, "/nonexistent: No such file")) << program.errors;
}

TEST_F(RunTest, BusyPortOfVsmpd) {
    Program first{{VSMPD, "--listen", "127.0.0.1:0", "--node-program", VSMP_FAKE_NODE}};
    const std::string port = port_of(first);
    Program second{{VSMPD, "--listen", "127.0.0.1:" + port}};
    EXPECT_EQ(second.wait(), 1);
    EXPECT_TRUE(has(second.errors, "cannot listen on 127.0.0.1 port " + port)) << second.errors;
}

}  // namespace
}  // namespace vsmp::control
