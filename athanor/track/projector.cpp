// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/projector.hpp"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/track/png.hpp"

namespace athanor::track {
namespace {

constexpr int64_t widest_sprite = 8192;

std::string projector_file_name(const std::string& name, int64_t step) {
  std::string result;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
    result += plain || c == '-' ? c : '_';
  }
  return result + "-" + std::to_string(step);
}

std::string tab_free(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n' || c == '\r'; }, ' ');
  return valid_utf8(text);
}

std::string row_text(const std::vector<std::string>& texts) {
  std::string row;
  for (const std::string& text : texts) row += (row.empty() ? "" : "\t") + tab_free(text);
  return row + "\n";
}

/// The characters as a string of a text protocol buffer.
std::string quoted_text(const std::string& text) {
  std::string result = "\"";
  for (const char c : valid_utf8(text)) {
    if (c == '"' || c == '\\') result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result + '"';
}

void refuse_embedding(const std::string& name, const std::string& got, const std::string& expected) {
  throw Error({.what = "an embedding can't be shown", .where = name, .got = got, .expected = expected});
}

/// One picture with all of them, row by row; undefined when it would be too large.
at::Tensor sprite_of(const at::Tensor& pictures) {
  const int64_t count = pictures.size(0);
  const int64_t height = pictures.size(2);
  const int64_t width = pictures.size(3);
  const auto across = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  if (across * std::max(height, width) > widest_sprite) return {};
  at::Tensor sprite = at::zeros({pictures.size(1), across * height, across * width}, pictures.options());
  for (int64_t i = 0; i < count; ++i) {
    sprite.narrow(1, i / across * height, height).narrow(2, i % across * width, width).copy_(pictures[i]);
  }
  return sprite;
}

}  // namespace

void write_embedding(const std::filesystem::path& folder, const std::string& name, int64_t step,
                     const events::Embedding& embedding) {
  if (!embedding.vectors.defined() || embedding.vectors.dim() != 2 || embedding.vectors.numel() == 0) {
    refuse_embedding(name, "vectors of another shape", "(N, D), not empty");
  }
  const int64_t count = embedding.vectors.size(0);
  const auto labels = static_cast<int64_t>(embedding.labels.size());
  if (labels != 0 && labels != count) refuse_embedding(name, std::to_string(labels) + " labels", std::to_string(count));
  for (const auto& texts : embedding.labels) {
    if (texts.size() != std::max<size_t>(embedding.columns.size(), 1)) {
      refuse_embedding(name, std::to_string(texts.size()) + " texts of a label", "one for each column");
    }
  }
  if (embedding.pictures.defined() && (embedding.pictures.dim() != 4 || embedding.pictures.size(0) != count)) {
    refuse_embedding(name, "pictures of another shape", "(N, C, H, W) with N = " + std::to_string(count));
  }

  const std::string base = "projector/" + projector_file_name(name, step);
  std::filesystem::create_directories(folder / base);
  std::string entry = "embeddings {\n  tensor_name: " + quoted_text(name + ":" + std::to_string(step)) +
                      "\n  tensor_path: \"" + base + "/tensors.tsv\"\n";
  const at::Tensor vectors = embedding.vectors.detach().to(at::kCPU, at::kDouble).contiguous();
  write_file_atomically(folder / base / "tensors.tsv", [&](FileWriter& writer) {
    const double* value = vectors.const_data_ptr<double>();
    for (int64_t row = 0; row < count; ++row) {
      std::string line;
      for (int64_t column = 0; column < vectors.size(1); ++column) {
        line += (column == 0 ? "" : "\t") + shortest(static_cast<double>(static_cast<float>(*value++)));
      }
      writer.write(line + "\n");
    }
  });
  if (labels > 0) {
    std::string text = embedding.columns.size() > 1 ? row_text(embedding.columns) : "";
    for (const auto& texts : embedding.labels) text += row_text(texts);
    write_file_atomically(folder / base / "metadata.tsv", std::string_view(text));
    entry += "  metadata_path: \"" + base + "/metadata.tsv\"\n";
  }
  if (embedding.pictures.defined()) {
    if (const at::Tensor sprite = sprite_of(embedding.pictures); sprite.defined()) {
      write_file_atomically(folder / base / "sprite.png", std::string_view(encode_png(sprite).bytes));
      entry += "  sprite {\n    image_path: \"" + base +
               "/sprite.png\"\n    single_image_dim: " + std::to_string(embedding.pictures.size(3)) +
               "\n    single_image_dim: " + std::to_string(embedding.pictures.size(2)) + "\n  }\n";
    }
  }
  entry += "}\n";
  std::ifstream stream(folder / "projector_config.pbtxt", std::ios::binary);
  std::string config{std::istreambuf_iterator<char>(stream), {}};
  if (config.find("\"" + base + "/tensors.tsv\"") == std::string::npos) config += entry;
  write_file_atomically(folder / "projector_config.pbtxt", std::string_view(config));
}

}  // namespace athanor::track
