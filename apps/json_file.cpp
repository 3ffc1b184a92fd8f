// SPDX-License-Identifier: Apache-2.0
#include "apps/json_file.hpp"

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor::command {
namespace {

constexpr std::size_t most_bytes = std::size_t{64} << 20;
constexpr int deepest = 64;

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  if (text.size() > most_bytes) {
    throw Error({.what = "a JSON file is too long",
                 .where = where,
                 .got = std::to_string(text.size()) + " bytes",
                 .expected = "at most " + std::to_string(most_bytes)});
  }
  const auto limit_depth = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > deepest) {
      throw Error({.what = "a JSON file is nested too deeply",
                   .where = where,
                   .expected = "at most " + std::to_string(deepest) + " levels"});
    }
    return true;
  };
  try {
    return Json::parse(text, limit_depth);
  } catch (const nlohmann::json::exception& error) {
    std::string words = error.what();
    words.erase(0, words.find("] ") == std::string::npos ? 0 : words.find("] ") + 2);
    throw Error({.what = "this is not JSON", .where = where, .got = words});
  }
}

Json read_json(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_json({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, path.string());
}

const Json& member(const Json& object, std::string_view name) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(std::string(name));
  return found == object.end() ? null : *found;
}

std::string text_of(const Json& value) {
  if (value.is_null()) return {};
  if (value.is_string()) return value.get<std::string>();
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump(const Json& value) { return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::vector<ManifestFile> files_of_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / manifest_name;
  const Json manifest = parse_json(read_checked_manifest(folder), path.string());
  if (member(manifest, "format") != 1) {
    throw Error({.what = "a checkpoint has a format that is not known",
                 .where = path.string(),
                 .got = text_of(member(manifest, "format")),
                 .expected = "1",
                 .todo = "use the version of Athanor that wrote it"});
  }
  std::vector<ManifestFile> files;
  for (const auto& [name, file] : member(manifest, "files").items()) {
    const Json& bytes = member(file, "bytes");
    const Json& crc32 = member(file, "crc32");
    if (!bytes.is_number_integer() || !crc32.is_string()) {
      refuse_damaged_checkpoint(path, "no size or checksum of " + name, "both for each file");
    }
    files.push_back({.name = name, .bytes = bytes.get<std::uint64_t>(), .crc32 = crc32.get<std::string>()});
  }
  return files;
}

}  // namespace athanor::command
