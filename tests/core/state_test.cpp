// SPDX-License-Identifier: Apache-2.0
// The walk that saves and loads: misfits are told all at once and change nothing; loading keeps addresses and strides.
#include "athanor/core/state.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/core/error_of.hpp"

namespace athanor::state_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Inner {
  at::Tensor average = at::zeros({3});
  int64_t steps = 0;
  void state(State& state) {
    state.tensor("average", average);
    state.value("steps", steps);
  }
};

struct Outer {
  Inner first, second;
  at::Tensor weight = at::zeros({2, 3});
  bool flag = false;
  int small = 0;
  uint64_t key = 0;
  double rate = 0;
  std::string name;
  Tree history;
  void state(State& state) {
    state.child("first", first);
    state.child("second", second);
    state.tensor("weight", weight);
    state.value("flag", flag);
    state.value("small", small);
    state.value("key", key);
    state.value("rate", rate);
    state.value("name", name);
    state.value("history", history);
  }
};

Outer filled() {
  Outer outer;
  outer.first.average = at::arange(3).to(at::kFloat);
  outer.first.steps = 5;
  outer.second.average = at::full({3}, 7.0F);
  outer.second.steps = -6;
  outer.weight = at::arange(6).to(at::kFloat).reshape({2, 3});
  outer.flag = true;
  outer.small = -9;
  outer.key = UINT64_MAX - 1;
  outer.rate = 0.1;
  outer.name = "é";
  outer.history = {{"loss", Tree::list({0.5, 0.25})}, {"epochs", 2}};
  return outer;
}

/// A class whose parts are given by the test.
struct Free {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  State::Shape shape = State::Shape::free;
  void state(State& state) {
    for (auto& [name, tensor] : tensors) state.tensor(name, tensor, shape);
  }
};

TEST(StateTest, AllDifferencesAreToldAtOnceAndNothingIsChanged) {
  Outer source = filled();
  Tree saved = save_state(source);
  saved.at_or_insert("weight") = at::zeros({2, 4});
  saved.at_or_insert("flag") = 1;
  saved.at_or_insert("extra") = 1;
  saved.at_or_insert("first").at_or_insert("average") = at::zeros({3}, at::kDouble);
  saved.at_or_insert("first").at_or_insert("more") = at::zeros({1});
  saved.at_or_insert("second") = "text";
  auto& entries = saved.entries();
  std::erase_if(entries, [](const Tree::Entry& entry) { return entry.first == "rate"; });

  Outer object;
  const Tree before = save_state(object).map([](const at::Tensor& tensor) { return tensor.clone(); });
  EXPECT_THAT(check_state(object, saved),
              ElementsAre("different: first.average is float32 (3), saved is float64 (3)", "unexpected: first.more",
                          "of another kind: second is saved as \"text\"",
                          "different: weight is float32 (2, 3), saved is float32 (2, 4)",
                          "of another kind: flag is saved as 1", "missing: rate", "unexpected: extra"));
  const auto parts = error_of([&] { load_state(object, saved); });
  EXPECT_EQ(parts.what, "a saved state does not fit");
  for (const auto& difference : check_state(object, saved)) EXPECT_THAT(parts.got, HasSubstr(difference));
  EXPECT_FALSE(parts.todo.empty());
  EXPECT_THAT(compare_states(before, save_state(object)), IsEmpty());
}

TEST(StateTest, ALongListOfDifferencesIsCutWithTheirNumber) {
  Free object;
  for (int i = 0; i < 30; ++i) object.tensors.emplace_back("t" + std::to_string(i), at::zeros({1}));
  const auto parts = error_of([&] { load_state(object, Tree(Tree::Dictionary{})); });
  EXPECT_THAT(parts.got, HasSubstr("missing: t19"));
  EXPECT_THAT(parts.got, ::testing::Not(HasSubstr("t20")));
  EXPECT_THAT(parts.got, HasSubstr("and 10 more"));
}

TEST(StateTest, SomethingThatIsNoStateIsRefused) {
  Inner object;
  object.steps = 4;
  EXPECT_THAT(check_state(object, Tree()), ElementsAre("missing: average", "missing: steps"));
  EXPECT_THAT(check_state(object, Tree(3)), ElementsAre("missing: average", "missing: steps"));
  error_of([&] { load_state(object, Tree("text")); });
  EXPECT_EQ(object.steps, 4);
}

TEST(StateTest, ATensorIsNotLoadedFromANumberNorFromNothing) {
  Inner object;
  EXPECT_THAT(check_state(object, Tree{{"average", 3}, {"steps", 1}}),
              ElementsAre("of another kind: average is saved as 3"));
  EXPECT_THAT(check_state(object, Tree{{"average", Tree()}, {"steps", 1}}),
              ElementsAre("different: average is float32 (3), saved is nothing"));
  EXPECT_THAT(check_state(object, Tree{{"average", at::zeros({3})}, {"steps", 1.0}}),
              ElementsAre("of another kind: steps is saved as 1"));
}

TEST(StateTest, TwoPartsOfOneNameAreRefusedWhenSaving) {
  Free object;
  object.tensors = {{"same", at::zeros({1})}, {"same", at::zeros({1})}};
  const auto parts = error_of([&] { static_cast<void>(save_state(object)); });
  EXPECT_EQ(parts.what, "two parts of a state have the same name");
  EXPECT_EQ(parts.got, "same");
}

TEST(StateTest, WhatWasSavedIsLoadedInEveryKind) {
  Outer source = filled();
  const Tree saved = save_state(source);
  Outer object;
  load_state(object, saved);
  EXPECT_EQ(object.first.steps, 5);
  EXPECT_EQ(object.second.steps, -6);
  EXPECT_EQ(object.flag, true);
  EXPECT_EQ(object.small, -9);
  EXPECT_EQ(object.key, UINT64_MAX - 1);
  EXPECT_EQ(object.rate, 0.1);
  EXPECT_EQ(object.name, "é");
  EXPECT_EQ(object.history.describe(), source.history.describe());
  EXPECT_TRUE(at::equal(object.first.average, source.first.average));
  EXPECT_TRUE(at::equal(object.second.average, source.second.average));
  EXPECT_TRUE(at::equal(object.weight, source.weight));
  EXPECT_THAT(compare_states(saved, save_state(object)), IsEmpty());
}

TEST(StateTest, WhatWasSavedIsACopyInTime) {
  Outer object = filled();
  const Tree saved = save_state(object);
  object.weight.fill_(99);
  object.first.steps = 99;
  EXPECT_EQ(saved["weight"].tensor()[0][1].item<float>(), 1);
  EXPECT_EQ(saved["first"]["steps"].integer(), 5);
  load_state(object, saved);
  object.weight.fill_(98);
  EXPECT_EQ(saved["weight"].tensor()[0][1].item<float>(), 1);
}

TEST(StateTest, LoadingKeepsAddressStridesAndViews) {
  Outer source = filled();
  Outer object;
  object.weight = at::zeros({3, 2}).t();
  const at::Tensor view = object.weight.select(0, 1);
  const void* address = object.weight.data_ptr();
  const auto strides = object.weight.strides().vec();
  const auto* implementation = object.weight.unsafeGetTensorImpl();
  load_state(object, save_state(source));
  EXPECT_EQ(object.weight.data_ptr(), address);
  EXPECT_EQ(object.weight.strides().vec(), strides);
  EXPECT_EQ(object.weight.unsafeGetTensorImpl(), implementation);
  EXPECT_TRUE(at::equal(object.weight, source.weight));
  EXPECT_TRUE(at::equal(view, source.weight.select(0, 1)));
}

TEST(StateTest, AParameterIsLoadedWithoutARecordOfIt) {
  Inner object;
  object.average = at::zeros({3}).requires_grad_();
  Inner source;
  source.average = at::full({3}, 2.0F).requires_grad_();
  Tree saved = save_state(source);
  EXPECT_FALSE(saved["average"].tensor().requires_grad());
  const auto version = object.average._version();
  load_state(object, saved);
  EXPECT_TRUE(object.average.requires_grad());
  EXPECT_TRUE(object.average.is_leaf());
  EXPECT_EQ(object.average.sum().item<float>(), 6);
  EXPECT_GT(object.average._version(), version);  // so that a backward pass over the old values is refused
}

TEST(StateTest, AFreeShapeTakesWhatWasSaved) {
  Free source;
  source.tensors = {{"grown", at::arange(5)}, {"gone", at::Tensor()}, {"new", at::zeros({2}, at::kDouble)}};
  const Tree saved = save_state(source);
  Free object;
  object.tensors = {{"grown", at::zeros({2}, at::kLong)}, {"gone", at::zeros({3})}, {"new", at::Tensor()}};
  EXPECT_THAT(check_state(object, saved), IsEmpty());
  load_state(object, saved);
  EXPECT_TRUE(at::equal(object.tensors[0].second, at::arange(5)));
  EXPECT_FALSE(object.tensors[1].second.defined());
  EXPECT_EQ(object.tensors[2].second.scalar_type(), at::kDouble);
  object.tensors[0].second.fill_(0);
  EXPECT_EQ(saved["grown"].tensor()[4].item<int64_t>(), 4);
}

TEST(StateTest, AFreeShapeOfEqualSizeIsLoadedInPlace) {
  Free source;
  source.tensors = {{"t", at::arange(5)}};
  Free object;
  object.tensors = {{"t", at::zeros({5}, at::kLong)}};
  const void* address = object.tensors[0].second.data_ptr();
  load_state(object, save_state(source));
  EXPECT_EQ(object.tensors[0].second.data_ptr(), address);
  EXPECT_TRUE(at::equal(object.tensors[0].second, at::arange(5)));
}

TEST(StateTest, AnUndefinedFixedTensorTakesACopy) {
  Free source;
  source.tensors = {{"t", at::arange(5)}};
  const Tree saved = save_state(source);
  Free object;
  object.shape = State::Shape::fixed;
  object.tensors = {{"t", at::Tensor()}};
  load_state(object, saved);
  EXPECT_TRUE(at::equal(object.tensors[0].second, at::arange(5)));
  EXPECT_NE(object.tensors[0].second.data_ptr(), saved["t"].tensor().data_ptr());
}

/// A class that reads its names out of the saved state.
struct Dynamic {
  std::vector<std::string> names;
  Free parts;
  void state(State& state) {
    Tree list = Tree::List{};
    for (const auto& name : names) list.items().emplace_back(name);
    state.value("names", list);
    if (state.loading()) {
      names.clear();
      parts.tensors.clear();
      for (const Tree& name : list.items()) {
        names.push_back(name.text());
        parts.tensors.emplace_back(name.text(), at::Tensor());
      }
    }
    state.child("parts", parts, State::Shape::free);
  }
};

TEST(StateTest, AFreeChildMayHaveOtherNames) {
  Dynamic source;
  source.names = {"a", "b"};
  source.parts.tensors = {{"a", at::arange(2)}, {"b", at::arange(3)}};
  Dynamic object;
  object.names = {"c"};
  object.parts.tensors = {{"c", at::arange(9)}};
  const Tree saved = save_state(source);
  load_state(object, saved);
  EXPECT_THAT(compare_states(saved, save_state(object)), IsEmpty());
}

TEST(StateTest, SavingIntoAnOldTreeUsesItsMemoryAgain) {
  Outer object = filled();
  Tree arena = save_state(object);
  const void* weight = arena["weight"].tensor().data_ptr();
  const void* average = arena["second"]["average"].tensor().data_ptr();
  object.weight.fill_(3);
  object.second.average.fill_(4);
  object.rate = 0.7;
  save_state(object, arena);
  EXPECT_EQ(arena["weight"].tensor().data_ptr(), weight);
  EXPECT_EQ(arena["second"]["average"].tensor().data_ptr(), average);
  EXPECT_THAT(compare_states(arena, save_state(object)), IsEmpty());
}

TEST(StateTest, SavingIntoTheTreeOfAnotherObjectLeavesNothingOfIt) {
  Dynamic old;
  old.names = {"a", "b"};
  old.parts.tensors = {{"a", at::arange(2)}, {"b", at::arange(3)}};
  Tree arena = save_state(old);
  arena.at_or_insert("stale") = 1;
  Dynamic object;
  object.names = {"b"};
  object.parts.tensors = {{"b", at::arange(7)}};
  save_state(object, arena);
  EXPECT_THAT(compare_states(arena, save_state(object)), IsEmpty());
  EXPECT_EQ(arena.find("stale"), nullptr);
  EXPECT_EQ(arena["parts"].find("a"), nullptr);
}

TEST(StateTest, AChildIsSavedWhereAnOldTreeHasSomethingElse) {
  Outer object = filled();
  Tree arena{{"first", at::zeros({1})}, {"weight", Tree::list({})}};
  save_state(object, arena);
  EXPECT_THAT(compare_states(arena, save_state(object)), IsEmpty());
}

TEST(StateTest, AnUndefinedTensorIsSavedAsNothingAndEmptiesAnOldTree) {
  Free object;
  object.tensors = {{"t", at::arange(3)}};
  Tree arena = save_state(object);
  object.tensors[0].second = at::Tensor();
  save_state(object, arena);
  EXPECT_TRUE(arena["t"].empty());
}

TEST(StateTest, ComparingLooksAtBitsAndTellsBothSides) {
  const double nan = std::nan("");
  const Tree left{{"nan", at::full({2}, nan)}, {"zero", at::zeros({2})}, {"number", nan}, {"left", 1}, {"same", "x"}};
  const Tree right{
      {"nan", at::full({2}, nan)}, {"zero", -at::zeros({2})}, {"number", nan}, {"right", 1}, {"same", "x"}};
  EXPECT_THAT(compare_states(left, left), IsEmpty());
  EXPECT_THAT(compare_states(left, right),
              ElementsAre("different: zero: float32 (2) and float32 (2)", "only left: left", "only right: right"));
  EXPECT_THAT(compare_states(Tree{{"x", 1}}, Tree{{"x", 1.0}}), ElementsAre("different: x: 1 and 1"));
  EXPECT_THAT(compare_states(Tree{{"x", -0.0}}, Tree{{"x", 0.0}}).size(), 1U);
  EXPECT_THAT(compare_states(Tree{{"x", true}}, Tree{{"x", false}}).size(), 1U);
  EXPECT_THAT(compare_states(Tree{{"x", at::zeros({2})}}, Tree{{"x", at::zeros({2, 1})}}).size(), 1U);
}

TEST(StateTest, NaNAndSignedZeroSurviveByTheirBits) {
  struct Bits {
    at::Tensor tensor;
    double number = 0;
    void state(State& state) {
      state.tensor("tensor", tensor);
      state.value("number", number);
    }
  };
  Bits source;
  source.tensor = at::zeros({3});
  auto* words = static_cast<uint32_t*>(source.tensor.mutable_data_ptr());
  words[0] = 0x7fc12345;  // a NaN with a payload
  words[1] = 0x80000000;
  words[2] = 0xff800000;
  source.number = std::bit_cast<double>(uint64_t{0xfff8000000054321});
  Bits object;
  object.tensor = at::zeros({3});
  load_state(object, save_state(source));
  const auto* loaded = static_cast<const uint32_t*>(object.tensor.const_data_ptr());
  EXPECT_EQ(std::vector<uint32_t>(loaded, loaded + 3), (std::vector<uint32_t>{0x7fc12345, 0x80000000, 0xff800000}));
  EXPECT_EQ(std::bit_cast<uint64_t>(object.number), 0xfff8000000054321);
}

TEST(StateTest, ListsEveryPathWithWhatItHolds) {
  Inner inner;
  EXPECT_THAT(list_state(Tree{{"inner", save_state(inner)}}),
              ElementsAre("inner.average  float32 (3)", "inner.steps  0"));
}

}  // namespace
}  // namespace athanor::state_test
