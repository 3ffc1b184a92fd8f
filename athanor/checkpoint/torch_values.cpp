// SPDX-License-Identifier: Apache-2.0
// What the calls and classes in a pickle of torch.save mean (torch/_utils.py and numpy's __reduce__ are the other
// side).
#include "athanor/checkpoint/torch_values.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "athanor/checkpoint/torch_context.hpp"

namespace athanor {
namespace {

// What can't be read, and what it is.
constexpr std::array<std::pair<std::string_view, const char*>, 7> unreadable_calls{{
    {"torch._utils._rebuild_sparse_tensor", "a sparse tensor"},
    {"torch._utils._rebuild_qtensor", "a quantized tensor"},
    {"torch._utils._rebuild_meta_tensor_no_storage", "a tensor without data (meta)"},
    {"torch._utils._rebuild_nested_tensor", "a nested tensor"},
    {"torch._utils._rebuild_wrapper_subclass", "a tensor of a class of its own"},
    {"torch._utils._rebuild_device_tensor_from_numpy", "a tensor of a device without storages"},
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor", "a tensor of a device without storages"},
}};

constexpr std::array<std::pair<std::string_view, TorchType>, 14> numpy_types{{
    {"f8", TorchType::float64},
    {"f4", TorchType::float32},
    {"f2", TorchType::float16},
    {"c16", TorchType::complex128},
    {"c8", TorchType::complex64},
    {"i8", TorchType::int64},
    {"i4", TorchType::int32},
    {"i2", TorchType::int16},
    {"i1", TorchType::int8},
    {"u8", TorchType::uint64},
    {"u4", TorchType::uint32},
    {"u2", TorchType::uint16},
    {"u1", TorchType::uint8},
    {"b1", TorchType::boolean},
}};

/// A part of a storage.
struct StoragePlace {
  std::size_t storage = 0;
  std::uint64_t begin = 0;
  std::uint64_t bytes = 0;
  TorchType dtype = TorchType::uint8;
};

class ValueReader : private TorchContext {
 public:
  ValueReader(const Pickle& pickle, std::size_t pickle_bytes, std::string_view file_name,
              const FindTorchStorage& find_storage, TorchIndex& index)
      : TorchContext(pickle, pickle_bytes, file_name), find_storage_(find_storage), index_(index) {}

  TorchValue read(PickleId id) {
    const Deeper deeper(*this);
    spend(1);
    switch (kind(id)) {
      case PickleKind::none:
        return {};
      case PickleKind::boolean:
        return {pickle.boolean(id)};
      case PickleKind::integer:
        return {pickle.integer(id)};
      case PickleKind::large_integer:
        return {large_integer(pickle.text(id))};
      case PickleKind::real:
        return {pickle.real(id)};
      case PickleKind::text:
        spend(pickle.text(id).size() / 16);
        return {std::string(pickle.text(id))};
      case PickleKind::list:
      case PickleKind::tuple:
      case PickleKind::set:
        return {list(pickle.children(id))};
      case PickleKind::dictionary:
        return {dictionary(pickle.children(id))};
      case PickleKind::global:
        return {name_of_constant(pickle.text(id))};
      case PickleKind::bytes:
      case PickleKind::call:
      case PickleKind::persistent:
        return call(id);
    }
    return {};
  }

 private:
  std::string large_integer(std::string_view bytes) const {
    std::uint64_t value = 0;
    if (bytes.size() != sizeof(value) + 1 || bytes.back() != 0) {
      refuse("a whole number in a .pt file does not fit 64 bits", std::to_string(bytes.size()) + " bytes", {},
             "write it as a text");
    }
    std::memcpy(&value, bytes.data(), sizeof(value));
    return std::to_string(value);
  }

  TorchValue::List list(Ids items) {
    TorchValue::List values;
    values.reserve(std::min(items.size(), budget()));
    for (std::size_t i = 0; i < items.size(); ++i) {
      const Step step(*this, std::to_string(i));
      values.push_back(read(items[i]));
    }
    return values;
  }

  TorchValue::Dictionary dictionary(Ids items) {
    TorchValue::Dictionary values;
    values.reserve(std::min(items.size() / 2, budget()));
    std::unordered_set<std::string> names;
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      std::string name = key(items[i]);
      spend(name.size() / 16);
      if (!names.insert(name).second) {
        refuse("a dictionary in a .pt file has the same key twice", name, {},
               "a number and its text count as the same");
      }
      const Step step(*this, name);
      TorchValue value = read(items[i + 1]);
      values.emplace_back(std::move(name), std::move(value));
    }
    return values;
  }

  std::string key(PickleId id) const {
    if (kind(id) == PickleKind::text) return std::string(pickle.text(id));
    if (kind(id) == PickleKind::integer) return std::to_string(pickle.integer(id));
    refuse("a dictionary in a .pt file has a key that is neither a text nor a whole number", {}, {},
           "write in Python a dictionary whose keys are texts");
  }

  std::string name_of_constant(std::string_view name) const {
    if (dtype_named(name) || name.starts_with("torch.per_")) return std::string(name);
    refuse("a .pt file holds a class instead of a value", std::string(name));
  }

  static std::optional<TorchType> dtype_named(std::string_view name) {
    constexpr std::string_view module = "torch.";
    if (!name.starts_with(module)) return std::nullopt;
    name.remove_prefix(module.size());
    for (std::size_t i = 0; i < torch_types; ++i) {
      if (name_of(static_cast<TorchType>(i)) == name) return static_cast<TorchType>(i);
    }
    return std::nullopt;
  }

  TorchValue call(PickleId id) {
    if (const auto known = tensors_.find(id); known != tensors_.end()) return {TorchValue::Tensor{known->second}};
    if (kind(id) == PickleKind::bytes) return tensor_of(id, bytes_tensor(std::string(pickle.text(id))));
    if (kind(id) == PickleKind::persistent) return tensor_of(id, storage_tensor(id));
    const std::string_view name = function(id);
    const Ids given = arguments(id);
    if (name == "torch.Size" && given.size() == 1) return read(given[0]);
    if (name == "torch.device" && !given.empty() && given.size() <= 2) {
      return {text(given[0]) + (given.size() == 2 ? ":" + std::to_string(integer(given[1])) : "")};
    }
    if (name == "torch.serialization._get_layout" && given.size() == 1) return {text(given[0])};
    if (name == "builtins.complex" && given.size() == 2) {
      std::string number(2 * sizeof(double), '\0');
      for (std::size_t i = 0; i < 2; ++i) {
        const double part = real(given[i]);
        std::memcpy(number.data() + i * sizeof(double), &part, sizeof(double));
      }
      return tensor_of(id, own_tensor(TorchType::complex128, {}, std::move(number), false));
    }
    if (name == "numpy._core.multiarray.scalar" && given.size() == 2) {
      return numpy_scalar(id, numpy_type(given[0]), bytes(given[1]));
    }
    if (name == "_codecs.encode" || name == "builtins.bytes" || name == "builtins.bytearray") {
      return tensor_of(id, bytes_tensor(bytes(id)));
    }
    return {TorchValue::Tensor{tensor(id)}};
  }

  TorchValue tensor_of(PickleId id, std::size_t index) {
    tensors_.emplace(id, index);
    return {TorchValue::Tensor{index}};
  }

  // Tensors.

  std::size_t tensor(PickleId id) {
    if (const auto known = tensors_.find(id); known != tensors_.end()) return known->second;
    if (kind(id) != PickleKind::call) refuse_form("a tensor was expected");
    spend(1);
    const std::size_t index = rebuild(function(id), arguments(id), state(id));
    tensors_.emplace(id, index);
    return index;
  }

  std::size_t rebuild(std::string_view name, Ids given, std::optional<PickleId> built) {
    const Deeper deeper(*this);
    for (const auto& [call, kind] : unreadable_calls) {
      if (name == call) {
        refuse("a .pt file holds " + std::string(kind) + ", which can't be read", std::string(name), "a dense tensor",
               "convert it in Python before it is written, for example by to_dense() or dequantize()");
      }
    }
    if (name == "numpy._core.multiarray._reconstruct" && built) return numpy_array(*built);
    if (built) refuse_form(name);
    if (name == "torch._utils._rebuild_tensor" && given.size() == 4) return view(place_of(given[0]), given, {});
    if (name == "torch._utils._rebuild_tensor_v2" && (given.size() == 6 || given.size() == 7)) {
      const std::size_t index = view(place_of(given[0]), given, given.subspan(4, 1));
      if (given.size() == 7) read_metadata(given[6], index_.tensors[index]);
      return index;
    }
    if (name == "torch._utils._rebuild_tensor_v3" && (given.size() == 7 || given.size() == 8)) {
      StoragePlace place = place_of(given[0]);
      place.dtype = dtype(given[6]);
      const std::size_t index = view(place, given, given.subspan(4, 1));
      if (given.size() == 8) read_metadata(given[7], index_.tensors[index]);
      return index;
    }
    if ((name == "torch._utils._rebuild_parameter" && given.size() == 3) ||
        (name == "torch._utils._rebuild_parameter_with_state" && given.size() == 4)) {
      TorchTensor parameter = index_.tensors[tensor(given[0])];
      parameter.requires_grad = boolean(given[1]);
      return add(std::move(parameter));
    }
    if (name == "torch._tensor._rebuild_from_type_v2" && given.size() == 4) {
      if (kind(given[0]) != PickleKind::global || kind(given[1]) != PickleKind::global) {
        refuse_form(name);
      }
      return rebuild(pickle.text(given[0]), tuple(given[2]), std::nullopt);
    }
    if (name == "numpy._core.numeric._frombuffer" && given.size() == 4) {
      return own_tensor(numpy_type(given[1]), integers(given[2]), bytes(given[0]), text(given[3]) == "F");
    }
    refuse_form(name);
  }

  TorchType dtype(PickleId id) const {
    const auto found = kind(id) == PickleKind::global ? dtype_named(pickle.text(id)) : std::optional<TorchType>();
    if (!found) refuse_form("a dtype was expected");
    return *found;
  }

  /// Whether lazily conjugated or negated.
  void read_metadata(PickleId id, TorchTensor& tensor) const {
    if (kind(id) == PickleKind::none) return;
    if (kind(id) != PickleKind::dictionary) refuse_form("a dictionary was expected");
    const Ids items = pickle.children(id);
    for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
      const std::string name = text(items[i]);
      if (name != "conj" && name != "neg") refuse_form(name);
      (name == "conj" ? tensor.conjugate : tensor.negative) = boolean(items[i + 1]);
    }
    const bool is_complex = tensor.dtype == TorchType::complex32 || tensor.dtype == TorchType::complex64 ||
                            tensor.dtype == TorchType::complex128;
    if (tensor.conjugate && !is_complex) refuse_form("a conjugate of numbers that are not complex");
  }

  std::size_t add(TorchTensor tensor) {
    const bool has_gradients = tensor.dtype <= TorchType::complex32 ||
                               (tensor.dtype >= TorchType::float8_e5m2 && tensor.dtype <= TorchType::float8_e8m0fnu);
    if (tensor.requires_grad && !has_gradients) {
      refuse("a tensor that has no gradients asks for them", std::string(name_of(tensor.dtype)));
    }
    index_.tensors.push_back(std::move(tensor));
    return index_.tensors.size() - 1;
  }

  std::size_t view(const StoragePlace& place, Ids given, Ids requires_grad) {
    TorchTensor tensor{.dtype = place.dtype,
                       .sizes = integers(given[2]),
                       .strides = integers(given[3]),
                       .offset = integer(given[1]),
                       .storage = place.storage,
                       .requires_grad = !requires_grad.empty() && boolean(requires_grad[0])};
    check_bounds(tensor, place);
    tensor.offset += static_cast<std::int64_t>(place.begin / bytes_of(tensor.dtype));
    return add(std::move(tensor));
  }

  void check_bounds(const TorchTensor& tensor, const StoragePlace& place) const {
    const auto element = static_cast<std::int64_t>(bytes_of(tensor.dtype));
    const auto available = static_cast<std::int64_t>(place.bytes) / element;
    std::string layout = std::string(name_of(tensor.dtype)) + ", sizes";
    for (const auto size : tensor.sizes) layout.append(" ").append(std::to_string(size));
    layout.append(", strides");
    for (const auto stride : tensor.strides) layout.append(" ").append(std::to_string(stride));
    layout.append(", offset ").append(std::to_string(tensor.offset));
    bool good = tensor.sizes.size() == tensor.strides.size() && tensor.offset >= 0 && tensor.offset <= available &&
                place.begin % bytes_of(tensor.dtype) == 0;
    bool empty = false;
    // A size of 0 counts as 1: strides are computed from the other sizes all the same.
    std::int64_t bytes = element;
    std::int64_t last = tensor.offset;
    for (std::size_t i = 0; good && i < tensor.sizes.size(); ++i) {
      const std::int64_t size = tensor.sizes[i];
      const std::int64_t stride = tensor.strides[i];
      std::int64_t reach = 0;
      good = size >= 0 && stride >= 0 && !__builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes) &&
             !__builtin_mul_overflow(std::max<std::int64_t>(size, 1) - 1, stride, &reach) &&
             !__builtin_add_overflow(last, reach, &last);
      empty = empty || size == 0;
    }
    if (good && (empty || last < available)) return;
    refuse("a tensor in a .pt file lies outside its storage", layout,
           "a view of the " + std::to_string(available) + " elements of its storage",
           "write or download the file again");
  }

  StoragePlace place_of(PickleId id) {
    if (kind(id) != PickleKind::persistent) refuse_form("a storage was expected");
    if (const auto known = places_.find(id); known != places_.end()) return known->second;
    const Ids given = tuple(pickle.children(id)[0]);
    if ((given.size() != 5 && given.size() != 6) || text(given[0]) != "storage" ||
        kind(given[1]) != PickleKind::global) {
      refuse_form("a storage was expected");
    }
    StoragePlace place;
    place.dtype = dtype_of_storage(pickle.text(given[1]));
    place.bytes = bytes_for(integer(given[4]), place.dtype);
    std::string problem;
    const auto found =
        find_storage_({.key = storage_key(given[2]), .dtype = place.dtype, .bytes = place.bytes}, problem);
    if (!found) {
      refuse("a storage of a .pt file is missing or too short", problem,
             std::to_string(place.bytes) + " bytes of " + std::string(name_of(place.dtype)),
             "write or download the file again");
    }
    place.storage = *found;
    if (given.size() == 6 && kind(given[5]) != PickleKind::none) {
      const Ids part = tuple(given[5]);  // the key of the part, its offset and its length
      if (part.size() != 3) refuse_form("a part of a storage was expected");
      const std::uint64_t whole = place.bytes;
      place.begin = bytes_for(integer(part[1]), place.dtype);
      place.bytes = bytes_for(integer(part[2]), place.dtype);
      if (place.begin > whole || place.bytes > whole - place.begin) refuse_form("a part lies outside its storage");
    }
    places_.emplace(id, place);
    return place;
  }

  std::string storage_key(PickleId id) const {
    return kind(id) == PickleKind::integer ? std::to_string(pickle.integer(id)) : text(id);
  }

  TorchType dtype_of_storage(std::string_view name) const {
    if (name == "torch.storage.UntypedStorage") return TorchType::uint8;
    if (name.starts_with("torch.Q")) {
      refuse("a .pt file holds a quantized tensor, which can't be read", std::string(name), "a dense tensor",
             "convert it in Python before it is written, for example by dequantize()");
    }
    for (std::size_t i = 0; i < torch_types; ++i) {
      const std::string_view storage = storage_name_of(static_cast<TorchType>(i));
      if (!storage.empty() && name == "torch." + std::string(storage)) return static_cast<TorchType>(i);
    }
    refuse_form(name);
  }

  std::uint64_t bytes_for(std::int64_t elements, TorchType type) const {
    std::int64_t bytes = 0;
    if (elements < 0 || __builtin_mul_overflow(elements, static_cast<std::int64_t>(bytes_of(type)), &bytes)) {
      refuse("a storage in a .pt file is larger than any memory", std::to_string(elements) + " elements");
    }
    return static_cast<std::uint64_t>(bytes);
  }

  /// A storage by itself: all of it.
  std::size_t storage_tensor(PickleId id) {
    const StoragePlace place = place_of(id);
    const auto element = static_cast<std::int64_t>(bytes_of(place.dtype));
    return add({.dtype = place.dtype,
                .sizes = {static_cast<std::int64_t>(place.bytes) / element},
                .strides = {1},
                .offset = static_cast<std::int64_t>(place.begin) / element,
                .storage = place.storage});
  }

  // Values that lie in the pickle itself.

  std::size_t bytes_tensor(std::string content) {
    const auto size = static_cast<std::int64_t>(content.size());
    return own_tensor(TorchType::uint8, {size}, std::move(content), false);
  }

  std::size_t own_tensor(TorchType type, std::vector<std::int64_t> sizes, std::string content,
                         bool first_index_fastest) {
    TorchTensor tensor{.dtype = type, .sizes = std::move(sizes)};
    std::int64_t expected = static_cast<std::int64_t>(bytes_of(type));
    tensor.strides.resize(tensor.sizes.size());
    std::int64_t stride = 1;
    bool fits = true;
    for (std::size_t i = 0; fits && i < tensor.sizes.size(); ++i) {
      const std::size_t dimension = first_index_fastest ? i : tensor.sizes.size() - 1 - i;
      const std::int64_t size = tensor.sizes[dimension];
      tensor.strides[dimension] = stride;
      fits = size >= 0 && !__builtin_mul_overflow(expected, size, &expected) &&
             !__builtin_mul_overflow(stride, std::max<std::int64_t>(size, 1), &stride);
    }
    if (!fits || expected != static_cast<std::int64_t>(content.size())) refuse_form("an array of another length");
    const std::size_t bytes = content.size();
    index_.storages.push_back({.bytes = bytes, .own = std::move(content)});
    tensor.storage = index_.storages.size() - 1;
    return add(std::move(tensor));
  }

  TorchType numpy_type(PickleId id) const {
    if (kind(id) != PickleKind::call || function(id) != "numpy.dtype" || arguments(id).empty()) {
      refuse_form("numpy.dtype");
    }
    std::string name = text(arguments(id)[0]);
    std::string order = "|";
    if (const auto set = state(id); set && tuple(*set).size() > 1) order = text(tuple(*set)[1]);
    const auto* found =
        std::find_if(numpy_types.begin(), numpy_types.end(), [&](const auto& each) { return each.first == name; });
    if (found == numpy_types.end() || order == ">") {
      refuse("a .pt file holds an array of numpy of a type that can't be read", order == ">" ? order + name : name,
             "numbers or booleans, little-endian", "write it as a tensor");
    }
    return found->second;
  }

  std::size_t numpy_array(PickleId built) {
    const Ids parts = tuple(built);  // version, shape, dtype, whether the first index is the fastest, data
    if (parts.size() != 5) refuse_form("numpy.ndarray");
    return own_tensor(numpy_type(parts[2]), integers(parts[1]), bytes(parts[4]), boolean(parts[3]));
  }

  TorchValue numpy_scalar(PickleId id, TorchType type, const std::string& content) {
    if (content.size() != bytes_of(type)) refuse_form("numpy.scalar");
    const auto as = [&]<class T>(T value) {
      std::memcpy(&value, content.data(), sizeof(T));
      return value;
    };
    switch (type) {
      case TorchType::float64:
        return {as(double{})};
      case TorchType::float32:
        return {static_cast<double>(as(float{}))};
      case TorchType::int64:
        return {as(std::int64_t{})};
      case TorchType::int32:
        return {static_cast<std::int64_t>(as(std::int32_t{}))};
      case TorchType::int16:
        return {static_cast<std::int64_t>(as(std::int16_t{}))};
      case TorchType::int8:
        return {static_cast<std::int64_t>(as(std::int8_t{}))};
      case TorchType::uint32:
        return {static_cast<std::int64_t>(as(std::uint32_t{}))};
      case TorchType::uint16:
        return {static_cast<std::int64_t>(as(std::uint16_t{}))};
      case TorchType::uint8:
        return {static_cast<std::int64_t>(as(std::uint8_t{}))};
      case TorchType::boolean:
        return {as(std::uint8_t{}) != 0};
      default:
        return tensor_of(id, own_tensor(type, {}, content, false));
    }
  }

  const FindTorchStorage& find_storage_;
  TorchIndex& index_;
  std::unordered_map<PickleId, std::size_t> tensors_;
  std::unordered_map<PickleId, StoragePlace> places_;
};

}  // namespace

void read_torch_values(const Pickle& pickle, std::size_t pickle_bytes, std::string_view file_name,
                       const FindTorchStorage& find_storage, TorchIndex& index) {
  ValueReader reader(pickle, pickle_bytes, file_name, find_storage, index);
  index.root = reader.read(pickle.root());
}

}  // namespace athanor
