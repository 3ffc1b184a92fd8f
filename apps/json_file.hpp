// SPDX-License-Identifier: Apache-2.0
// JSON files that may be damaged or made to harm.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "athanor/checkpoint/manifest.hpp"

namespace athanor::command {

/// JSON whose objects keep their order.
using Json = nlohmann::ordered_json;

/// Throws Error for what is not JSON in UTF-8, is nested deeper than 64 levels or has more than 64 MiB.
[[nodiscard]] Json parse_json(std::string_view text, const std::string& where);
[[nodiscard]] Json read_json(const std::filesystem::path& path);

/// The member of that name, or null.
[[nodiscard]] const Json& member(const Json& object, std::string_view name);
/// Text as it is, everything else as JSON; null as nothing.
[[nodiscard]] std::string text_of(const Json& value);
/// Indented, with characters that are not UTF-8 replaced.
[[nodiscard]] std::string dump(const Json& value);

/// What the manifest of a checkpoint folder lists, in its order. Throws Error when it is damaged.
[[nodiscard]] std::vector<ManifestFile> files_of_manifest(const std::filesystem::path& folder);

}  // namespace athanor::command
