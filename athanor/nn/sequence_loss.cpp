// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/sequence_loss.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/ops/ctc_loss.h>

#include <vector>

#include "athanor/core/error.hpp"
#include "athanor/nn/loss_input.hpp"

namespace athanor::loss {
namespace {

using namespace detail;

constexpr const char* ctc_name = "loss::CTC";

/// What has lengths: a tensor, or the first that is not named `lengths` of a list or dictionary, with its lengths.
struct Sequences {
  at::Tensor values;
  at::Tensor lengths;  // undefined when they are not given
};

Sequences sequences_of(const Tree& tree, const char* name) {
  Sequences found;
  if (tree.is_tensor()) {
    found.values = tree.tensor();
  } else if (tree.is_list() && tree.size() == 2 && tree[0].is_tensor() && tree[1].is_tensor()) {
    found = {tree[0].tensor(), tree[1].tensor()};
  } else if (tree.is_dictionary()) {
    for (const auto& [key, item] : tree.entries()) {
      if (!item.is_tensor()) continue;
      if (key == "lengths") {
        found.lengths = item.tensor();
      } else if (!found.values.defined()) {
        found.values = item.tensor();
      }
    }
  }
  if (found.values.defined()) return found;
  throw Error({.what = std::string("CTC finds no ") + name,
               .where = ctc_name,
               .got = tree.describe(),
               .expected = "a tensor, or a list or dictionary of it and its lengths"});
}

std::vector<int64_t> read_lengths(const at::Tensor& lengths, int64_t samples, int64_t most, const char* name) {
  const bool fits = lengths.dim() == 1 && lengths.size(0) == samples &&
                    at::isIntegralType(lengths.scalar_type(), /*includeBool=*/false);
  if (!fits) {
    throw Error({.what = std::string("the lengths of the ") + name + " do not fit",
                 .where = ctc_name,
                 .got = describe(lengths),
                 .expected = "integers (" + std::to_string(samples) + ")"});
  }
  const at::Tensor here = lengths.to(at::kCPU, at::kLong).contiguous();
  std::vector<int64_t> read(here.const_data_ptr<int64_t>(), here.const_data_ptr<int64_t>() + samples);
  for (size_t i = 0; i < read.size(); ++i) {
    if (read[i] >= 0 && read[i] <= most) continue;
    throw Error({.what = std::string("a length of the ") + name + " is out of range",
                 .where = std::string(ctc_name) + ", row " + std::to_string(i) + " of the batch",
                 .got = std::to_string(read[i]),
                 .expected = "0 to " + std::to_string(most)});
  }
  return read;
}

/// Up to the first negative label.
std::vector<int64_t> count_labels(const at::Tensor& labels) {
  std::vector<int64_t> counts(static_cast<size_t>(labels.size(0)));
  for (int64_t i = 0; i < labels.size(0); ++i) {
    const int64_t* row = labels.const_data_ptr<int64_t>() + i * labels.size(1);
    int64_t& count = counts[static_cast<size_t>(i)];
    while (count < labels.size(1) && row[count] >= 0) ++count;
  }
  return counts;
}

void check_labels_of_row(const int64_t* labels, int64_t count, int64_t steps, int64_t row, int64_t classes,
                         int64_t blank) {
  const std::string where = std::string(ctc_name) + ", row " + std::to_string(row) + " of the batch";
  int64_t repeats = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (labels[i] < 0 || labels[i] >= classes || labels[i] == blank) {
      throw Error({.what = labels[i] == blank ? "a label is the blank" : "a label is out of range",
                   .where = where + ", label " + std::to_string(i),
                   .got = std::to_string(labels[i]),
                   .expected = "0 to " + std::to_string(classes - 1) + " without the blank " + std::to_string(blank)});
    }
    repeats += i > 0 && labels[i] == labels[i - 1] ? 1 : 0;
  }
  if (steps >= count + repeats) return;
  throw Error({.what = "a sequence is too short for its labels",
               .where = where,
               .got = std::to_string(steps) + " steps for " + std::to_string(count) + " labels, " +
                      std::to_string(repeats) + " of them equal to the one before",
               .expected = std::to_string(count + repeats) + " steps at least",
               .todo = "leave the sample out, or let the net shorten its sequences less"});
}

}  // namespace

CTC::CTC(CTCOptions options) : options_(options) {
  require_option(options_.blank >= 0, "CTCOptions::blank", static_cast<double>(options_.blank), "a class, 0 or more");
}

at::Tensor CTC::operator()(const Tree& predictions, const Tree& target) const {
  const FullPrecision full;
  const Sequences inputs = sequences_of(predictions, "predictions");
  const Sequences targets = sequences_of(target, "labels");
  const at::Tensor x = in_full(inputs.values, ctc_name);
  const bool fits = x.dim() == 3 && targets.values.dim() == 2 && targets.values.size(0) == x.size(0) &&
                    at::isIntegralType(targets.values.scalar_type(), /*includeBool=*/false);
  if (!fits) {
    throw Error({.what = "the target does not fit the predictions",
                 .where = ctc_name,
                 .got = describe(inputs.values) + " and " + describe(targets.values),
                 .expected = "logits (N, T, C) and labels (N, S) of an integer dtype"});
  }
  const int64_t samples = x.size(0), steps = x.size(1), classes = x.size(2);
  require_option(options_.blank < classes, "CTCOptions::blank", static_cast<double>(options_.blank),
                 "a class of the logits");
  const at::Tensor labels = targets.values.to(at::kCPU, at::kLong).contiguous();
  const std::vector<int64_t> input_lengths = inputs.lengths.defined()
                                                 ? read_lengths(inputs.lengths, samples, steps, "predictions")
                                                 : std::vector<int64_t>(static_cast<size_t>(samples), steps);
  const std::vector<int64_t> label_counts = targets.lengths.defined()
                                                ? read_lengths(targets.lengths, samples, labels.size(1), "labels")
                                                : count_labels(labels);
  for (int64_t i = 0; i < samples; ++i) {
    const auto row = static_cast<size_t>(i);
    check_labels_of_row(labels.const_data_ptr<int64_t>() + i * labels.size(1), label_counts[row], input_lengths[row], i,
                        classes, options_.blank);
  }
  return at::ctc_loss(x.log_softmax(2).transpose(0, 1), labels.clamp_min(0).to(x.device()), input_lengths, label_counts,
                      options_.blank, at::Reduction::Mean, /*zero_infinity=*/false);
}

}  // namespace athanor::loss
