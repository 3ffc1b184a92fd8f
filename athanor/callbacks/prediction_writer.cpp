// SPDX-License-Identifier: Apache-2.0
#include "athanor/callbacks/prediction_writer.hpp"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "athanor/checkpoint/safetensors.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/data/concatenate.hpp"

namespace athanor {
namespace {

enum class WriterMoment { none, begin, batch, end };

struct WriterPlace {
  WriterMoment moment = WriterMoment::none;
  Stage stage = Stage::predict;
};

WriterPlace writer_place(Moment moment) noexcept {
  switch (moment) {
    case Moment::validation_begin:
      return {WriterMoment::begin, Stage::validation};
    case Moment::validation_batch_end:
      return {WriterMoment::batch, Stage::validation};
    case Moment::validation_end:
      return {WriterMoment::end, Stage::validation};
    case Moment::test_begin:
      return {WriterMoment::begin, Stage::test};
    case Moment::test_batch_end:
      return {WriterMoment::batch, Stage::test};
    case Moment::test_end:
      return {WriterMoment::end, Stage::test};
    case Moment::predict_begin:
      return {WriterMoment::begin, Stage::predict};
    case Moment::predict_batch_end:
      return {WriterMoment::batch, Stage::predict};
    case Moment::predict_end:
      return {WriterMoment::end, Stage::predict};
    default:
      return {};
  }
}

/// Host memory that nobody else writes to.
Tree kept_on_host(const Tree& tree, int64_t rows, const char* what) {
  Tree kept = tree.map([](const at::Tensor& tensor) { return tensor.defined() ? tensor.detach().cpu() : tensor; });
  kept.walk([&](const std::string& path, const Tree& leaf) {
    if (leaf.is_tensor() && leaf.tensor().defined() && leaf.tensor().dim() > 0 && leaf.tensor().size(0) == rows) return;
    throw Error({.what = "a result is not a tensor with the samples along dimension 0",
                 .where = "PredictionWriter, " + std::string(what) + (path.empty() ? "" : "." + path),
                 .got = leaf.describe(),
                 .expected = "(" + std::to_string(rows) + ", …)",
                 .todo = "return such tensors from the step that is written"});
  });
  return kept;
}

/// The places of the rows in the order (part, index).
at::Tensor writing_order(const at::Tensor& indices, const at::Tensor& parts) {
  const int64_t* index = indices.const_data_ptr<int64_t>();
  const int64_t* part = parts.const_data_ptr<int64_t>();
  at::Tensor order = at::empty({indices.numel()}, at::kLong);
  int64_t* first = order.mutable_data_ptr<int64_t>();
  std::iota(first, first + order.numel(), int64_t{0});
  std::stable_sort(first, first + order.numel(),
                   [&](int64_t a, int64_t b) { return part[a] != part[b] ? part[a] < part[b] : index[a] < index[b]; });
  return order;
}

template <class Number>
void append_csv_number(std::string& line, Number value) {
  char text[64];
  const auto result = std::to_chars(text, text + sizeof text, value);
  line.append(text, result.ptr);
}

/// One column block of the table: (N, numbers), as float32, float64 or int64.
struct CsvBlock {
  std::string name;
  at::Tensor numbers;
};

CsvBlock csv_block(const std::string& name, const at::Tensor& tensor) {
  at::Tensor flat = tensor.reshape({tensor.size(0), -1});
  if (!flat.is_floating_point()) {
    flat = flat.to(at::kLong);
  } else if (flat.scalar_type() != at::kDouble) {
    flat = flat.to(at::kFloat);
  }
  return {name, flat.contiguous()};
}

void append_csv_cell(std::string& line, const at::Tensor& numbers, int64_t place) {
  switch (numbers.scalar_type()) {
    case at::kLong:
      return append_csv_number(line, numbers.const_data_ptr<int64_t>()[place]);
    case at::kDouble:
      return append_csv_number(line, numbers.const_data_ptr<double>()[place]);
    default:
      return append_csv_number(line, numbers.const_data_ptr<float>()[place]);
  }
}

void write_csv(const std::filesystem::path& path, const NamedTensors& tensors, int64_t limit) {
  std::vector<CsvBlock> blocks;
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors) {
    if (tensor.is_complex()) {
      throw Error(
          {.what = "complex numbers do not go into a CSV file", .where = path.string(), .got = describe(tensor)});
    }
    blocks.push_back(csv_block(name, tensor));
    count += tensor.numel();
  }
  if (count > limit) {
    throw Error({.what = "too many numbers for a CSV file",
                 .where = path.string(),
                 .got = std::to_string(count),
                 .expected = "at most " + std::to_string(limit),
                 .todo = "write .safetensors, or raise PredictionWriterOptions::csv_limit"});
  }
  write_file_atomically(path, [&](FileWriter& file) {
    std::string line;
    for (const CsvBlock& block : blocks) {
      for (int64_t c = 0; c < block.numbers.size(1); ++c) {
        if (!line.empty()) line += ',';
        line += block.numbers.size(1) == 1 ? block.name : block.name + "_" + std::to_string(c);
      }
    }
    file.write(line + "\n");
    const int64_t rows = blocks.front().numbers.size(0);
    std::string text;
    for (int64_t row = 0; row < rows; ++row) {
      const char* separator = "";
      for (const CsvBlock& block : blocks) {
        for (int64_t c = 0; c < block.numbers.size(1); ++c) {
          text += separator;
          append_csv_cell(text, block.numbers, row * block.numbers.size(1) + c);
          separator = ",";
        }
      }
      text += '\n';
      if (text.size() > (1U << 16) || row + 1 == rows) {
        file.write(text);
        text.clear();
      }
    }
  });
}

}  // namespace

PredictionWriter::PredictionWriter(PredictionWriterOptions options) : options_(std::move(options)) {
  const std::string kind = options_.path.extension().string();
  if (kind != ".safetensors" && kind != ".csv") {
    throw Error({.what = "predictions can't be written to a file of this kind",
                 .where = "PredictionWriterOptions::path",
                 .got = options_.path.string(),
                 .expected = "a name that ends with .safetensors or .csv"});
  }
  const auto& stages = options_.stages;
  if (stages.empty() || std::find(stages.begin(), stages.end(), Stage::train) != stages.end()) {
    throw Error({.what = "these passes have no predictions that can be written",
                 .where = "PredictionWriterOptions::stages",
                 .got = stages.empty() ? "none" : "train",
                 .expected = "one or more of Stage::validation, test, predict"});
  }
}

bool PredictionWriter::watches(Moment moment) const noexcept {
  const auto [kind, stage] = writer_place(moment);
  return kind != WriterMoment::none &&
         std::find(options_.stages.begin(), options_.stages.end(), stage) != options_.stages.end();
}

std::filesystem::path PredictionWriter::path_for(std::string_view loader) const {
  std::string path = options_.path.string();
  constexpr std::string_view mark = "{name}";
  for (size_t at = path.find(mark); at != std::string::npos; at = path.find(mark, at + loader.size())) {
    path.replace(at, mark.size(), loader);
  }
  return path;
}

void PredictionWriter::on(Trainer&, MomentInfo& info) {
  switch (writer_place(info.moment).moment) {
    case WriterMoment::begin: {
      columns_ = {};
      const std::filesystem::path folder = path_for(info.loader).parent_path();
      require_writable_directory(folder.empty() ? std::filesystem::path(".") : folder);
      return;
    }
    case WriterMoment::batch:
      return take(*info.batch, *info.output);
    case WriterMoment::end:
      write(path_for(info.loader));
      columns_ = {};
      return;
    case WriterMoment::none:
      return;
  }
}

void PredictionWriter::take(const Batch& batch, const StepOutput& output) {
  const at::Tensor first = output.predictions.first_tensor();
  const int64_t rows = batch.indices.defined()              ? batch.indices.numel()
                       : first.defined() && first.dim() > 0 ? first.size(0)
                                                            : count_samples(batch);
  if (!first.defined()) {
    throw Error({.what = "the step handed back no predictions",
                 .where = "PredictionWriter",
                 .todo = "return them: StepOutput(loss, predictions)"});
  }
  if (options_.indices && !batch.indices.defined()) {
    throw Error({.what = "the source does not number its samples",
                 .where = "PredictionWriterOptions::indices",
                 .got = "a batch with undefined `indices`"});
  }
  columns_.predictions.push_back(kept_on_host(output.predictions, rows, "predictions"));
  if (options_.targets) {
    const Tree& target = output.target.empty() ? batch.target : output.target;
    if (target.empty()) {
      throw Error({.what = "the data have no targets to write", .where = "PredictionWriterOptions::targets"});
    }
    columns_.targets.push_back(kept_on_host(target, rows, "targets"));
  }
  columns_.indices.push_back(batch.indices);
  columns_.rows.push_back(rows);
  columns_.parts.push_back(batch.part);
}

void PredictionWriter::write(const std::filesystem::path& path) const {
  if (columns_.rows.empty()) return;
  NamedTensors tensors;
  const bool numbered = std::all_of(columns_.indices.begin(), columns_.indices.end(),
                                    [](const at::Tensor& indices) { return indices.defined(); });
  const bool in_parts =
      std::any_of(columns_.parts.begin(), columns_.parts.end(), [](int32_t part) { return part != 0; });
  const bool csv = path.extension() == ".csv";
  at::Tensor order;
  if (numbered) {
    const at::Tensor indices = at::cat(columns_.indices).to(at::kLong).contiguous();
    at::Tensor parts = at::empty({indices.numel()}, at::kLong);
    int64_t* part = parts.mutable_data_ptr<int64_t>();
    for (size_t i = 0; i < columns_.rows.size(); ++i) part = std::fill_n(part, columns_.rows[i], columns_.parts[i]);
    order = writing_order(indices, parts);
    if (options_.indices && in_parts) tensors.emplace_back(csv ? "part" : "parts", parts.index_select(0, order));
    if (options_.indices) tensors.emplace_back(csv ? "index" : "indices", indices.index_select(0, order));
  }
  const auto add = [&](const std::vector<Tree>& batches, const std::string& name) {
    if (batches.empty()) return;
    concatenate(batches).walk(
        [&](const std::string& leaf, const Tree& tensor) {
          tensors.emplace_back(leaf, order.defined() ? tensor.tensor().index_select(0, order) : tensor.tensor());
        },
        name);
  };
  add(columns_.predictions, "predictions");
  add(columns_.targets, "targets");
  if (csv) {
    write_csv(path, tensors, options_.csv_limit);
  } else {
    write_safetensors(path, tensors);
  }
}

}  // namespace athanor
