// SPDX-License-Identifier: Apache-2.0
// The summary beside torchinfo, on the same nets: live where Python has torchinfo, and as it was recorded by
// summary_peer.py --record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "athanor/nn/summary.hpp"
#include "tests/nn/summary_nets.hpp"

namespace athanor::testing::summary_python_test {
namespace {

using Json = nlohmann::json;
using Shape = std::vector<int64_t>;

Json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return Json::parse(file);
}

const Json& recorded() {
  static const Json json = read_json(ATHANOR_SOURCE_DIR "/tests/nn/summary_reference.json");
  return json;
}

/// Empty when torchinfo is missing.
const Json& live() {
  static const Json json = [] {
    std::string name = (std::filesystem::temp_directory_path() / "athanor-summary-XXXXXX").string();
    const std::filesystem::path folder = ::mkdtemp(name.data());
    const std::string command = std::string(ATHANOR_TEST_PYTHON) +
                                " -W ignore " ATHANOR_SOURCE_DIR "/tests/nn/summary_peer.py " + folder.string();
    const int status = std::system(command.c_str());
    Json found;
    if (status == 0) found = read_json(folder / "summary.json");
    std::filesystem::remove_all(folder);
    EXPECT_TRUE(status == 0 || WEXITSTATUS(status) == 3) << "summary_peer.py failed";
    return found;
  }();
  return json;
}

/// The shapes that torchinfo saw. Where the forward() of a module leaves a doubt, its shape must be among the possible.
void expect_shapes(const Summary& summary, const Json& shapes, int allowed_doubts) {
  int doubts = 0;
  for (const auto& [path, shape] : shapes.items()) {
    const auto layer = std::find_if(summary.layers.begin(), summary.layers.end(),
                                    [&path = path](const Summary::Layer& each) { return each.path == path; });
    ASSERT_NE(layer, summary.layers.end()) << path;
    EXPECT_THAT(layer->shapes, ::testing::Contains(shape.get<Shape>())) << path << " " << layer->note;
    if (layer->output != Summary::Output::known) ++doubts;
  }
  EXPECT_LE(doubts, allowed_doubts);
}

void compare(const NetCase& each, const Json& reference) {
  SCOPED_TRACE(each.name);
  const Summary found = summary(each.net, each.example);
  EXPECT_EQ(found.parameters, reference["parameters"]);
  EXPECT_EQ(found.trainable, reference["trainable"]);
  EXPECT_EQ(found.frozen, reference["frozen"]);
  auto multiply_adds = reference["multiply_adds"].get<int64_t>();
  for (const auto& [reason, count] : reference["corrections"].items()) multiply_adds += count.get<int64_t>();
  EXPECT_EQ(found.multiply_adds, multiply_adds);
  expect_shapes(found, reference["shapes"], 0);
  // Torchinfo does not see the projections inside of attention.
  if (each.name == "encoder" || each.name == "transformer") return;
  EXPECT_EQ(found.activation_bytes, reference["activation_bytes"]);
}

TEST(SummaryPython, IsWhatTorchinfoSaid) {
  for (const NetCase& each : summary_nets()) compare(each, recorded()[each.name]);
}

TEST(SummaryPython, IsWhatTorchinfoSays) {
  if (live().empty()) GTEST_SKIP() << "torchinfo is not in " << ATHANOR_TEST_PYTHON << "; the recorded one is compared";
  for (const NetCase& each : summary_nets()) compare(each, live()[each.name]);
}

// Torchinfo's own formulas are corrected in the script, and only where they are wrong: most nets need none.
TEST(SummaryPython, MostNetsNeedNoCorrection) {
  int plain = 0;
  for (const auto& [name, entry] : recorded().items()) plain += entry["corrections"].empty() ? 1 : 0;
  EXPECT_EQ(recorded().size(), 13u);
  EXPECT_EQ(plain, 9);
}

}  // namespace
}  // namespace athanor::testing::summary_python_test
