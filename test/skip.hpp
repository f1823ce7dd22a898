// How a test says that it cannot run here.
#pragma once

#include <gtest/gtest.h>

// VSMP_SKIP() << why: ends the test (a function returning void) as skipped. Whatever is skipped for
// want of something begins with this word, so that one search over the logs finds it.
#define VSMP_SKIP() GTEST_SKIP() << "SKIPPED: "
