// SPDX-License-Identifier: Apache-2.0
#include "athanor/track/wandb_media.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "athanor/core/file.hpp"
#include "athanor/core/text.hpp"
#include "athanor/core/utf8.hpp"
#include "athanor/track/digest.hpp"
#include "athanor/track/json_numbers.hpp"
#include "athanor/track/png.hpp"

namespace athanor::track {
namespace {

using MediaJson = nlohmann::ordered_json;

// W&B refuses histograms with more bins.
constexpr size_t most_bins = 512;

std::string file_stem(const std::string& name) {
  std::string stem = valid_utf8(name);
  for (char& c : stem) {
    if (std::string_view("/\\:*?\"<>|%#").find(c) != std::string_view::npos || static_cast<unsigned char>(c) < 32)
      c = '_';
  }
  return stem.empty() || stem.starts_with('.') ? "_" + stem : stem;
}

class MediaFolder {
 public:
  MediaFolder(const events::Media& media, const std::filesystem::path& files, std::vector<std::string>& written)
      : media_(media), files_(files), written_(written) {}

  /// `{"_type", "sha256", "size", "path"}`
  MediaJson add(const char* type, const std::string& kind, const std::string& suffix, const std::string& bytes) {
    Sha256 sha;
    sha.add(bytes);
    const std::string digest = hex_text(sha.finish());
    const std::string path = "media/" + kind + "/" + file_stem(media_.name) + "_" + std::to_string(media_.step) + "_" +
                             digest.substr(0, 20) + suffix;
    std::filesystem::create_directories((files_ / path).parent_path());
    write_file_atomically(files_ / path, std::string_view(bytes));
    written_.push_back(path);
    return {{"_type", type}, {"sha256", digest}, {"size", bytes.size()}, {"path", path}};
  }

  MediaJson add_picture(const events::Image& image) {
    const Png png = encode_png(image.pixels);
    MediaJson value = add("image-file", "images", ".png", png.bytes);
    value["format"] = "png";
    value["width"] = png.width;
    value["height"] = png.height;
    return value;
  }

 private:
  const events::Media& media_;
  const std::filesystem::path& files_;
  std::vector<std::string>& written_;
};

MediaJson histogram_json(const events::Histogram& histogram) {
  // Neighbours are taken together until they are few enough.
  const size_t together = (histogram.counts.size() + most_bins - 1) / most_bins;
  MediaJson values = MediaJson::array();
  MediaJson bins = MediaJson::array();
  for (size_t begin = 0; begin < histogram.counts.size(); begin += together) {
    double sum = 0;
    const size_t end = std::min(begin + together, histogram.counts.size());
    for (size_t i = begin; i < end; ++i) sum += histogram.counts[i];
    values.push_back(sum);
    if (begin == 0) bins.push_back(histogram.edges[0]);
    bins.push_back(histogram.edges[end]);
  }
  return {{"_type", "histogram"}, {"values", values}, {"bins", bins}};
}

MediaJson table_json(const std::vector<std::string>& columns, const MediaJson& rows, MediaFolder& folder) {
  MediaJson table = {{"columns", columns}, {"data", rows}};
  MediaJson value =
      folder.add("table-file", "table", ".table.json", table.dump(-1, ' ', false, MediaJson::error_handler_t::replace));
  value["ncols"] = columns.size();
  value["nrows"] = rows.size();
  return value;
}

MediaJson cells_of(const events::Table& table, MediaFolder& folder) {
  MediaJson rows = MediaJson::array();
  for (const auto& cells : table.rows) {
    MediaJson row = MediaJson::array();
    for (const events::Table::Cell& cell : cells) {
      if (const auto* text = std::get_if<std::string>(&cell)) {
        row.push_back(*text);
      } else if (const auto* number = std::get_if<double>(&cell)) {
        row.push_back(json_number(*number));
      } else {
        row.push_back(folder.add_picture(std::get<events::Image>(cell)));
      }
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

MediaJson points_of(const events::PrecisionRecall& curve) {
  MediaJson rows = MediaJson::array();
  for (size_t i = 0; i < curve.points.size(); ++i) {
    const auto& point = curve.points[i];
    const double called = point.true_positives + point.false_positives;
    const double positives = point.true_positives + point.false_negatives;
    rows.push_back({static_cast<double>(i) / static_cast<double>(std::max<size_t>(curve.points.size() - 1, 1)),
                    called == 0 ? 1.0 : point.true_positives / called,
                    positives == 0 ? 0.0 : point.true_positives / positives});
  }
  return rows;
}

}  // namespace

std::string wandb_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return MediaJson(value).dump();
}

std::string wandb_media(const events::Media& media, const std::filesystem::path& files,
                        std::vector<std::string>& written) {
  MediaFolder folder(media, files, written);
  MediaJson value;
  if (const auto* histogram = std::get_if<events::Histogram>(&media.content)) {
    if (histogram->edges.size() != histogram->counts.size() + 1) return {};
    value = histogram_json(*histogram);
  } else if (const auto* image = std::get_if<events::Image>(&media.content)) {
    value = folder.add_picture(*image);
  } else if (const auto* text = std::get_if<events::Text>(&media.content)) {
    value = table_json({"text"}, MediaJson::array({MediaJson::array({valid_utf8(text->markdown)})}), folder);
  } else if (const auto* table = std::get_if<events::Table>(&media.content)) {
    value = table_json(table->columns, cells_of(*table, folder), folder);
  } else if (const auto* curve = std::get_if<events::PrecisionRecall>(&media.content)) {
    value = table_json({"threshold", "precision", "recall"}, points_of(*curve), folder);
  } else {
    return {};
  }
  return value.dump(-1, ' ', false, MediaJson::error_handler_t::replace);
}

}  // namespace athanor::track
