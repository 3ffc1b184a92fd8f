// SPDX-License-Identifier: Apache-2.0
#include "athanor/nn/script_module.hpp"

#include <torch/csrc/jit/serialization/export.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/torch.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "athanor/checkpoint/zip_index.hpp"
#include "athanor/core/error.hpp"
#include "athanor/core/file.hpp"

namespace athanor {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t most_code_bytes = std::uint64_t{64} << 20;

[[noreturn]] void refuse_script(const fs::path& path, std::string what, std::string got = {}, std::string todo = {}) {
  throw Error({.what = std::move(what), .where = path.string(), .got = std::move(got), .todo = std::move(todo)});
}

/// The checksum of a packed file, that of what is in it.
std::uint32_t unpacked_crc32(std::span<const std::byte> packed, const fs::path& path, const std::string& name) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) refuse_script(path, "there is no memory to unpack a file");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(packed.size(), most_code_bytes));
  std::vector<std::byte> piece(std::size_t{1} << 16);
  std::uint64_t bytes = 0;
  std::uint32_t sum = 0;
  int status = Z_OK;
  while (status == Z_OK && bytes <= most_code_bytes) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    status = inflate(&stream, Z_NO_FLUSH);
    const std::size_t made = piece.size() - stream.avail_out;
    sum = crc32_of(std::span(piece).first(made), sum);
    bytes += made;
    if (made == 0 && status == Z_OK && stream.avail_in == 0) break;
  }
  inflateEnd(&stream);
  if (bytes > most_code_bytes) {
    refuse_script(path, "a file in a TorchScript archive is too large", name + ", more than 64 MiB unpacked");
  }
  if (status != Z_STREAM_END) refuse_script(path, "a TorchScript archive is damaged", name + " can't be unpacked");
  return sum;
}

void check_script_archive(const fs::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (!looks_like_zip(bytes)) {
    refuse_script(path, "this is not a TorchScript archive", "a file that is no archive",
                  "save it in Python by torch.jit.script(net).save(path)");
  }
  const ZipIndex archive = parse_zip(bytes, path.string());
  const bool has_code = std::any_of(archive.entries.begin(), archive.entries.end(), [](const ZipEntry& entry) {
    return entry.name.find("/code/") != std::string::npos;
  });
  const bool has_constants = std::any_of(archive.entries.begin(), archive.entries.end(),
                                         [](const ZipEntry& entry) { return entry.name.ends_with("/constants.pkl"); });
  if (!has_code || !has_constants) {
    refuse_script(path, "this is not a TorchScript archive", "an archive without code, such as torch.save writes",
                  "build the net here and load its weights (load_weights, load_torch_file), or save it in Python by "
                  "torch.jit.script(net).save(path)");
  }
  file.advise_sequential();
  for (const ZipEntry& entry : archive.entries) {
    const auto content = bytes.subspan(entry.begin, entry.bytes);
    const std::uint32_t sum = entry.is_compressed ? unpacked_crc32(content, path, entry.name) : crc32_of(content);
    if (entry.crc32 == 0 || entry.crc32 == sum) continue;
    refuse_script(path, "a TorchScript archive is damaged: a checksum does not fit", entry.name,
                  "copy it again from where it came");
  }
}

/// LibTorch's words up to its stack trace.
std::string script_words(const std::exception& error) {
  const auto* own = dynamic_cast<const c10::Error*>(&error);
  std::string words = own != nullptr ? own->what_without_backtrace() : error.what();
  words.erase(std::min(words.find("\nException raised from"), words.size()));
  constexpr std::size_t longest = 500;
  if (words.size() > longest) words.erase(longest);
  words.erase(words.find_last_not_of(" \n\r\t") + 1);
  return words;
}

torch::IValue to_script(const Tree& tree) {
  switch (tree.kind()) {
    case Tree::Kind::empty:
      return {};
    case Tree::Kind::tensor:
      return tree.tensor();
    case Tree::Kind::boolean:
      return tree.boolean();
    case Tree::Kind::integer:
      return tree.integer();
    case Tree::Kind::real:
      return tree.real();
    case Tree::Kind::text:
      return tree.text();
    case Tree::Kind::list: {
      c10::List<at::Tensor> list;
      for (const Tree& item : tree.items()) list.push_back(item.tensor());
      return list;
    }
    case Tree::Kind::dictionary: {
      c10::Dict<std::string, at::Tensor> dictionary;
      for (const auto& [name, item] : tree.entries()) dictionary.insert(name, item.tensor());
      return dictionary;
    }
  }
  return {};
}

Tree from_script(const torch::IValue& value) {
  if (value.isNone()) return {};
  if (value.isTensor()) return Tree(value.toTensor());
  if (value.isBool()) return Tree(value.toBool());
  if (value.isInt()) return Tree(value.toInt());
  if (value.isDouble()) return Tree(value.toDouble());
  if (value.isString()) return Tree(value.toStringRef());
  Tree::List items;
  if (value.isTuple()) {
    for (const auto& each : value.toTupleRef().elements()) items.push_back(from_script(each));
    return Tree::list(std::move(items));
  }
  if (value.isList()) {
    for (const torch::IValue& each : value.toListRef()) items.push_back(from_script(each));
    return Tree::list(std::move(items));
  }
  if (value.isGenericDict()) {
    Tree::Dictionary entries;
    for (const auto& entry : value.toGenericDict()) {
      if (!entry.key().isString()) break;
      entries.emplace_back(entry.key().toStringRef(), from_script(entry.value()));
    }
    if (entries.size() == value.toGenericDict().size()) return Tree(std::move(entries));
  }
  throw Error({.what = "a TorchScript module returned what has no place in a Tree",
               .got = value.tagKind(),
               .expected = "tensors, numbers, text, tuples, lists, or dictionaries with text as keys"});
}

/// One module of a TorchScript program as a module of LibTorch: the same tensors under the same names.
class ScriptModule : public torch::nn::Module {
 public:
  explicit ScriptModule(torch::jit::Module script) : Module(class_name(script)), script_(std::move(script)) {
    for (const auto& parameter : script_.named_parameters(/*recurse=*/false)) {
      register_parameter(parameter.name, parameter.value, parameter.value.requires_grad());
    }
    for (const auto& buffer : script_.named_buffers(/*recurse=*/false)) register_buffer(buffer.name, buffer.value);
    Module::train(!script_.hasattr("training") || script_.attr("training").toBool());
    for (const auto& child : script_.named_children()) {
      register_module(child.name, std::make_shared<ScriptModule>(child.value));
    }
  }

  void train(bool on) override {
    if (script_.hasattr("training")) script_.setattr("training", on);
    Module::train(on);
  }

  Tree forward(const Tree& input) {
    std::vector<torch::IValue> arguments;
    if (input.is_list()) {
      for (const Tree& item : input.items()) arguments.push_back(to_script(item));
    } else {
      arguments.push_back(to_script(input));
    }
    return from_script(script_.forward(std::move(arguments)));
  }

  [[nodiscard]] const torch::jit::Module& script() const noexcept { return script_; }

 private:
  static std::string class_name(const torch::jit::Module& script) {
    const auto name = script.type()->name();
    return name ? name->name() : "TorchScript";
  }

  torch::jit::Module script_;
};

}  // namespace

Net load_script_module(const fs::path& path) {
  check_script_archive(path);
  try {
    return Net(std::make_shared<ScriptModule>(torch::jit::load(path.string(), at::Device(at::kCPU))));
  } catch (const std::exception& error) {
    refuse_script(path, "LibTorch can't load this TorchScript archive", script_words(error),
                  "save it with the version of PyTorch that LibTorch has here, " TORCH_VERSION);
  }
}

void save_script_module(const Net& net, const fs::path& path) {
  const auto module = std::dynamic_pointer_cast<ScriptModule>(net.module());
  if (module == nullptr) {
    throw Error({.what = "only a net that came from a TorchScript file can be written to one",
                 .where = path.string(),
                 .got = "a module that was written in C++",
                 .todo = "save its weights (save_weights), or with its options (save_model)"});
  }
  write_file_atomically(path, [&](FileWriter& file) {
    try {
      torch::jit::ExportModule(module->script(), [&](const void* bytes, std::size_t count) {
        file.write({static_cast<const std::byte*>(bytes), count});
        return count;
      });
    } catch (const c10::Error& error) {
      refuse_script(path, "LibTorch can't write this TorchScript module", script_words(error));
    }
  });
}

}  // namespace athanor
