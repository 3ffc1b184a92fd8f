// SPDX-License-Identifier: Apache-2.0
#include "athanor/checkpoint/torch_context.hpp"

#include "athanor/checkpoint/latin1.hpp"
#include "athanor/checkpoint/safetensors_json.hpp"
#include "athanor/core/error.hpp"

namespace athanor {
namespace {

constexpr std::size_t deepest_value = 200;
constexpr std::size_t most_torch_dimensions = 64;

}  // namespace

TorchContext::TorchContext(const Pickle& values, std::size_t pickle_bytes, std::string_view file_name)
    : pickle(values), file_name_(file_name), budget_(4 * pickle_bytes + (std::size_t{1} << 16U)) {}

TorchContext::Deeper::Deeper(TorchContext& context) : context_(context) {
  if (context_.depth_ == deepest_value) {
    context_.refuse("a .pt file is nested too deeply, or a value in it contains itself", {}, "at most 200 levels");
  }
  ++context_.depth_;
}

void TorchContext::spend(std::size_t cost) {
  if (cost > budget_) {
    refuse("the values of a .pt file repeat too often", "more than four times what the file holds", {},
           "write the file again; tensors may be shared, lists and dictionaries may not");
  }
  budget_ -= cost;
}

void TorchContext::refuse(std::string what, std::string_view got, std::string expected, std::string todo) const {
  std::string path;
  for (const std::string& part : path_) path.append(path.empty() ? "" : ".").append(part);
  throw Error({.what = std::move(what),
               .where = std::string(file_name_) + (path.empty() ? "" : ", value '" + shortened(path) + "'"),
               .got = shortened(got),
               .expected = std::move(expected),
               .todo = std::move(todo)});
}

void TorchContext::refuse_form(std::string_view got) const {
  refuse("a value in a .pt file has another form than torch.save gives it", got, {},
         "write or download the file again");
}

std::optional<PickleId> TorchContext::state(PickleId id) const {
  const Ids parts = pickle.children(id);
  return parts.size() > 2 ? std::optional(parts[2]) : std::nullopt;
}

std::int64_t TorchContext::integer(PickleId id) const {
  if (kind(id) != PickleKind::integer) refuse_form("a whole number was expected");
  return pickle.integer(id);
}

bool TorchContext::boolean(PickleId id) const {
  if (kind(id) != PickleKind::boolean) refuse_form("a boolean was expected");
  return pickle.boolean(id);
}

double TorchContext::real(PickleId id) const {
  if (kind(id) != PickleKind::real) refuse_form("a number was expected");
  return pickle.real(id);
}

std::string TorchContext::text(PickleId id) const {
  constexpr std::size_t longest = 1000;
  if (kind(id) != PickleKind::text || pickle.text(id).size() > longest) refuse_form("a name was expected");
  return std::string(pickle.text(id));
}

TorchContext::Ids TorchContext::tuple(PickleId id) const {
  if (kind(id) != PickleKind::tuple && kind(id) != PickleKind::list) refuse_form("a tuple was expected");
  return pickle.children(id);
}

std::vector<std::int64_t> TorchContext::integers(PickleId id) {
  if (kind(id) == PickleKind::call && function(id) == "torch.Size" && arguments(id).size() == 1) {
    id = arguments(id)[0];
  }
  const Ids items = tuple(id);
  if (items.size() > most_torch_dimensions) {
    refuse("a tensor has too many dimensions", std::to_string(items.size()), "at most 64");
  }
  spend(items.size());
  std::vector<std::int64_t> numbers;
  for (const PickleId item : items) numbers.push_back(integer(item));
  return numbers;
}

std::string TorchContext::bytes(PickleId id) {
  const Deeper deeper(*this);
  if (kind(id) == PickleKind::bytes) {
    spend(pickle.text(id).size() / 16);
    return std::string(pickle.text(id));
  }
  if (kind(id) == PickleKind::call) {
    const std::string_view name = function(id);
    const Ids given = arguments(id);
    if (name == "builtins.bytes" && given.empty()) return {};
    if (name == "builtins.bytearray") return given.empty() ? std::string() : bytes(given[0]);
    if (name == "_codecs.encode" && given.size() == 2 && kind(given[0]) == PickleKind::text) {
      spend(pickle.text(given[0]).size() / 16);
      if (auto encoded = latin1_bytes(pickle.text(given[0])); encoded && text(given[1]) == "latin1") return *encoded;
    }
  }
  refuse_form("bytes were expected");
}

}  // namespace athanor
