// SPDX-License-Identifier: Apache-2.0
// The files of TensorBoard's PROJECTOR page.
#pragma once

#include <filesystem>
#include <string>

#include "athanor/train/events.hpp"

namespace athanor::track {

/// Writes `projector/NAME-STEP/{tensors.tsv, metadata.tsv, sprite.png}` into the folder of event files, and names them
/// in `projector_config.pbtxt` there, which keeps what it names already. Pictures are laid out in a square of at most
/// 8192 pixels; more are left out, with all pictures. Throws Error for vectors that are not (N, D), for labels and
/// pictures of another number, and when a file can't be written.
void write_embedding(const std::filesystem::path& folder, const std::string& name, int64_t step,
                     const events::Embedding& embedding);

}  // namespace athanor::track
