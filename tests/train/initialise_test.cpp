// SPDX-License-Identifier: Apache-2.0
// First weights from somewhere else, reported name by name.
#include "athanor/train/initialise.hpp"

#include <unistd.h>

#include <filesystem>

#include "athanor/checkpoint/checkpoint_folder.hpp"
#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/train/weights.hpp"
#include "tests/core/error_of.hpp"
#include "tests/train/training.hpp"

namespace athanor::testing::initialise_test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class InitialiseFrom : public ::testing::Test {
 protected:
  InitialiseFrom() : root_(fs::temp_directory_path() / ("athanor-initialise-" + std::to_string(::getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~InitialiseFrom() override { fs::remove_all(root_); }
  [[nodiscard]] fs::path file(const NamedTensors& tensors) const {
    write_safetensors(root_ / "w.safetensors", tensors);
    return root_ / "w.safetensors";
  }
  fs::path root_;
  Classifier from_{1}, to_{2};
};

TEST_F(InitialiseFrom, EverythingUnderTheSameNames) {
  save_weights(from_.nets(), root_ / "w.safetensors");
  const InitialiseReport report = initialise_from(to_.nets(), root_ / "w.safetensors");
  expect_same(weights_of(from_), weights_of(to_));
  EXPECT_EQ(report.loaded.size(), named_tensors(to_.nets()).size());
  EXPECT_THAT(report.missing, IsEmpty());
}

TEST_F(InitialiseFrom, PrefixAndNamesAreMapped) {
  NamedTensors renamed;
  for (const auto& [name, tensor] : named_tensors(from_.nets())) {
    renamed.emplace_back("module." + (name.starts_with("in.") ? "stem." + name.substr(3) : name), tensor);
  }
  renamed.emplace_back("optimizer.step", torch::zeros({}));
  const InitialiseReport report =
      initialise_from(to_.nets(), file(renamed), {.prefix = "module.", .names = {{"stem.*", "in.*"}}});
  expect_same(weights_of(from_), weights_of(to_));
  EXPECT_THAT(report.loaded, ::testing::Contains(Pair("module.stem.weight", "in.weight")));
}

TEST_F(InitialiseFrom, PartsAreReportedNameByName) {
  const NamedTensors all = named_tensors(from_.nets());
  NamedTensors some{{"extra", torch::zeros({1})}, {"out.weight", torch::zeros({7, 8})}};
  for (const auto& [name, tensor] : all) {
    if (name.starts_with("in.")) some.emplace_back(name, tensor);
  }
  const Tree before = weights_of(to_);
  const Error::Parts parts = error_of([&] { static_cast<void>(initialise_from(to_.nets(), file(some))); });
  EXPECT_EQ(parts.what, "weights can't be taken over; nothing was loaded");
  EXPECT_THAT(parts.got, HasSubstr("missing in the file: out.bias"));
  EXPECT_THAT(parts.got, HasSubstr("only in the file: extra"));
  EXPECT_THAT(parts.got,
              HasSubstr("of another shape: out.weight: float32 (7, 8) in the file, float32 (3, 8) in the nets"));
  expect_same(before, weights_of(to_));

  const InitialiseReport report = initialise_from(
      to_.nets(), file(some), {.allow_missing = true, .allow_unexpected = true, .allow_mismatched = true});
  EXPECT_THAT(report.loaded, ElementsAre(Pair("in.weight", "in.weight"), Pair("in.bias", "in.bias")));
  EXPECT_THAT(report.unexpected, ElementsAre("extra"));
  EXPECT_THAT(report.mismatched, ElementsAre("out.weight: float32 (7, 8) in the file, float32 (3, 8) in the nets"));
  EXPECT_THAT(report.describe(), HasSubstr("loaded: in.weight\n"));
  EXPECT_THAT(report.describe(), HasSubstr("missing in the file, kept: out.bias\n"));
  expect_same(weights_of(from_)["in.weight"], weights_of(to_)["in.weight"]);
  expect_same(before["out.weight"], weights_of(to_)["out.weight"]);
}

TEST_F(InitialiseFrom, NothingAtAllIsRefusedWhateverIsAllowed) {
  const Error::Parts parts = error_of([&] {
    static_cast<void>(initialise_from(to_.nets(), file({{"other", torch::zeros({1})}}),
                                      {.allow_missing = true, .allow_unexpected = true, .allow_mismatched = true}));
  });
  EXPECT_THAT(parts.got, HasSubstr("nothing that could be loaded"));
}

TEST_F(InitialiseFrom, NamesThatMeetAndPatternsThatDoNotFitAreRefused) {
  const fs::path path = file({{"a.weight", torch::zeros({1})}, {"b.weight", torch::zeros({1})}});
  EXPECT_EQ(error_of([&] {
              static_cast<void>(initialise_from(to_.nets(), path, {.names = {{"a.*", "x.*"}, {"b.*", "x.*"}}}));
            }).what,
            "two tensors of a file get one name");
  EXPECT_EQ(error_of([&] {
              static_cast<void>(initialise_from(to_.nets(), path, {.names = {{"a.*", "x"}}}));
            }).what,
            "two names do not go together");
}

TEST_F(InitialiseFrom, ACheckpointIsVerifiedFirst) {
  Tree weights = weights_of(from_);
  write_weights_checkpoint(root_ / "000001-epoch-1-step-1", weights, Tree::Dictionary{});
  static_cast<void>(initialise_from(to_.nets(), root_ / "000001-epoch-1-step-1"));
  expect_same(weights_of(from_), weights_of(to_));
  fs::resize_file(root_ / "000001-epoch-1-step-1" / "weights.safetensors", 100);
  EXPECT_EQ(error_of([&] { static_cast<void>(initialise_from(to_.nets(), root_ / "000001-epoch-1-step-1")); }).what,
            "a checkpoint is damaged; nothing was loaded");
  EXPECT_EQ(error_of([&] { static_cast<void>(initialise_from(to_.nets(), root_)); }).what,
            "there are no weights at this place");
}

}  // namespace
}  // namespace athanor::testing::initialise_test
