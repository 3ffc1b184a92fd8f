// SPDX-License-Identifier: Apache-2.0
// Reads the JSON header event by event, so that its depth and form are checked before anything is kept.
#include "athanor/checkpoint/safetensors_json.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "athanor/core/error.hpp"

namespace athanor {
namespace {

struct TypeRow {
  SafetensorsType type;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array type_rows{
    TypeRow{SafetensorsType::boolean, "BOOL", 1},
    TypeRow{SafetensorsType::uint8, "U8", 1},
    TypeRow{SafetensorsType::int8, "I8", 1},
    TypeRow{SafetensorsType::float8_e5m2, "F8_E5M2", 1},
    TypeRow{SafetensorsType::float8_e4m3, "F8_E4M3", 1},
    TypeRow{SafetensorsType::int16, "I16", 2},
    TypeRow{SafetensorsType::uint16, "U16", 2},
    TypeRow{SafetensorsType::float16, "F16", 2},
    TypeRow{SafetensorsType::bfloat16, "BF16", 2},
    TypeRow{SafetensorsType::int32, "I32", 4},
    TypeRow{SafetensorsType::uint32, "U32", 4},
    TypeRow{SafetensorsType::float32, "F32", 4},
    TypeRow{SafetensorsType::complex64, "C64", 8},
    TypeRow{SafetensorsType::float64, "F64", 8},
    TypeRow{SafetensorsType::int64, "I64", 8},
    TypeRow{SafetensorsType::uint64, "U64", 8},
};

constexpr bool rows_follow_enum() {
  for (std::size_t i = 0; i < type_rows.size(); ++i) {
    if (static_cast<std::size_t>(type_rows[i].type) != i) return false;
  }
  return true;
}
static_assert(rows_follow_enum());

constexpr std::size_t most_dimensions = 64;

// One level of the header: the object of tensors, the object of one tensor or of the metadata, a list of numbers.
enum class Level : std::uint8_t { start, tensors, metadata, tensor, shape, offsets, done };

class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string_view file_name) : file_name_(file_name) {}

  SafetensorsIndex take() { return std::move(index_); }

  bool start_object(std::size_t /*elements*/) override {
    if (level_ == Level::start) {
      level_ = Level::tensors;
    } else if (level_ == Level::tensors && key_ == "__metadata__") {
      level_ = Level::metadata;
    } else if (level_ == Level::tensors) {
      level_ = Level::tensor;
      entry_ = {};
      entry_.name = key_;
      seen_fields_.clear();
      offsets_.clear();
    } else {
      refuse("an object");
    }
    return true;
  }

  bool key(std::string& name) override {
    auto& seen = level_ == Level::tensors ? seen_names_ : level_ == Level::metadata ? seen_metadata_ : seen_fields_;
    if (!seen.insert(name).second) {
      throw Error({.what = "a name occurs twice in the header",
                   .where = where(),
                   .got = "'" + shortened(name) + "' twice",
                   .expected = "each name once",
                   .todo = "write the file again"});
    }
    if (level_ == Level::tensor && name != "dtype" && name != "shape" && name != "data_offsets") {
      throw Error({.what = "the header says something unknown about a tensor",
                   .where = where(),
                   .got = "'" + shortened(name) + "'",
                   .expected = "dtype, shape and data_offsets"});
    }
    key_ = name;
    return true;
  }

  bool end_object() override {
    if (level_ == Level::tensor) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (seen_fields_.contains(field)) continue;
        throw Error({.what = "the header does not say enough about a tensor",
                     .where = where(),
                     .got = std::string("no ") + field,
                     .expected = "dtype, shape and data_offsets"});
      }
      index_.entries.push_back(std::move(entry_));
    }
    level_ = level_ == Level::tensors ? Level::done : Level::tensors;
    return true;
  }

  bool start_array(std::size_t /*elements*/) override {
    if (level_ != Level::tensor || key_ == "dtype") refuse("a list");
    level_ = key_ == "shape" ? Level::shape : Level::offsets;
    return true;
  }

  bool end_array() override {
    if (level_ == Level::offsets) {
      if (offsets_.size() != 2) refuse(std::to_string(offsets_.size()) + " numbers");
      entry_.begin = offsets_[0];
      entry_.end = offsets_[1];
    }
    level_ = Level::tensor;
    return true;
  }

  bool string(std::string& text) override {
    if (level_ == Level::metadata) {
      index_.metadata.emplace(key_, text);
    } else if (level_ == Level::tensor && key_ == "dtype") {
      entry_.dtype = type_named(text);
    } else {
      refuse("\"" + text + "\"");
    }
    return true;
  }

  bool number_unsigned(number_unsigned_t number) override {
    if (level_ == Level::shape) {
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) refuse(std::to_string(number));
      if (entry_.shape.size() == most_dimensions) refuse("more than 64 dimensions");
      entry_.shape.push_back(static_cast<std::int64_t>(number));
    } else if (level_ == Level::offsets) {
      if (offsets_.size() == 2) refuse("more than two numbers");
      offsets_.push_back(number);
    } else {
      refuse(std::to_string(number));
    }
    return true;
  }

  bool null() override { refuse("null"); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool number_integer(number_integer_t number) override { refuse(std::to_string(number)); }
  bool number_float(number_float_t /*number*/, const std::string& text) override { refuse(text); }
  bool binary(binary_t& /*bytes*/) override { refuse("bytes"); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& failure) override {
    throw Error({.what = "the header of a safetensors file is not JSON in UTF-8",
                 .where = std::string(file_name_) + ", byte " + std::to_string(position) + " of the header",
                 .got = shortened(failure.what()),
                 .todo = "check that this is a safetensors file; if it is, write or download it again"});
  }

 private:
  [[nodiscard]] std::string where() const {
    std::string text(file_name_);
    if (level_ == Level::metadata) return text + ", metadata";
    if (level_ == Level::tensor || level_ == Level::shape || level_ == Level::offsets) {
      return text + ", tensor '" + shortened(entry_.name) + "'";
    }
    return text;
  }

  [[noreturn]] void refuse(const std::string& got) const {
    std::string expected;
    switch (level_) {
      case Level::start:
      case Level::done:
        expected = "one object of tensors";
        break;
      case Level::tensors:
        expected = "an object under '" + shortened(key_) + "'";
        break;
      case Level::metadata:
        expected = "a string under '" + shortened(key_) + "'";
        break;
      case Level::tensor:
        expected =
            key_ == "dtype" ? "a string under 'dtype'" : "a list of whole numbers under '" + shortened(key_) + "'";
        break;
      case Level::shape:
        expected = "at most 64 whole numbers from 0 on under 'shape'";
        break;
      case Level::offsets:
        expected = "two whole numbers from 0 on under 'data_offsets'";
        break;
    }
    throw Error({.what = "the header of a safetensors file has another form than it must have",
                 .where = where(),
                 .got = shortened(got),
                 .expected = expected,
                 .todo = "write the file again"});
  }

  [[nodiscard]] SafetensorsType type_named(const std::string& name) const {
    const auto* row =
        std::find_if(type_rows.begin(), type_rows.end(), [&](const TypeRow& r) { return r.name == name; });
    if (row != type_rows.end()) return row->type;
    std::string known;
    for (const auto& each : type_rows) known.append(known.empty() ? "" : ", ").append(each.name);
    throw Error({.what = "a tensor has a type that is not known here",
                 .where = where(),
                 .got = shortened(name),
                 .expected = "one of " + known,
                 .todo = "convert the tensor before it is written"});
  }

  std::string_view file_name_;
  Level level_ = Level::start;
  std::string key_;
  TensorEntry entry_;
  std::vector<std::uint64_t> offsets_;
  std::unordered_set<std::string> seen_names_;
  std::unordered_set<std::string> seen_metadata_;
  std::unordered_set<std::string> seen_fields_;
  SafetensorsIndex index_;
};

}  // namespace

std::string shortened(std::string_view text) {
  constexpr std::size_t limit = 200;
  if (text.size() <= limit) return std::string(text);
  std::size_t cut = limit;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return std::string(text.substr(0, cut)) + "...";
}

std::string_view name_of(SafetensorsType type) noexcept { return type_rows[static_cast<std::size_t>(type)].name; }

std::size_t bytes_of(SafetensorsType type) noexcept { return type_rows[static_cast<std::size_t>(type)].bytes; }

SafetensorsIndex parse_safetensors_json(std::string_view json, std::string_view file_name) {
  // The JSON parser would take a byte order mark, and a zero byte for the end; the official reader takes neither.
  if (!json.starts_with('{') || json.find('\0') != std::string_view::npos) {
    throw Error({.what = "the file is not a safetensors file",
                 .where = std::string(file_name),
                 .got = json.empty()             ? "an empty header"
                        : !json.starts_with('{') ? "a header that does not begin with '{'"
                                                 : "a header with a zero byte",
                 .expected = "a header in JSON",
                 .todo = "check that this is a safetensors file; if it is, write or download it again"});
  }
  HeaderReader reader(file_name);
  nlohmann::json::sax_parse(json, &reader);
  return reader.take();
}

}  // namespace athanor
