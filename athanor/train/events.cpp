// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/events.hpp"

#include <c10/util/Type.h>

#include <typeinfo>

namespace athanor {

const char* stage_name(Stage stage) noexcept {
  switch (stage) {
    case Stage::train:
      return "train";
    case Stage::validation:
      return "val";
    case Stage::test:
      return "test";
    case Stage::predict:
      return "predict";
  }
  return "unknown";
}

events::Media::Content events::copied(Media::Content content) {
  const auto keep = [](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  };
  if (auto* image = std::get_if<Image>(&content)) keep(image->pixels);
  if (auto* embedding = std::get_if<Embedding>(&content)) {
    keep(embedding->vectors);
    keep(embedding->pictures);
  }
  if (auto* table = std::get_if<Table>(&content)) {
    for (auto& row : table->rows) {
      for (Table::Cell& cell : row) {
        if (auto* image = std::get_if<Image>(&cell)) keep(image->pixels);
      }
    }
  }
  return content;
}

Listener::~Listener() = default;
void Listener::on_run_begin(const events::RunBegin&) {}
void Listener::on_stage_begin(const events::StageBegin&) {}
void Listener::on_progress(const events::Progress&) {}
void Listener::on_step(const events::Step&) {}
void Listener::on_epoch_end(const events::EpochEnd&) {}
void Listener::on_message(const events::Message&) {}
void Listener::on_run_end(const events::RunEnd&) {}
void Listener::on_media(const events::Media&) {}
void Listener::on_run_broken(const events::RunBroken&) {}
void Listener::on_evaluation(const events::Evaluation&) {}
void Listener::on_saving(const events::Saving&) {}
std::string Listener::name() const { return c10::demangle(typeid(*this).name()); }
std::string Listener::remark() const { return {}; }

}  // namespace athanor
