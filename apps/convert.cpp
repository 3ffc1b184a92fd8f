// SPDX-License-Identifier: Apache-2.0
// athanor convert: weights into another format, element type, or several files.
#include <CLI/CLI.hpp>
#include <memory>

#include "apps/elements.hpp"
#include "apps/output.hpp"
#include "apps/subcommand.hpp"
#include "apps/weights.hpp"
#include "apps/weights_writer.hpp"
#include "athanor/core/error.hpp"

namespace athanor::command {
namespace {

struct ConvertOptions {
  std::filesystem::path input = {};
  std::filesystem::path output = {};
  std::string dtype = {};
  std::string part = {};
  std::uint64_t max_shard = 0;
  bool force = false;
};

/// Gives a tensor as `dtype`. Throws Error when a finite value would become infinite.
void make_as(const StoredTensor& tensor, TorchType dtype, const TakeBytes& take) {
  std::vector<double> values;
  std::vector<std::byte> encoded;
  for_each_piece(tensor, [&](std::span<const std::byte> bytes) {
    values.resize(bytes.size() / bytes_of(tensor.dtype));
    encoded.resize(values.size() * bytes_of(dtype));
    decode(tensor.dtype, bytes, values);
    if (const std::size_t lost = encode(dtype, values, encoded); lost > 0) {
      throw Error({.what = "values are too large for the type",
                   .where = "tensor '" + tensor.name + "'",
                   .got = counted(lost, "value") + " that would become infinite",
                   .expected = "values that " + std::string(name_of(dtype)) + " can hold",
                   .todo = "use bfloat16 or float32"});
    }
    take(encoded);
  });
}

MadeTensor made_of(const StoredTensor& tensor, std::optional<TorchType> dtype) {
  const bool converted = dtype && *dtype != tensor.dtype && is_decodable(tensor.dtype);
  const TorchType type = converted ? *dtype : tensor.dtype;
  MadeTensor made{
      .name = tensor.name, .dtype = type, .sizes = tensor.sizes, .bytes = tensor.elements() * bytes_of(type)};
  if (converted) {
    made.make = [&tensor, type](const TakeBytes& take) { make_as(tensor, type, take); };
  } else {
    made.make = [&tensor](const TakeBytes& take) { for_each_piece(tensor, take); };
  }
  return made;
}

ExitCode convert(const ConvertOptions& options) {
  std::optional<TorchType> dtype;
  if (!options.dtype.empty()) {
    dtype = encodable_type(options.dtype);
    if (!dtype) {
      throw Error({.what = "weights can't be converted to this type",
                   .got = options.dtype,
                   .expected = "float64, float32, float16 or bfloat16"});
    }
  }
  WriteWeights writing{.overwrite = options.force};
  if (options.max_shard > 0) writing.max_shard_bytes = options.max_shard;
  require_output(options.output, writing);
  const Weights weights = open_weights(options.input, {.part = options.part});
  if (weights.tensors.empty()) throw Error({.what = "there are no tensors", .where = options.input.string()});
  if (!weights.others.empty()) {
    std::string names;
    for (const auto& [path, text] : weights.others) {
      if (names.size() < 200) names += (names.empty() ? "" : ", ") + path;
    }
    throw Error({.what = "the file holds values that are no tensors",
                 .where = options.input.string(),
                 .got = names,
                 .expected = "a state dictionary",
                 .todo = "name the part that is to be converted: --part model"});
  }
  writing.metadata = weights.metadata;
  writing.metadata.try_emplace("format", "pt");
  std::vector<MadeTensor> tensors;
  for (const StoredTensor& tensor : weights.tensors) tensors.push_back(made_of(tensor, dtype));
  write_weights(options.output, tensors, writing);
  std::uint64_t bytes = 0;
  for (const MadeTensor& tensor : tensors) bytes += tensor.bytes;
  print(counted(tensors.size(), "tensor") + ", " + format_bytes(bytes) + ", written to " +
        printable(options.output.string()) + "\n");
  return done;
}

}  // namespace

Action add_convert(CLI::App& app) {
  const auto options = std::make_shared<ConvertOptions>();
  app.add_option("IN", options->input, "Whatever `athanor inspect` shows tensors of")->required();
  app.add_option("OUT", options->output, "Its suffix is the format: .safetensors, .pt; a folder with --max-shard")
      ->required();
  app.add_option("--dtype", options->dtype,
                 "float64, float32, float16 or bfloat16, for all tensors of floating point numbers");
  app.add_option("--part", options->part, "The part of a .pt file: model");
  app.add_option("--max-shard", options->max_shard, "Several files in a folder, of at most so many bytes: 5GB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true));
  app.add_flag("--force", options->force, "Replace what is there");
  return [options] { return convert(*options); };
}

}  // namespace athanor::command
