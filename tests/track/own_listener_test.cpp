// SPDX-License-Identifier: Apache-2.0
#include "tests/track/own_listener.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "athanor/track/listener_thread.hpp"
#include "tests/track/tracking.hpp"

namespace athanor::testing::own_listener_test {
namespace {

TEST(OwnListener, OfTheDocumentsWorks) {
  std::vector<std::string> bodies;
  const auto service =
      track::on_thread(std::make_shared<MyService>([&](const std::string& body) { bodies.push_back(body); }));
  History history;
  service->on_run_begin({.history = &history});
  service->on_step({.step = 50, .values = {{"loss", 0.5}, {"lr", 0.25}}});
  history.add({.number = 1, .steps = 60, .values = {{"val_loss", 1}}});
  service->on_epoch_end({.epoch = history.last()});
  service->on_run_end({.history = history});
  EXPECT_THAT(bodies, ::testing::ElementsAre("step=50&loss=0.500000&lr=0.250000", "step=60&val_loss=1.000000"));
}

TEST(OwnListener, IsTheOneInTheDocuments) {
  const std::string source = text_of(ATHANOR_SOURCE_DIR "/tests/track/own_listener.hpp");
  const size_t begin = source.find("// begin\n") + 9;
  const std::string code = source.substr(begin, source.find("// end\n") - begin);
  EXPECT_LE(std::count(code.begin(), code.end(), '\n'), 20);
  EXPECT_NE(text_of(ATHANOR_SOURCE_DIR "/docs/tracking.md").find("```cpp\n" + code), std::string::npos);
}

}  // namespace
}  // namespace athanor::testing::own_listener_test
