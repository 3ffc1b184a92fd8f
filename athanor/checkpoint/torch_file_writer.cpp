// SPDX-License-Identifier: Apache-2.0
// From a tree to a .pt file: a walk that finds the storages, a walk that writes the pickle, then the storages.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <unordered_map>

#include "athanor/checkpoint/pickle_writer.hpp"
#include "athanor/checkpoint/torch_dtypes.hpp"
#include "athanor/checkpoint/torch_file.hpp"
#include "athanor/checkpoint/zip_writer.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"
#include "athanor/core/utf8.hpp"

namespace athanor {
namespace {

constexpr std::string_view archive_folder = "archive/";

/// The part of a storage that tensors of a tree reach.
struct ReachedStorage {
  at::Storage storage;
  TorchType dtype;
  bool has_several_dtypes = false;
  std::uint64_t begin = UINT64_MAX;  // in bytes
  std::uint64_t end = 0;
};

/// The bytes of the storage that a tensor reaches.
std::pair<std::uint64_t, std::uint64_t> reach_of(const at::Tensor& tensor) {
  const auto element = static_cast<std::uint64_t>(tensor.element_size());
  const auto begin = static_cast<std::uint64_t>(tensor.storage_offset()) * element;
  if (tensor.numel() == 0) return {UINT64_MAX, 0};
  std::uint64_t last = 0;
  for (std::int64_t i = 0; i < tensor.dim(); ++i) {
    last += static_cast<std::uint64_t>(tensor.size(i) - 1) * static_cast<std::uint64_t>(tensor.stride(i));
  }
  return {begin, begin + (last + 1) * element};
}

/// The whole number that a name spells, as Python would print it.
std::optional<std::int64_t> whole_number(std::string_view name) {
  std::int64_t number = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (problem != std::errc() || end != name.data() + name.size() || std::to_string(number) != name) return std::nullopt;
  return number;
}

/// Whether this is the dictionary of an optimizer of Python, whose `state` has the numbers of parameters as keys.
bool is_optimizer_state(const Tree& tree) {
  const Tree* state = tree.find("state");
  const Tree* groups = tree.find("param_groups");
  return state != nullptr && groups != nullptr && state->is_dictionary() && groups->is_list() &&
         std::all_of(state->entries().begin(), state->entries().end(),
                     [](const Tree::Entry& entry) { return whole_number(entry.first).has_value(); });
}

class TorchFileWriter {
 public:
  explicit TorchFileWriter(const std::filesystem::path& path) : path_(path) {}

  void write(const Tree& tree) {
    const at::NoGradGuard no_grad;
    collect(tree);
    put(tree, /*whole_number_keys=*/false);
    const std::string pickle = pickle_.finish();
    write_file_atomically(path_, [&](FileWriter& file) {
      ZipWriter archive([&](std::span<const std::byte> bytes) { file.write(bytes); });
      const auto name = [](std::string_view last) { return std::string(archive_folder).append(last); };
      archive.add(name("data.pkl"), pickle);
      archive.add(name(".format_version"), "1");
      archive.add(name(".storage_alignment"), std::to_string(zip_alignment));
      archive.add(name("byteorder"), "little");
      for (std::size_t i = 0; i < storages_.size(); ++i) add(archive, name("data/" + std::to_string(i)), storages_[i]);
      archive.add(name("version"), "3\n");
      archive.finish();
    });
  }

 private:
  class Step {
   public:
    Step(TorchFileWriter& writer, std::string name) : writer_(writer) {
      writer_.path_in_tree_.push_back(std::move(name));
    }
    ~Step() { writer_.path_in_tree_.pop_back(); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    TorchFileWriter& writer_;
  };

  [[noreturn]] void refuse(std::string what, std::string got, std::string expected, std::string todo) const {
    std::string value;
    for (const std::string& part : path_in_tree_) value.append(value.empty() ? "" : ".").append(part);
    throw Error({.what = std::move(what),
                 .where = path_.string() + (value.empty() ? "" : ", value '" + value + "'"),
                 .got = std::move(got),
                 .expected = std::move(expected),
                 .todo = std::move(todo)});
  }

  // The first walk.

  void collect(const Tree& tree) {
    if (tree.is_list()) {
      for (std::size_t i = 0; i < tree.size(); ++i) {
        const Step step(*this, std::to_string(i));
        collect(tree.items()[i]);
      }
    } else if (tree.is_dictionary()) {
      for (const auto& [name, each] : tree.entries()) {
        const Step step(*this, name);
        collect(each);
      }
    } else if (tree.is_tensor()) {
      collect(tree.tensor());
    }
  }

  void collect(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      refuse("an undefined tensor can't be written", "undefined", "a tensor", "give it a value or leave it out");
    }
    const auto dtype = torch_type_of(tensor.scalar_type());
    if (tensor.layout() != at::kStrided || tensor.is_quantized() || tensor.is_meta() || !dtype) {
      refuse("a tensor of this kind can't be written to a .pt file",
             tensor.is_meta() ? "a tensor without data (meta)" : tensor.toString(), "a dense tensor",
             "convert it first, for example by to_dense() or dequantize()");
    }
    const auto [begin, end] = reach_of(tensor);
    const at::Storage& storage = tensor.storage();
    const auto [known, is_new] = numbers_.try_emplace(storage.unsafeGetStorageImpl(), storages_.size());
    if (is_new) storages_.push_back({.storage = storage, .dtype = *dtype});
    ReachedStorage& reached = storages_[known->second];
    reached.begin = std::min(reached.begin, begin);
    reached.end = std::max(reached.end, end);
    reached.has_several_dtypes = reached.has_several_dtypes || reached.dtype != *dtype;
  }

  // The second walk.

  void put(const Tree& tree, bool whole_number_keys) {
    switch (tree.kind()) {
      case Tree::Kind::empty:
        return pickle_.none();
      case Tree::Kind::tensor:
        return put(tree.tensor());
      case Tree::Kind::boolean:
        return pickle_.boolean(tree.boolean());
      case Tree::Kind::integer:
        return pickle_.integer(tree.integer());
      case Tree::Kind::real:
        return pickle_.real(tree.real());
      case Tree::Kind::text:
        return put_text(tree.text());
      case Tree::Kind::list:
        pickle_.begin_list();
        for (std::size_t i = 0; i < tree.size(); ++i) {
          const Step step(*this, std::to_string(i));
          put(tree.items()[i], false);
        }
        return pickle_.end_list();
      case Tree::Kind::dictionary: {
        const bool is_optimizer = is_optimizer_state(tree);
        pickle_.begin_dictionary();
        for (const auto& [name, each] : tree.entries()) {
          const Step step(*this, name);
          if (whole_number_keys) {
            pickle_.integer(*whole_number(name));
          } else {
            put_text(name);
          }
          put(each, is_optimizer && name == "state");
        }
        return pickle_.end_dictionary();
      }
    }
  }

  void put_text(const std::string& text) {
    if (!is_utf8(text) || text.size() > UINT32_MAX) {
      refuse("a text can't be written to a .pt file", std::to_string(text.size()) + " bytes",
             "UTF-8 of less than 2^32 bytes", "write other bytes as a tensor of uint8");
    }
    pickle_.text(text);
  }

  void put(const at::Tensor& tensor) {
    const std::size_t number = numbers_.at(tensor.storage().unsafeGetStorageImpl());
    const ReachedStorage& reached = storages_[number];
    const TorchType dtype = *torch_type_of(tensor.scalar_type());
    const std::string_view typed = reached.has_several_dtypes ? std::string_view() : storage_name_of(dtype);
    const std::uint64_t element = typed.empty() ? 1 : bytes_of(dtype);
    pickle_.global("torch._utils", typed.empty() ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
    pickle_.begin_tuple();
    pickle_.begin_tuple();
    pickle_.text("storage");
    pickle_.global(typed.empty() ? "torch.storage" : "torch", typed.empty() ? "UntypedStorage" : typed);
    pickle_.text(std::to_string(number));
    pickle_.text("cpu");
    pickle_.integer(static_cast<std::int64_t>(part_bytes(reached) / element));
    pickle_.end_tuple();
    pickle_.persistent();
    pickle_.integer(tensor.numel() == 0 ? 0
                                        : tensor.storage_offset() -
                                              static_cast<std::int64_t>(aligned_begin(reached) / bytes_of(dtype)));
    pickle_.integers({tensor.sizes().data(), tensor.sizes().size()});
    pickle_.integers({tensor.strides().data(), tensor.strides().size()});
    pickle_.boolean(tensor.requires_grad());
    pickle_.global("collections", "OrderedDict");
    pickle_.integers({});
    pickle_.call();
    if (typed.empty()) pickle_.global("torch", name_of(dtype));
    if (tensor.is_conj() || tensor.is_neg()) put_metadata(tensor);
    pickle_.end_tuple();
    pickle_.call();
  }

  void put_metadata(const at::Tensor& tensor) {
    pickle_.begin_dictionary();
    for (const auto& [name, is_set] : {std::pair("conj", tensor.is_conj()), std::pair("neg", tensor.is_neg())}) {
      if (!is_set) continue;
      pickle_.text(name);
      pickle_.boolean(true);
    }
    pickle_.end_dictionary();
  }

  // A part is cut out at multiples of the widest element, so that offsets stay whole numbers of any.

  static constexpr std::uint64_t widest = 16;
  static std::uint64_t aligned_begin(const ReachedStorage& reached) {
    return reached.end > 0 ? reached.begin / widest * widest : 0;
  }
  static std::uint64_t part_bytes(const ReachedStorage& reached) { return reached.end - aligned_begin(reached); }

  static void add(ZipWriter& archive, const std::string& name, const ReachedStorage& reached) {
    const std::uint64_t size = part_bytes(reached);
    if (size == 0) return archive.add(name, std::string_view());
    at::Tensor bytes = at::empty({0}, at::TensorOptions().dtype(at::kByte).device(reached.storage.device()));
    bytes.set_(reached.storage, static_cast<std::int64_t>(aligned_begin(reached)), {static_cast<std::int64_t>(size)},
               {1});
    bytes = bytes.cpu();
    archive.add(name, {static_cast<const std::byte*>(bytes.const_data_ptr()), static_cast<std::size_t>(size)});
  }

  const std::filesystem::path& path_;
  PickleWriter pickle_;
  std::vector<std::string> path_in_tree_;
  std::vector<ReachedStorage> storages_;
  std::unordered_map<const c10::StorageImpl*, std::size_t> numbers_;
};

}  // namespace

void save_torch_file(const std::filesystem::path& path, const Tree& tree) { TorchFileWriter(path).write(tree); }

}  // namespace athanor
