// SPDX-License-Identifier: Apache-2.0
// Data modules: what is called when, nesting, and errors on the way.
#include "athanor/data/data_module.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/core/error_of.hpp"
#include "tests/data/sources.hpp"

namespace athanor::data_module_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Purpose = DataModule::Purpose;

struct Recording : DataModule {
  std::vector<std::string> calls;
  std::string failing;
  int64_t stage = 3;

  void call(const std::string& name) {
    calls.push_back(name);
    if (name == failing) throw Error({.what = "no " + name});
  }
  static std::string named(Purpose purpose) { return std::to_string(static_cast<int>(purpose)); }
  void prepare() override { call("prepare"); }
  void setup(Purpose purpose) override { call("setup " + named(purpose)); }
  void teardown(Purpose purpose) override { call("teardown " + named(purpose)); }
  Data train() override { return rows(4); }
  std::vector<Data> validation() override { return {Data(rows(2)).named("clean"), Data(rows(3)).named("noisy")}; }
  void state(State& state) override { state.value("stage", stage); }
};

static_assert(!std::is_copy_constructible_v<DataModule> && !std::is_copy_constructible_v<DataModuleUse>);

TEST(DataModuleTest, APreparationThatFailsIsTriedAgainAndNothingIsSetUp) {
  Recording module;
  module.failing = "prepare";
  EXPECT_EQ(error_of([&] { DataModuleUse(module, Purpose::fit); }).what, "no prepare");
  module.failing = "";
  DataModuleUse(module, Purpose::fit);
  EXPECT_THAT(module.calls, ElementsAre("prepare", "prepare", "setup 0", "teardown 0"));
}

TEST(DataModuleTest, ASetupThatFailsIsNotTornDownAndDoneAgain) {
  Recording module;
  module.failing = "setup 1";
  EXPECT_EQ(error_of([&] { DataModuleUse(module, Purpose::validate); }).what, "no setup 1");
  EXPECT_THAT(module.calls, ElementsAre("prepare", "setup 1"));
  module.failing = "";
  DataModuleUse(module, Purpose::validate);
  EXPECT_THAT(module.calls, ElementsAre("prepare", "setup 1", "setup 1", "teardown 1"));
}

TEST(DataModuleTest, AnErrorInTheUseTearsDown) {
  Recording module;
  EXPECT_THROW(
      {
        const DataModuleUse use(module, Purpose::fit);
        throw std::runtime_error("the loss is nan");
      },
      std::runtime_error);
  EXPECT_THAT(module.calls, ElementsAre("prepare", "setup 0", "teardown 0"));
}

TEST(DataModuleTest, ATeardownThatFailsIsToldByFinishAndNotByTheDestructor) {
  Recording module;
  module.failing = "teardown 2";
  { const DataModuleUse use(module, Purpose::test); }
  DataModuleUse use(module, Purpose::test);
  EXPECT_EQ(error_of([&] { use.finish(); }).what, "no teardown 2");
  use.finish();
  EXPECT_THAT(module.calls, ElementsAre("prepare", "setup 2", "teardown 2", "setup 2", "teardown 2"));
}

TEST(DataModuleTest, PreparesOnceAndSetsUpForEachPurpose) {
  Recording module;
  DataModuleUse(module, Purpose::fit);
  DataModuleUse(module, Purpose::fit);
  DataModuleUse(module, Purpose::predict);
  EXPECT_THAT(module.calls,
              ElementsAre("prepare", "setup 0", "teardown 0", "setup 0", "teardown 0", "setup 3", "teardown 3"));
}

TEST(DataModuleTest, NestedUsesOfOnePurposeAreCounted) {
  Recording module;
  std::optional<DataModuleUse> first(std::in_place, module, Purpose::fit);
  std::optional<DataModuleUse> second(std::in_place, module, Purpose::fit);
  DataModuleUse(module, Purpose::fit);
  DataModuleUse(module, Purpose::test);
  first.reset();
  EXPECT_THAT(module.calls, ElementsAre("prepare", "setup 0", "setup 2", "teardown 2"));
  second->finish();
  EXPECT_EQ(module.calls.back(), "teardown 0");
  second.reset();
  EXPECT_EQ(module.calls.size(), 5U);
}

TEST(DataModuleTest, GivesItsDataAndNoneByDefault) {
  Recording module;
  EXPECT_EQ(module.train().dataset().size(), 4);
  EXPECT_EQ(module.validation()[1].name(), "noisy");
  DataModule nothing;
  DataModuleUse(nothing, Purpose::fit);
  EXPECT_FALSE(nothing.train().defined());
  EXPECT_FALSE(nothing.predict().defined());
  EXPECT_THAT(nothing.validation(), IsEmpty());
  EXPECT_THAT(nothing.test(), IsEmpty());
  EXPECT_EQ(save_state(nothing).size(), 0U);
}

TEST(DataModuleTest, ItsStateIsSavedAndLoaded) {
  Recording saved;
  saved.stage = 8;
  Recording loaded;
  load_state(loaded, save_state(saved));
  EXPECT_EQ(loaded.stage, 8);
}

}  // namespace
}  // namespace athanor::data_module_test
