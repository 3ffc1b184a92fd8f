// SPDX-License-Identifier: Apache-2.0
// athanor inspect: what a file holds.
#include <CLI/CLI.hpp>
#include <memory>

#include "apps/elements.hpp"
#include "apps/json_file.hpp"
#include "apps/output.hpp"
#include "apps/subcommand.hpp"
#include "apps/weights.hpp"
#include "athanor/checkpoint/manifest.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/join_numbers.hpp"
#include "athanor/core/text.hpp"
#include "athanor/data/gzip.hpp"
#include "athanor/data/idx_index.hpp"

namespace athanor::command {
namespace {

namespace fs = std::filesystem;

struct InspectOptions {
  fs::path file = {};
  std::string names = "*";
  std::string part = {};
  bool quick = false;
  bool json = false;
};

std::string shape_text(const std::vector<std::int64_t>& sizes) { return "[" + join_numbers(sizes) + "]"; }

std::string_view name_of(IdxType type) {
  switch (type) {
    case IdxType::uint8:
      return "uint8";
    case IdxType::int8:
      return "int8";
    case IdxType::int16:
      return "int16";
    case IdxType::int32:
      return "int32";
    case IdxType::float32:
      return "float32";
    default:
      return "float64";
  }
}

bool looks_like_idx(std::span<const std::byte> file) {
  return is_gzip(file) || (file.size() > 2 && file[0] == std::byte{0} && file[1] == std::byte{0} &&
                           file[2] >= std::byte{0x08} && file[2] <= std::byte{0x0E});
}

/// Whether it is one that can be told before its content is read: safetensors may begin with two zero bytes only when
/// their header has a multiple of 65,536 bytes, and then not with such a third one.
bool is_idx_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && path.extension() != ".safetensors" &&
         looks_like_idx(MappedFile(path).bytes());
}

void inspect_idx(const InspectOptions& options) {
  const OwnedBytes content = read_file_unpacked(options.file);
  const IdxIndex index = parse_idx(content.bytes(), options.file.string());
  if (options.json) {
    const Json json = {{"file", options.file.string()},
                       {"format", "IDX"},
                       {"dtype", name_of(index.type)},
                       {"shape", index.shape},
                       {"bytes", index.elements * bytes_of(index.type)}};
    return print(dump(json));
  }
  print(printable(options.file.string()) + ": IDX, " + std::string(name_of(index.type)) + " " +
        shape_text(index.shape) + ", " + format_bytes(index.elements * bytes_of(index.type)) + "\n");
}

/// What the manifest of a checkpoint folder says, but for its options; null for everything else.
Json manifest_of(const fs::path& path) {
  if (!is_checkpoint(path)) return {};
  Json manifest = parse_json(read_checked_manifest(path), (path / manifest_name).string());
  if (manifest.contains("facts") && manifest["facts"].is_object()) manifest["facts"].erase("options");
  return manifest;
}

std::string manifest_text(const Json& manifest) {
  std::string text;
  for (const auto& [name, file] : member(manifest, "files").items()) {
    text += "file      " + printable(name) + "  " + format_bytes(member(file, "bytes").get<std::uint64_t>()) + "\n";
  }
  for (const auto& [name, fact] : member(manifest, "facts").items()) {
    text += "fact      " + printable(name) + " = " + printable(text_of(fact)) + "\n";
  }
  return text;
}

Json json_of(const Weights& weights, const std::vector<const StoredTensor*>& shown) {
  Json tensors = Json::array();
  for (const StoredTensor* tensor : shown) {
    tensors.push_back({{"name", tensor->name},
                       {"dtype", name_of(tensor->dtype)},
                       {"shape", tensor->sizes},
                       {"bytes", tensor->bytes()}});
  }
  Json others = Json::object();
  for (const auto& [path, text] : weights.others) others[path] = text;
  Json files = Json::array();
  for (const fs::path& file : weights.files) files.push_back(file.string());
  return {{"file", weights.path.string()},
          {"format", weights.format},
          {"file_bytes", weights.file_bytes},
          {"files", files},
          {"tensors", tensors},
          {"values", others},
          {"metadata", weights.metadata}};
}

void inspect_weights(const InspectOptions& options) {
  const Weights weights = open_weights(options.file, {.verify = !options.quick, .part = options.part});
  std::vector<const StoredTensor*> shown;
  std::uint64_t elements = 0, bytes = 0;
  for (const StoredTensor& tensor : weights.tensors) {
    if (!matches(options.names, tensor.name)) continue;
    shown.push_back(&tensor);
    elements += tensor.elements();
    bytes += tensor.bytes();
  }
  const Json manifest = manifest_of(options.file);
  if (options.json) {
    Json json = json_of(weights, shown);
    if (!manifest.is_null()) json.update({{"facts", member(manifest, "facts")}});
    return print(dump(json));
  }
  std::string text = printable(options.file.string()) + ": " + weights.format +
                     (weights.files.size() > 1 ? ", " + counted(weights.files.size(), "file") : "") + ", " +
                     format_bytes(weights.file_bytes) + "\n";
  TextTable table({"tensor", "dtype", "shape", ">size"});
  for (const StoredTensor* tensor : shown) {
    table.add({printable(tensor->name), std::string(name_of(tensor->dtype)), shape_text(tensor->sizes),
               format_bytes(tensor->bytes())});
  }
  if (!shown.empty()) text += table.text();
  text += counted(shown.size(), "tensor") + ", " + counted(elements, "number") + ", " + format_bytes(bytes) + "\n";
  for (const auto& [path, value] : weights.others) text += "value     " + printable(path) + " = " + value + "\n";
  for (const auto& [name, value] : weights.metadata) {
    text += "metadata  " + printable(name) + " = " + printable(value) + "\n";
  }
  text += manifest_text(manifest);
  print(text);
}

ExitCode inspect(const InspectOptions& options) {
  std::error_code ignored;
  if (!fs::exists(options.file, ignored)) {
    throw Error({.what = "there is no such file or folder", .where = options.file.string()});
  }
  try {
    if (is_idx_file(options.file)) {
      inspect_idx(options);
    } else {
      inspect_weights(options);
    }
  } catch (const Error& damage) {
    print_error(one_line(damage));
    return answer_is_no;
  }
  return done;
}

}  // namespace

Action add_inspect(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  app.add_option("FILE", options->file,
                 "safetensors, an index or folder of several, .pt, a checkpoint folder, IDX (also gzipped)")
      ->required();
  app.add_option("--names", options->names, "Only tensors whose names fit this pattern: 'encoder.*'");
  app.add_option("--part", options->part, "Only this part of a .pt file: model");
  app.add_flag("--quick", options->quick, "Compare no checksums, which takes reading all of the file");
  app.add_flag("--json", options->json, "JSON instead of a table");
  app.footer("Exit status: 0 it is whole; 1 it is damaged or of no format that is known; 2 there is no such file.");
  return [options] { return inspect(*options); };
}

}  // namespace athanor::command
