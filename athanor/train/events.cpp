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
