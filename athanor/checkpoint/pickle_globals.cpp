// SPDX-License-Identifier: Apache-2.0
// The list of the classes and functions that a pickle may name: what torch.load(weights_only=True) allows, and numpy.
#include <algorithm>
#include <array>
#include <string>

#include "athanor/checkpoint/pickle.hpp"

namespace athanor {
namespace {

// Sorted, because it is searched by halves.
constexpr std::array<std::string_view, 82> allowed_names{
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.frozenset",
    "builtins.set",
    "collections.Counter",
    "collections.OrderedDict",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.BFloat16Storage",
    "torch.BoolStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.ComplexDoubleStorage",
    "torch.ComplexFloatStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.IntStorage",
    "torch.LongStorage",
    "torch.QInt32Storage",
    "torch.QInt8Storage",
    "torch.QUInt2x4Storage",
    "torch.QUInt4x2Storage",
    "torch.QUInt8Storage",
    "torch.ShortStorage",
    "torch.Size",
    "torch.Tensor",
    "torch._tensor._rebuild_from_type_v2",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    "torch._utils._rebuild_device_tensor_from_numpy",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_wrapper_subclass",
    "torch.bfloat16",
    "torch.bits16",
    "torch.bits1x8",
    "torch.bits2x4",
    "torch.bits4x2",
    "torch.bits8",
    "torch.bool",
    "torch.complex128",
    "torch.complex32",
    "torch.complex64",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.float4_e2m1fn_x2",
    "torch.float64",
    "torch.float8_e4m3fn",
    "torch.float8_e4m3fnuz",
    "torch.float8_e5m2",
    "torch.float8_e5m2fnuz",
    "torch.float8_e8m0fnu",
    "torch.int16",
    "torch.int32",
    "torch.int64",
    "torch.int8",
    "torch.nn.parameter.Buffer",
    "torch.nn.parameter.Parameter",
    "torch.per_channel_affine",
    "torch.per_channel_affine_float_qparams",
    "torch.per_channel_symmetric",
    "torch.per_tensor_affine",
    "torch.per_tensor_symmetric",
    "torch.serialization._get_layout",
    "torch.storage.UntypedStorage",
    "torch.uint16",
    "torch.uint32",
    "torch.uint64",
    "torch.uint8",
};
static_assert(std::is_sorted(allowed_names.begin(), allowed_names.end()));

// Left as it was written, right as it is called here.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> renamed_modules{{
    {"__builtin__", "builtins"},
    {"numpy.core.multiarray", "numpy._core.multiarray"},
    {"numpy.core.numeric", "numpy._core.numeric"},
    {"torch.cuda", "torch"},
    {"torch.tensor", "torch._tensor"},
}};

std::string_view find_allowed(const std::string& name) {
  const auto found = std::lower_bound(allowed_names.begin(), allowed_names.end(), name);
  return found != allowed_names.end() && *found == name ? *found : std::string_view();
}

}  // namespace

std::string_view allowed_pickle_global(std::string_view module, std::string_view name) {
  constexpr std::size_t longest = 200;
  if (module.size() > longest || name.size() > longest) return {};
  if (const auto found = find_allowed(std::string(module) + "." + std::string(name)); !found.empty()) return found;
  const auto* renamed = std::find_if(renamed_modules.begin(), renamed_modules.end(),
                                     [&](const auto& each) { return each.first == module; });
  if (renamed == renamed_modules.end()) return {};
  return find_allowed(std::string(renamed->second) + "." + std::string(name));
}

std::span<const std::string_view> allowed_pickle_globals() noexcept { return allowed_names; }

}  // namespace athanor
