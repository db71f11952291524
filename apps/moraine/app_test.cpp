// The table of options against real command lines; the ready block; texts for people.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "console.h"
#include "option_table.h"
#include "ready_block.h"

namespace moraine::app {
namespace {
TEST(Placeholder, X) {}
}  // namespace
}  // namespace moraine::app
