// SPDX-License-Identifier: Apache-2.0
// What torchvision made of the images here, as torchvision_peer.py recorded it.
#pragma once

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace athanor::testing {

using References = std::map<std::string, std::vector<double>>;

inline References read_references(const std::string& path) {
  References references;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    for (double number = 0; words >> number;) references[name].push_back(number);
  }
  return references;
}

inline References torchvision_references() {
  return read_references(ATHANOR_SOURCE_DIR "/tests/callbacks/torchvision_reference.txt");
}

/// float32 (3, 2, 5, 6)
inline torch::Tensor reference_images() {
  return ((torch::arange(3 * 2 * 5 * 6) * 37).remainder(19) - 9).to(torch::kFloat).div(8).view({3, 2, 5, 6});
}
inline torch::Tensor reference_labels() { return torch::tensor({2, 0, 3}, torch::kLong); }

/// Numbers of size 1, made of two products and a sum in float32 on both sides: a few units in the last place.
inline void expect_reference(const std::vector<torch::Tensor>& ours, const std::vector<double>& theirs,
                             const std::string& name) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& tensor : ours) flat.push_back(tensor.to(torch::kDouble).flatten());
  const torch::Tensor all = torch::cat(flat);
  ASSERT_EQ(static_cast<size_t>(all.numel()), theirs.size()) << name;
  const torch::Tensor expected = torch::tensor(theirs, torch::kDouble);
  EXPECT_LT((all - expected).abs().max().item<double>(), 1e-6) << name;
}

}  // namespace athanor::testing
