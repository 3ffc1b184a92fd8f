// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/run_place.hpp"

#include <torch/torch.h>
#include <torch/version.h>

#include <set>

#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor {

at::Device choose_device(const std::string& name) {
  if (name == "auto") return torch::cuda::is_available() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  try {
    const at::Device device(name);
    if (device.is_cuda() && !torch::cuda::is_available()) {
      throw Error({.what = "there is no CUDA device",
                   .where = "option device",
                   .got = name,
                   .expected = "auto or cpu on this machine",
                   .todo = "install the CUDA build of LibTorch and a driver, or leave the option out"});
    }
    return device.is_cuda() && !device.has_index() ? at::Device(at::kCUDA, 0) : device;
  } catch (const c10::Error&) {
    throw Error({.what = "this is not the name of a device",
                 .where = "option device",
                 .got = name,
                 .expected = "auto, cpu, cuda or cuda:N"});
  }
}

std::pair<std::filesystem::path, FolderLock> claim_folder(const std::filesystem::path& wanted) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  for (int n = 1;; ++n) {
    fs::path folder = wanted;
    if (n > 1) folder += "-" + std::to_string(n);
    if (fs::is_directory(folder, ignored) && !fs::is_empty(folder, ignored)) continue;
    require_writable_directory(folder);
    if (auto lock = FolderLock::try_lock(folder)) return {std::move(folder), std::move(*lock)};
  }
}

FolderLock lock_folder(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  require_writable_directory(folder);
  FolderLock lock = FolderLock::lock(folder);
  remove_leftovers(folder);
  std::error_code ignored;
  for (fs::directory_iterator entry(folder, ignored), end; entry != end; entry.increment(ignored)) {
    if (entry->is_directory(ignored)) remove_leftovers(entry->path());
  }
  return lock;
}

const char* libtorch_version() noexcept { return TORCH_VERSION; }

std::string name_of(const Data& data, Stage stage) { return data.name().empty() ? stage_name(stage) : data.name(); }

void check_names(const std::vector<Feed>& validation) {
  std::set<std::string> names;
  for (const Feed& feed : validation) {
    const std::string name = name_of(feed.data, Stage::validation);
    if (name == "train") {
      throw Error({.what = "validation data can't be called 'train'",
                   .where = "fit",
                   .expected = "another name, because the values of training are called train_…"});
    }
    if (!names.insert(name).second) {
      throw Error({.what = "two validation data have one name",
                   .where = "fit",
                   .got = name,
                   .expected = "a name for each, because it prefixes their values",
                   .todo = "name them: Data(…).named(\"clean\")"});
    }
  }
}

}  // namespace athanor
