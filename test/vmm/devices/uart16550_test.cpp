#include "vmm/devices/uart16550.hpp"

#include <gtest/gtest.h>

#include "test/vmm/devices/port_access.hpp"

namespace vsmp {
namespace {

enum : std::uint64_t { kData, kIer, kIir, kLcr, kMcr, kLsr, kMsr, kScratch };
constexpr std::uint64_t kFcr = kIir;
constexpr std::uint8_t kOut2 = 0x08;

class UartTest : public testing::Test {
  protected:
    UartTest() { out(uart, kMcr, kOut2); }
    std::string drain() {
        std::string text;
        while ((in(uart, kLsr) & 1) != 0) text += static_cast<char>(in(uart, kData));
        return text;
    }
    std::string output;
    Wire irq;
    Uart16550 uart{[this](std::string_view s) { output += s; }, irq.line()};
};

TEST_F(UartTest, WritesComeOutAndTheTransmitterIsAlwaysReady) {
    for (char c : std::string_view{"hello"}) {
        EXPECT_EQ(in(uart, kLsr) & 0x60, 0x60);
        out(uart, kData, static_cast<std::uint8_t>(c));
    }
    EXPECT_EQ(output, "hello");
}

TEST_F(UartTest, TheDivisorHidesDataAndInterruptEnable) {
    out(uart, kIer, 0x05);
    out(uart, kLcr, 0x83);
    out(uart, kData, 0x01);
    out(uart, kIer, 0x02);
    EXPECT_EQ(in(uart, kData), 0x01);
    EXPECT_EQ(in(uart, kIer), 0x02);
    out(uart, kLcr, 0x03);
    EXPECT_EQ(in(uart, kIer), 0x05);
    EXPECT_EQ(output, "");
}

// What Linux's 8250 driver does to tell a 16550A from its ancestors.
TEST_F(UartTest, LooksLikeA16550A) {
    out(uart, kIer, 0x00);
    EXPECT_EQ(in(uart, kIer), 0x00);
    out(uart, kIer, 0xff);
    EXPECT_EQ(in(uart, kIer), 0x0f);
    out(uart, kIer, 0x00);
    out(uart, kMcr, 0x10 | kOut2 | 0x02);
    EXPECT_EQ(in(uart, kMsr) & 0xf0, 0x90) << "loopback shows RTS as CTS, OUT2 as DCD";
    out(uart, kMcr, kOut2);
    out(uart, kFcr, 0x01);
    EXPECT_EQ(in(uart, kIir) >> 6, 3);
    out(uart, kFcr, 0x00);
    EXPECT_EQ(in(uart, kIir) >> 6, 0);
    out(uart, kScratch, 0x5a);
    EXPECT_EQ(in(uart, kScratch), 0x5a);
}

// Linux's tests for chips that do not raise, or do not raise again, the THR interrupt.
TEST_F(UartTest, EnablingTheThrInterruptRaisesItEachTime) {
    for (int i = 0; i < 2; ++i) {
        out(uart, kIer, 0x02);
        EXPECT_EQ(irq.level, Level::high);
        EXPECT_EQ(in(uart, kIir) & 0x0f, 0x02);
        EXPECT_EQ(irq.level, Level::low) << "reading IIR took it";
        EXPECT_EQ(in(uart, kIir) & 0x0f, 0x01);
        out(uart, kIer, 0x00);
    }
}

TEST_F(UartTest, EachByteSentRaisesTheThrInterruptAgain) {
    out(uart, kIer, 0x02);
    in(uart, kIir);
    out(uart, kData, 'x');
    EXPECT_EQ(irq.level, Level::high);
    EXPECT_EQ(in(uart, kIir) & 0x0f, 0x02);
    EXPECT_EQ(irq.level, Level::low);
}

TEST_F(UartTest, Out2GatesTheInterrupt) {
    out(uart, kMcr, 0);
    out(uart, kIer, 0x02);
    EXPECT_EQ(irq.level, Level::low);
    out(uart, kMcr, kOut2);
    EXPECT_EQ(irq.level, Level::high);
}

TEST_F(UartTest, ReceivedBytesRaiseAnInterruptUntilRead) {
    out(uart, kFcr, 0x81);  // FIFO, trigger at 8
    out(uart, kIer, 0x01);
    EXPECT_EQ(uart.receive("abc"), 3u);
    EXPECT_EQ(irq.level, Level::high);
    EXPECT_EQ(in(uart, kIir) & 0x0f, 0x0c) << "fewer than the trigger level: time-out";
    uart.receive("defghij");
    EXPECT_EQ(in(uart, kIir) & 0x0f, 0x04);
    EXPECT_EQ(drain(), "abcdefghij");
    EXPECT_EQ(irq.level, Level::low);
    EXPECT_EQ(in(uart, kIir) & 0x0f, 0x01);
}

TEST_F(UartTest, InputLongerThanTheFifoIsNotOverrun) {
    const std::string text(1000, 'q');
    EXPECT_EQ(uart.receive(text), text.size());
    EXPECT_EQ(drain(), text);
}

TEST_F(UartTest, AFullInputQueueTakesNoMore) {
    const std::string text(Uart16550::kInputLimit + 500, 'z');
    const std::size_t taken = uart.receive(text);
    EXPECT_GE(taken, Uart16550::kInputLimit);
    EXPECT_LT(taken, text.size());
    const std::size_t more = uart.receive(text);
    EXPECT_LE(more, 1u) << "what moved to the receive register";
    EXPECT_EQ(uart.receive("a"), 0u);
    EXPECT_EQ(drain().size(), taken + more);
    EXPECT_EQ(uart.receive("a"), 1u);
}

TEST_F(UartTest, LoopbackReturnsWhatIsSentAndOverruns) {
    out(uart, kFcr, 0x01);
    out(uart, kMcr, 0x10 | kOut2);
    for (int i = 0; i < 17; ++i) out(uart, kData, static_cast<std::uint8_t>('a' + i));
    EXPECT_EQ(output, "");
    EXPECT_NE(in(uart, kLsr) & 0x02, 0) << "the 17th byte overran";
    EXPECT_EQ(in(uart, kLsr) & 0x02, 0) << "told once";
    EXPECT_EQ(drain(), "abcdefghijklmnop");
}

TEST_F(UartTest, ModemChangesAreToldOnce) {
    in(uart, kMsr);
    out(uart, kIer, 0x08);
    out(uart, kMcr, 0x10);  // all outputs off: CTS, DSR and DCD fall
    EXPECT_EQ(in(uart, kIir) & 0x0f, 0x00);
    EXPECT_EQ(in(uart, kMsr), 0x0b);
    EXPECT_EQ(in(uart, kMsr), 0x00);
    EXPECT_EQ(in(uart, kIir) & 0x0f, 0x01);
}

TEST_F(UartTest, ClearingTheFifoDropsWhatIsInIt) {
    out(uart, kFcr, 0x01);
    uart.receive("old");
    out(uart, kFcr, 0x03);
    EXPECT_EQ(in(uart, kLsr) & 1, 0);
    uart.receive("new");
    EXPECT_EQ(drain(), "new");
}

}  // namespace
}  // namespace vsmp
