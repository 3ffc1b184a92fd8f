// SPDX-License-Identifier: Apache-2.0
// Rows by index into used memory: what may be written over and what may not, and every layout of the source.
#include "athanor/data/gather.hpp"

#include <ATen/ops/_neg_view.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "athanor/core/host.hpp"

namespace athanor::gather_test {
namespace {

const std::vector<int64_t> chosen{3, 0, 3};

at::Tensor index_of(const std::vector<int64_t>& indices) { return at::tensor(indices, at::kLong); }

void expect_rows(const at::Tensor& source, const std::vector<int64_t>& indices) {
  Tree into;
  gather(source, indices, into);
  const at::Tensor expected = at::index_select(source, 0, index_of(indices));
  EXPECT_EQ(into.tensor().scalar_type(), expected.scalar_type());
  EXPECT_TRUE(at::equal(into.tensor(), expected)) << into.describe();
}

TEST(GatherTest, RowsOfNothingAreNothing) {
  expect_rows(at::zeros({4, 0}), chosen);
  expect_rows(at::zeros({4, 2}), {});
  expect_rows(at::zeros({0, 2}), {});
}

TEST(GatherTest, ManyRowsAreSharedAmongThreads) {
  const HostGuard guard({.keep_freed_memory = false, .threads = 3});
  std::vector<int64_t> indices(401);
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<int64_t>(i * 37 % 100);
  expect_rows(at::rand({100, 28, 28}), indices);
}

TEST(GatherTest, EveryLayoutAndTypeGivesTheSameRows) {
  expect_rows(at::rand({4, 3, 2}), chosen);
  expect_rows(at::arange(4), chosen);
  expect_rows(at::rand({3, 4}).t(), chosen);
  expect_rows(at::rand({4, 6}).slice(1, 0, 6, 2), chosen);
  expect_rows(at::rand({1, 3}).expand({4, 3}), chosen);
  expect_rows(at::rand({8, 3}).slice(0, 2, 6), chosen);
  expect_rows(at::rand({4, 2, 3, 5}).contiguous(at::MemoryFormat::ChannelsLast), chosen);
  for (auto dtype : {at::kDouble, at::kHalf, at::kByte, at::kBool, at::kLong}) {
    expect_rows(at::arange(12).reshape({4, 3}).remainder(2).to(dtype), chosen);
  }
  expect_rows(at::complex(at::rand({4, 2}), at::rand({4, 2})).conj(), chosen);
  expect_rows(at::_neg_view(at::rand({4, 2})), chosen);
}

TEST(GatherTest, LargeBatchesAreSharedOutOverThreads) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < 5000; ++i) indices.push_back(i * 7919 % 1000);
  expect_rows(at::rand({1000, 300}), indices);
}

TEST(GatherTest, ASourceThatRequiresGradientsIsReadAsData) {
  for (at::Tensor source : {at::rand({4, 2}), at::rand({2, 4}).t()}) {
    Tree into;
    gather(source.detach().requires_grad_(), chosen, into);
    EXPECT_FALSE(into.tensor().requires_grad());
  }
}

TEST(GatherTest, MemoryThatNobodyElseHoldsIsUsedAgain) {
  const at::Tensor source = at::rand({4, 2});
  Tree into;
  gather(source, chosen, into);
  const void* address = into.tensor().data_ptr();
  gather(source, std::vector<int64_t>{1, 1, 2}, into);
  EXPECT_EQ(into.tensor().data_ptr(), address);
  EXPECT_TRUE(at::equal(into.tensor(), at::index_select(source, 0, index_of({1, 1, 2}))));
}

TEST(GatherTest, MemoryThatSomebodyHoldsIsLeftAlone) {
  const at::Tensor source = at::rand({4, 2});
  const std::vector<std::function<at::Tensor(const at::Tensor&)>> holds{
      [](const at::Tensor& tensor) { return tensor; },
      [](const at::Tensor& tensor) { return tensor.detach(); },
      [](const at::Tensor& tensor) { return tensor.select(0, 1); },
      [](const at::Tensor& tensor) { return tensor.flatten(); },
  };
  for (const auto& hold : holds) {
    Tree into;
    gather(source, chosen, into);
    const at::Tensor held = hold(into.tensor());
    const at::Tensor before = held.clone();
    gather(source, std::vector<int64_t>{1, 1, 2}, into);
    EXPECT_TRUE(at::equal(held, before));
    EXPECT_TRUE(at::equal(into.tensor(), at::index_select(source, 0, index_of({1, 1, 2}))));
  }
}

TEST(GatherTest, MemoryOfAnotherLayoutIsReplaced) {
  const at::Tensor source = at::rand({4, 2});
  const std::vector<std::function<Tree()>> others{
      [] { return Tree(); },
      [] { return Tree(3); },
      [] { return Tree(at::Tensor()); },
      [] {
        return Tree(at::zeros({3, 2}, at::kDouble));
      },
      [] {
        return Tree(at::zeros({3, 3}));
      },
      [] {
        return Tree(at::zeros({2, 2}));
      },
      [] { return Tree(at::zeros({3})); },
      [] {
        return Tree(at::zeros({2, 3}).t());
      },
      [] {
        return Tree(at::zeros({3, 2}).requires_grad_());
      },
      [] {
        return Tree(Tree::list({1, 2}));
      },
      [] {
        return Tree(Tree{{"x", at::zeros({3, 2})}});
      },
  };
  for (const auto& other : others) {
    Tree into = other();
    gather(source, chosen, into);
    EXPECT_TRUE(at::equal(into.tensor(), at::index_select(source, 0, index_of(chosen))));
    EXPECT_FALSE(into.tensor().requires_grad());
  }
}

TEST(GatherTest, StructuresAreFollowedAndReplacedWhenTheyDiffer) {
  const Tree source{{"a", at::arange(4)}, {"b", Tree::list({at::rand({4, 2}), at::rand({4})})}, {"c", Tree()}};
  const std::vector<Tree> others{Tree(), Tree(at::zeros({3})), Tree::list({1}), Tree{{"x", 1}},
                                 Tree{{"a", 1}, {"b", Tree{{"y", 1}}}, {"c", 1}}};
  for (const Tree& other : others) {
    Tree into = other;
    gather(source, chosen, into);
    EXPECT_EQ(into.describe(), "{a: int64 (3), b: [float32 (3, 2), float32 (3)], c: nothing}");
  }
  Tree into;
  gather(source, chosen, into);
  const void* address = into["b"][1].tensor().data_ptr();
  gather(source, chosen, into);
  EXPECT_EQ(into["b"][1].tensor().data_ptr(), address);
}

}  // namespace
}  // namespace athanor::gather_test
