// SPDX-License-Identifier: Apache-2.0
// Where a run takes place: device, folder, names of its data.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "athanor/core/folder.hpp"
#include "athanor/train/feed.hpp"

namespace athanor {

/// `auto`, `cpu`, `cuda`, `cuda:1`. Throws Error for another name, and for a device that is not there.
[[nodiscard]] at::Device choose_device(const std::string& name);

/// The folder itself when it is new or empty, else the next free name beside it (`fashion-2`), locked against other
/// processes. Throws Error when it can't be written.
[[nodiscard]] std::pair<std::filesystem::path, FolderLock> claim_folder(const std::filesystem::path& wanted);

/// Makes a folder that is to be gone on in, locks it, and removes what a killed process has left in it. Throws Error
/// when another run holds it and when it can't be written.
[[nodiscard]] FolderLock lock_folder(const std::filesystem::path& folder);

/// `2.13.0`
[[nodiscard]] const char* libtorch_version() noexcept;

/// The name of data, or that of their stage when they have none: it prefixes their values.
[[nodiscard]] std::string name_of(const Data& data, Stage stage);

/// Throws Error when two validation data have one name, or one is called `train`.
void check_names(const std::vector<Feed>& validation);

}  // namespace athanor
