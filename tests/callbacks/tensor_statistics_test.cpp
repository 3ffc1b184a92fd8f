// SPDX-License-Identifier: Apache-2.0
// The statistics of tensors beside numpy's, run by layer_statistics_peer.py.
#include "athanor/callbacks/tensor_statistics.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <torch/torch.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "athanor/core/file.hpp"

namespace athanor::testing::tensor_statistics_test {
namespace {

class TensorStatisticsPython : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string name = (std::filesystem::temp_directory_path() / "athanor-statistics-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    const std::string command = std::string(ATHANOR_TEST_PYTHON) +
                                " " ATHANOR_SOURCE_DIR "/tests/callbacks/layer_statistics_peer.py " + folder_.string();
    ASSERT_EQ(std::system(command.c_str()), 0) << "numpy is needed in " << ATHANOR_TEST_PYTHON;
    std::ifstream file(folder_ / "statistics.json");
    reference_ = nlohmann::json::parse(file);
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }

  static torch::Tensor numbers_of(const std::string& name) {
    const MappedFile file(folder_ / (name + ".numbers"));
    torch::Tensor tensor = torch::zeros({static_cast<int64_t>(file.bytes().size() / sizeof(float))});
    std::memcpy(tensor.data_ptr(), file.bytes().data(), file.bytes().size());
    return tensor;
  }

  static void compare(const TensorStatistics& found, const nlohmann::json& wanted) {
    // Both sides add up in float64; what is left of the squares after the mean is taken away loses as many digits as
    // the mean is larger than the deviation.
    const double mean = wanted["mean"], deviation = wanted["standard_deviation"], norm = wanted["norm"];
    const double scale = std::max({std::abs(mean), deviation, 1e-300});
    const double lost = deviation > 0 ? 1 + (mean / deviation) * (mean / deviation) : 1;
    EXPECT_EQ(found.count, wanted["count"]);
    EXPECT_EQ(found.non_finite, wanted["non_finite"]);
    EXPECT_NEAR(found.mean, mean, 1e-12 * scale);
    EXPECT_NEAR(found.standard_deviation, deviation, 1e-12 * lost * std::max(deviation, 1e-300));
    EXPECT_EQ(found.minimum, wanted["minimum"]);
    EXPECT_EQ(found.maximum, wanted["maximum"]);
    EXPECT_NEAR(found.norm, norm, 1e-12 * norm);
    EXPECT_EQ(found.zeros, wanted["zeros"]);
    ASSERT_EQ(found.histogram.size(), wanted["histogram"].size());
    for (size_t i = 0; i < found.histogram.size(); ++i) {
      EXPECT_EQ(found.histogram[i].low, wanted["histogram"][i][0]) << i;
      EXPECT_EQ(found.histogram[i].high, wanted["histogram"][i][1]) << i;
      EXPECT_EQ(found.histogram[i].count, wanted["histogram"][i][2]) << i;
    }
  }

  inline static std::filesystem::path folder_;
  inline static nlohmann::json reference_;
};

TEST_F(TensorStatisticsPython, IsThatOfNumpy) {
  EXPECT_EQ(reference_.size(), 9u);
  for (const auto& [name, wanted] : reference_.items()) {
    SCOPED_TRACE(name);
    TensorSums sums;
    sums.add(numbers_of(name));
    compare(sums.result(), wanted);
  }
}

// What other devices than the CPU get.
TEST_F(TensorStatisticsPython, WithOperatorsToo) {
  for (const auto& [name, wanted] : reference_.items()) {
    SCOPED_TRACE(name);
    TensorSums sums;
    sums.add_with_operators(numbers_of(name));
    compare(sums.result(), wanted);
  }
}

TEST_F(TensorStatisticsPython, InPartsToo) {
  for (const auto& [name, wanted] : reference_.items()) {
    SCOPED_TRACE(name);
    const torch::Tensor all = numbers_of(name);
    TensorSums sums;
    for (int64_t begin = 0; begin < all.numel(); begin += 1237) {
      TensorSums part;
      part.add(all.slice(0, begin, begin + 1237));
      sums.merge(part);
    }
    compare(sums.result(), wanted);
  }
}

TEST(TensorStatistics, AnyLayoutAndDtype) {
  const torch::Tensor whole = torch::randn({6, 40, 30});
  TensorSums plain, strided, wide, brain;
  plain.add(whole.transpose(0, 2).contiguous());
  strided.add(whole.transpose(0, 2));
  wide.add(whole.to(torch::kDouble));
  EXPECT_EQ(plain.result(), strided.result());
  EXPECT_EQ(plain.result().histogram, wide.result().histogram);
  EXPECT_NEAR(plain.result().norm, wide.result().norm, 1e-12 * plain.result().norm);
  brain.add(whole.to(torch::kBFloat16));
  EXPECT_EQ(brain.result().count, 7200);
  EXPECT_EQ(brain.result().maximum, whole.to(torch::kBFloat16).max().item<double>());
}

TEST(TensorStatistics, Divided) {
  TensorSums sums;
  sums.add(torch::tensor({-4.0f, 8.0f}));
  const TensorStatistics all = sums.result(4);
  EXPECT_EQ(all.mean, 0.5);
  EXPECT_EQ(all.minimum, -1);
  EXPECT_EQ(all.maximum, 2);
  EXPECT_EQ(all.standard_deviation, 1.5);
  ASSERT_EQ(all.histogram.size(), 2u);
  EXPECT_EQ(all.histogram[1], (HistogramBin{2, 2.25, 1}));
  EXPECT_EQ(TensorStatistics::from_tree(all.to_tree()), all);
}

// A bin is counted in pieces, by counters of 16 bits.
TEST(TensorStatistics, MillionsOfOneNumber) {
  constexpr int64_t count = (1 << 20) + 7, far = 400'000;
  torch::Tensor numbers = torch::full({count}, -1.5f);
  numbers[far] = std::numeric_limits<float>::quiet_NaN();
  numbers[far + 1] = 2;
  numbers[count - 1] = 0;
  TensorSums sums;
  sums.add(numbers);
  const TensorStatistics all = sums.result();
  EXPECT_EQ(all.count, count);
  EXPECT_EQ(all.non_finite, 1);
  EXPECT_EQ(all.mean, (-1.5 * (count - 3) + 2) / (count - 1));
  EXPECT_EQ(all.minimum, -1.5);
  EXPECT_EQ(all.maximum, 2);
  EXPECT_EQ(all.zeros, 1.0 / count);
  ASSERT_EQ(all.histogram.size(), 3u);
  EXPECT_EQ(all.histogram[0], (HistogramBin{-1.625, -1.5, count - 3}));
  EXPECT_EQ(all.histogram[1].count, 1);
  EXPECT_EQ(all.histogram[2], (HistogramBin{2, 2.25, 1}));
}

TEST(TensorStatistics, NothingIsNoNumber) {
  TensorSums sums;
  sums.add(torch::zeros({0}));
  EXPECT_TRUE(sums.empty());
  EXPECT_EQ(sums.result(), TensorStatistics());
}

TEST(TensorStatistics, Change) {
  const torch::Tensor before = torch::randn({123, 45}), after = before + 0.1;
  for (const bool plain : {true, false}) {
    const torch::Tensor x = plain ? before : before.t(), y = plain ? after : after.t();
    const ChangeNorms norms = norms_of_change(x, y);
    // float64 sums of the float32 numbers on both sides.
    const double change = (after.to(torch::kDouble) - before.to(torch::kDouble)).norm().item<double>();
    EXPECT_NEAR(norms.change, change, 1e-12 * change);
    EXPECT_NEAR(norms.before, before.to(torch::kDouble).norm().item<double>(), 1e-10);
  }
}

}  // namespace
}  // namespace athanor::testing::tensor_statistics_test
