#include "vmm/config/printable.hpp"

#include <gtest/gtest.h>

namespace vsmp {
namespace {

TEST(Printable, LeavesTextAsItIs) {
    EXPECT_EQ(printable("a b\tc"), "a b\tc");
    EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
    EXPECT_EQ(printable("\xe2\x82\xac"), "\xe2\x82\xac");  // the euro sign
}

TEST(Printable, ShowsWhatWouldCommandATerminal) {
    EXPECT_EQ(printable("a\nb"), "a\\x0ab");
    EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
    EXPECT_EQ(printable("\x7f"), "\\x7f");
    EXPECT_EQ(printable("\xc2\x9b"
                        "2J"),
              "\\xc2\\x9b2J");  // CSI, U+009B
    EXPECT_EQ(printable("\xe2\x80\xae"
                        "txt"),
              "\\xe2\\x80\\xaetxt");  // U+202E
}

TEST(Printable, TakesTextThatIsCutOff) {
    EXPECT_EQ(printable("\xc2"), "\xc2");
    EXPECT_EQ(printable("\xe2\x80"), "\xe2\x80");
    EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace vsmp
