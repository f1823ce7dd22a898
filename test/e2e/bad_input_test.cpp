// What goes wrong around a guest, with the real programs: one clear line, the status that vsmp-run
// documents, and nothing left behind (Scratch checks). test/vmm/control has more, with fake nodes.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "kvm_glue/probe.hpp"
#include "test/e2e/micro_guest.hpp"
#include "test/micro/programs.hpp"
#include "test/skip.hpp"
#include "vmm/control/process.hpp"

namespace vsmp::e2e {
namespace {

constexpr int kUsage = 2, kNodeFailed = 5;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
}

class BadInput : public testing::Test {
  protected:
    void SetUp() override {
        if (const std::string why = why_not_here(); !why.empty()) VSMP_SKIP() << why;
        const ByteView program = test::micro_program("bounce");
        kernel_ = scratch_.write("bounce",
                                 {reinterpret_cast<const char*>(program.data()), program.size()});
    }

    std::string xml(const Machine& machine = {}, const std::string& command_line = "0 1000") const {
        return domain_xml(machine, scratch_.name(), kernel_, command_line);
    }
    std::vector<std::string> command(const std::string& xml,
                                     std::vector<std::string> more = {}) const {
        std::vector<std::string> words{program_path("vsmp-run"), scratch_.write("guest.xml", xml)};
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    // Runs to the end; the one line that says why.
    std::string fails(int expected_status, std::vector<std::string> words) {
        control::Program run{std::move(words)};
        return ends(expected_status, run);
    }
    static std::string ends(int expected_status, control::Program& run) {
        EXPECT_EQ(run.wait(), expected_status) << run.output << run.errors;
        EXPECT_EQ(run.error_lines(), 1) << run.errors;
        return run.errors;
    }

    Scratch scratch_;
    std::string kernel_;
};

// `from` occurs once or the first one is meant.
std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    return at == text.npos ? text : text.replace(at, from.size(), to);
}

TEST_F(BadInput, XmlThatContradictsItself) {
    struct Case {
        const char *from, *to, *said;
    };
    for (const auto& [from, to, said] : {
             Case{"cpus='1-1'", "cpus='1-7'", "<cell>: cpus='1-7' names CPU 2 but <vcpu> is 2"},
             Case{"cpus='1-1'", "cpus='0-0'", "<cell>: "},
             Case{"<v:node id='1'", "<v:node id='0'", "<v:node>: a second node with id 0"},
             Case{"cell='1'", "cell='0'", "<v:node>: cell 0 already belongs to node 0"},
             Case{"<memory unit='MiB'>32", "<memory unit='MiB'>0", "<memory>: "},
             Case{"<memory unit='MiB'>32", "<memory unit='b'>33554433", "<memory>: "},
             Case{"memory='16'", "memory='0'", "<cell>: "},
             Case{"memory='16' unit='MiB'", "memory='16385' unit='KiB'", "<cell>: "},
         }) {
        const std::string line = fails(kUsage, command(replaced(xml(), from, to)));
        EXPECT_TRUE(has(line, "guest.xml:")) << line;
        EXPECT_TRUE(has(line, said)) << line;
    }
}

TEST_F(BadInput, TwoNodesOnOneInterface) {
    const std::string line =
        fails(kUsage, command(xml({.link = "type='af_packet' interface='e0'"})));
    EXPECT_TRUE(has(line, "e0")) << line;
}

TEST_F(BadInput, ArgumentThatIsNoNumber) {
    const std::string line = fails(kUsage, command(xml({}, "0 many")));
    EXPECT_TRUE(has(line, "argument 'many'")) << line;
}

TEST_F(BadInput, InitrdForAProgram) {
    const std::string line = fails(kUsage, command(xml(), {"--initrd", kernel_}));
    EXPECT_TRUE(has(line, "a micro-guest has no use for an initrd")) << line;
}

TEST_F(BadInput, DamagedProgram) {
    std::filesystem::resize_file(kernel_, 1500);
    const std::string line = fails(kUsage, command(xml()));
    EXPECT_TRUE(has(line, "ELF")) << line;
}

TEST_F(BadInput, OptionsThatNameWhatIsNotThere) {
    std::string line = fails(kUsage, command(xml(), {"--policy", "nonsense"}));
    EXPECT_TRUE(has(line, "unknown policy 'nonsense'")) << line;
    line = fails(kUsage, command(xml(), {"--capture", "/nosuch"}));
    EXPECT_TRUE(has(line, "/nosuch: No such file or directory")) << line;
    line = fails(kUsage, command(xml({.link = "type='vhost-user' socket='/nosuch/socket'"})));
    EXPECT_TRUE(has(line, "/nosuch: No such file or directory")) << line;
}

TEST_F(BadInput, KeyFileThatIsNotThere) {
    const std::string with_key =
        replaced(xml(), "<v:policy", "<v:fabric key='/nosuch/key'/><v:policy");
    const std::string line = fails(kUsage, command(with_key));
    EXPECT_TRUE(has(line, "key file /nosuch/key: No such file or directory")) << line;
}

TEST_F(BadInput, VhostUserServerKilledLeavesNoSocket) {
    const std::string socket = scratch_.folder() / "link.sock";
    control::Program run{command(xml({.link = "type='vhost-user' socket='" + socket + "'"},
                                     "0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 1"))};
    ASSERT_TRUE(run.wait_for("micro vcpu=1 report code=99")) << run.errors;
    ASSERT_TRUE(std::filesystem::exists(socket));
    ASSERT_EQ(::kill(scratch_.node_process(0).value(), SIGKILL), 0);
    const std::string line = ends(kNodeFailed, run);
    EXPECT_TRUE(has(line, "node 0 (local): its process was killed")) << line;
    EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST_F(BadInput, OperatingSystemOnTwoNodesWithoutNestedPaging) {
    if (kvm::probe().paging == kvm::Paging::nested)
        VSMP_SKIP() << "this KVM has nested paging, nothing to refuse";
    // Without its note a micro-guest is a kernel as any other.
    const ByteView program = test::micro_program("bounce");
    std::string kernel{reinterpret_cast<const char*>(program.data()), program.size()};
    const std::string note{"\x01\0\0\0vsmp", 8};  // type and owner
    ASSERT_NE(kernel.find(note), kernel.npos);
    kernel[kernel.find(note) + 4] = 'V';
    kernel_ = scratch_.write("kernel", kernel);
    const std::string line = fails(kNodeFailed, command(xml()));
    EXPECT_TRUE(has(line, "node 0 (local): its KVM has no nested paging")) << line;
}

TEST_F(BadInput, InterfaceThatDoesNotExist) {
    const std::string line =
        fails(kNodeFailed, command(xml({.link = "type='af_packet' interface='vsmpnone@'"})));
    EXPECT_TRUE(has(line, "network interface vsmpnone") && has(line, "does not exist")) << line;
}

TEST_F(BadInput, NobodyMayUseKvm) {
    if (!std::filesystem::exists("/usr/bin/setpriv"))
        VSMP_SKIP() << "setpriv (util-linux) is not installed";
    const std::string shared = std::filesystem::path{program_path("vsmp-run")}.parent_path();
    const auto as_nobody = [](std::vector<std::string> words) {
        words.insert(words.begin(), {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534",
                                     "--clear-groups", "--"});
        return words;
    };
    control::Program look{as_nobody({"/usr/bin/test", "-x", program_path("vsmp-run")})};
    if (look.wait() != 0) VSMP_SKIP() << "nobody cannot reach " << shared;
    control::Program open{as_nobody({"/usr/bin/test", "-w", "/dev/kvm"})};
    if (open.wait() == 0) VSMP_SKIP() << "everybody may use /dev/kvm here";
    const auto words = as_nobody(command(xml()));
    for (const auto& path : {scratch_.folder().string(), kernel_, words.back()})
        ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
    const std::string line = fails(kNodeFailed, words);
    EXPECT_TRUE(has(line, "permission to open /dev/kvm")) << line;
}

TEST_F(BadInput, NodeKilledWhileItStarts) {
    control::Program run{command(xml({}, "0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 1"))};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    std::optional<int> process;
    while (!(process = scratch_.node_process(1)) && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    ASSERT_TRUE(process);
    ASSERT_EQ(::kill(*process, SIGKILL), 0);
    const std::string line = ends(kNodeFailed, run);
    EXPECT_TRUE(has(line, "node 1 (local): its process was killed by signal 9")) << line;
}

TEST_F(BadInput, NodeKilledWhileTheGuestRuns) {
    for (unsigned node : {0, 1}) {
        control::Program run{command(xml({}, "0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 1"))};
        ASSERT_TRUE(run.wait_for("micro vcpu=1 report code=99")) << run.errors;
        ASSERT_EQ(::kill(scratch_.node_process(node).value(), SIGKILL), 0);
        const std::string line = ends(kNodeFailed, run);
        EXPECT_TRUE(has(line, fmt::format("node {} (local): its process was killed", node)))
            << line;
    }
}

// In a network namespace of this process, which ends with it. `e0` and `e1` are its veths' ends.
class BadLinks : public BadInput {
  protected:
    void SetUp() override {
        BadInput::SetUp();
        if (IsSkipped()) return;
        if (::unshare(CLONE_NEWNET) != 0) VSMP_SKIP() << "cannot make a network namespace";
    }
    static void make(const std::string& one, const std::string& other) {
        std::string commands =
            fmt::format("link add {} mtu 9000 type veth peer name {} mtu 9000\n", one, other);
        for (const std::string& end : {one, other})
            commands += fmt::format("link set dev {} addrgenmode none up\n", end);
        const auto made = control::run_command({"ip", "-batch", "-"}, commands);
        ASSERT_TRUE(made) << made.error().message;
    }
    Machine on_interfaces_{.link = "type='af_packet' interface='e@'"};
};

TEST_F(BadLinks, NobodyAtTheOtherEnd) {
    make("e0", "nobody0");
    make("e1", "nobody1");
    // Nodes must have started by then.
    const std::string seconds = emulated() ? "20" : "2";
    const std::string line =
        fails(kNodeFailed, command(xml(on_interfaces_), {"--timeout", seconds}));
    EXPECT_TRUE(has(line, "node 0 (local) cannot reach node 1 over ") &&
                has(line, "within " + seconds + " s"))
        << line;
}

TEST_F(BadLinks, PortThatAnotherGuestUses) {
    make("e0", "e1");
    control::Program first{command(xml(on_interfaces_, "0 1000 0 0 0 0 0 0 0 0 0 0 0 0 0 1"))};
    ASSERT_TRUE(first.wait_for("micro vcpu=1 report code=99")) << first.errors;
    const std::string other = replaced(xml(on_interfaces_), scratch_.name(), "other");
    control::Program second{command(other)};
    const std::string line = ends(kNodeFailed, second);
    EXPECT_TRUE(has(line, "interface e")) << line;
    EXPECT_TRUE(has(line, "in use")) << line;
    first.type("\n");
    EXPECT_EQ(first.wait(), 0) << first.errors;
}

}  // namespace
}  // namespace vsmp::e2e
