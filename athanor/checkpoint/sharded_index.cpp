// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/sharded_index.hpp"

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

constexpr std::size_t deepest_index = 32;
constexpr std::size_t longest_index = 100'000'000;
constexpr std::string_view weight_map_key = "weight_map";

/// Takes from the events of a parser what lies under `weight_map` and `metadata`, and counts the levels.
class IndexReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IndexReader(std::string_view file_name) : file_name_(file_name) {}

  ShardedIndex take() {
    if (!has_map_)
      refuse("the index of weights in several files has no weight_map", {}, "an object under 'weight_map'");
    return std::move(index_);
  }

  bool start_object(std::size_t /*elements*/) override {
    if (in_map()) refuse_value("an object");
    descend();
    if (keys_.size() == 2 && keys_[0] == weight_map_key) {
      if (has_map_) refuse("the index of weights in several files has two weight_maps", {});
      has_map_ = true;
    }
    return true;
  }
  bool start_array(std::size_t /*elements*/) override {
    if (in_map() || keys_.empty()) refuse_value("a list");
    if (keys_.size() == 1 && keys_[0] == weight_map_key) refuse_value("a list");
    descend();
    return true;
  }
  bool end_object() override { return ascend(); }
  bool end_array() override { return ascend(); }

  bool key(std::string& name) override {
    keys_.back() = name;
    if (in_map() && !seen_.insert(name).second) {
      refuse("the index of weights in several files names a tensor twice", name);
    }
    return true;
  }

  bool string(std::string& text) override {
    if (in_map()) {
      check_file(text);
      index_.files.emplace_back(keys_[1], text);
      return true;
    }
    return other("\"" + shortened(text) + "\"");
  }

  bool number_unsigned(number_unsigned_t number) override {
    if (keys_.size() == 2 && keys_[0] == "metadata" && keys_[1] == "total_size") index_.total_bytes = number;
    return other(std::to_string(number));
  }
  bool null() override { return other("null"); }
  bool boolean(bool value) override { return other(value ? "true" : "false"); }
  bool number_integer(number_integer_t number) override { return other(std::to_string(number)); }
  bool number_float(number_float_t /*number*/, const std::string& text) override { return other(text); }
  bool binary(binary_t& /*bytes*/) override { return other("bytes"); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& failure) override {
    throw Error({.what = "the index of weights in several files is not JSON in UTF-8",
                 .where = std::string(file_name_) + ", byte " + std::to_string(position),
                 .got = shortened(failure.what()),
                 .todo = "write or download the file again"});
  }

 private:
  [[noreturn]] void refuse(std::string what, const std::string& got, std::string expected = {}) const {
    throw Error({.what = std::move(what),
                 .where = std::string(file_name_),
                 .got = shortened(got),
                 .expected = std::move(expected),
                 .todo = "write or download the file again"});
  }

  [[noreturn]] void refuse_value(const std::string& got) const {
    refuse(
        "the index of weights in several files has another form than it must have", got,
        keys_.size() == 2 ? "the name of a file under '" + shortened(keys_[1]) + "'" : "an object with a weight_map");
  }

  /// Between the braces of the map.
  [[nodiscard]] bool in_map() const { return keys_.size() == 2 && keys_[0] == weight_map_key; }

  bool other(const std::string& got) {
    if (in_map() || keys_.empty() || (keys_.size() == 1 && keys_[0] == weight_map_key)) refuse_value(got);
    return true;
  }

  void descend() {
    if (keys_.size() == deepest_index)
      refuse("the index of weights in several files is nested too deeply", "33 levels", "32");
    keys_.emplace_back();
  }
  bool ascend() {
    keys_.pop_back();
    return true;
  }

  void check_file(const std::string& name) const {
    if (!name.empty() && name != "." && name != ".." &&
        name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos) {
      return;
    }
    refuse("the index of weights in several files names a file outside its folder", name,
           "the name of a file beside it");
  }

  std::string_view file_name_;
  ShardedIndex index_;
  bool has_map_ = false;
  std::vector<std::string> keys_;  // the key under which each level is now; empty in a list
  std::unordered_set<std::string> seen_;
};

}  // namespace

ShardedIndex parse_sharded_index(std::string_view json, std::string_view file_name) {
  // The JSON parser would take a byte order mark, and a zero byte for the end.
  if (json.empty() || json.size() > longest_index || json.find('\0') != std::string_view::npos ||
      json.starts_with('\xEF')) {
    throw Error({.what = "the index of weights in several files is not JSON in UTF-8",
                 .where = std::string(file_name),
                 .got = std::to_string(json.size()) + " bytes",
                 .expected = "text of at most 100000000 bytes"});
  }
  IndexReader reader(file_name);
  nlohmann::json::sax_parse(json, &reader);
  return reader.take();
}

std::string sharded_index_json(const ShardedIndex& index) {
  nlohmann::json json;
  json["metadata"]["total_size"] = index.total_bytes;
  json["weight_map"] = nlohmann::json::object();
  for (const auto& [name, file] : index.files) json["weight_map"][name] = file;
  try {
    return json.dump(2) + "\n";
  } catch (const nlohmann::json::type_error& failure) {
    throw Error({.what = "the name of a tensor is not UTF-8", .got = shortened(failure.what())});
  }
}

}  // namespace athanor
