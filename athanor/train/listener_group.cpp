// SPDX-License-Identifier: Apache-2.0
#include "athanor/train/listener_group.hpp"

#include <exception>

namespace athanor {

ListenerGroup::ListenerGroup(Listeners listeners) : listeners_(std::move(listeners)) {
  std::erase(listeners_, nullptr);
}

template <class Event>
void ListenerGroup::tell(const Event& event, void (Listener::*hook)(const Event&)) {
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i] == nullptr) continue;
    try {
      (listeners_[i].get()->*hook)(event);
    } catch (const std::exception& error) {
      switch_off(i, error.what());
    } catch (...) {
      switch_off(i, "an exception of an unknown type");
    }
  }
}

void ListenerGroup::switch_off(size_t index, const std::string& reason) {
  const std::shared_ptr<Listener> failed = std::exchange(listeners_[index], nullptr);
  std::string name = "a listener";
  try {
    name = failed->name();
  } catch (...) {  // its name is not worth more trouble
  }
  on_message({.level = events::Message::Level::warning,
              .text = name + " failed and is switched off, training goes on: " + reason});
}

void ListenerGroup::on_run_begin(const events::RunBegin& event) { tell(event, &Listener::on_run_begin); }
void ListenerGroup::on_stage_begin(const events::StageBegin& event) { tell(event, &Listener::on_stage_begin); }
void ListenerGroup::on_progress(const events::Progress& event) { tell(event, &Listener::on_progress); }
void ListenerGroup::on_step(const events::Step& event) { tell(event, &Listener::on_step); }
void ListenerGroup::on_epoch_end(const events::EpochEnd& event) { tell(event, &Listener::on_epoch_end); }
void ListenerGroup::on_message(const events::Message& event) { tell(event, &Listener::on_message); }
void ListenerGroup::on_media(const events::Media& event) { tell(event, &Listener::on_media); }
void ListenerGroup::on_saving(const events::Saving& event) { tell(event, &Listener::on_saving); }

std::vector<std::string> ListenerGroup::remarks() {
  std::vector<std::string> texts(listeners_.size());
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i] == nullptr) continue;
    try {
      texts[i] = listeners_[i]->remark();
    } catch (const std::exception& error) {
      switch_off(i, error.what());
    }
  }
  return texts;
}

void ListenerGroup::tell_new_remarks(const std::vector<std::string>& before) {
  const std::vector<std::string> after = remarks();
  for (size_t i = 0; i < after.size(); ++i) {
    if (after[i].empty() || after[i] == before[i]) continue;
    on_message({.level = events::Message::Level::warning, .text = after[i]});
  }
}

void ListenerGroup::on_run_end(const events::RunEnd& event) {
  const std::vector<std::string> before = remarks();
  for (const std::string& text : before) {
    if (!text.empty()) on_message({.level = events::Message::Level::info, .text = text});
  }
  tell(event, &Listener::on_run_end);
  tell_new_remarks(before);
}

void ListenerGroup::on_run_broken(const events::RunBroken& event) {
  const std::vector<std::string> before = remarks();
  tell(event, &Listener::on_run_broken);
  tell_new_remarks(before);
}

void ListenerGroup::on_evaluation(const events::Evaluation& event) {
  const std::vector<std::string> before = remarks();
  tell(event, &Listener::on_evaluation);
  tell_new_remarks(before);
}

Listeners guarded(Listeners listeners) {
  if (listeners.empty()) return listeners;
  return {std::make_shared<ListenerGroup>(std::move(listeners))};
}

}  // namespace athanor
