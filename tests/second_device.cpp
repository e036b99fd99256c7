// A second device whose memory is that of the CPU: what it computes is what the CPU computes, but tensors on
// it and tensors on the CPU refuse to meet, as they do with a GPU. `second_device.py` builds and uses it.
#include <map>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

namespace {

constexpr auto kKey = c10::DispatchKey::PrivateUse1;
const c10::Device kDevice(c10::DeviceType::PrivateUse1, 0);

bool is_ours(const at::Tensor& x) { return x.defined() && x.device().type() == c10::DeviceType::PrivateUse1; }

// --- memory ------------------------------------------------------------------------------------------------

void release(void* context) { delete static_cast<c10::DataPtr*>(context); }

// The same bytes, said to be on the device, and kept alive by it.
c10::DataPtr on_device(c10::DataPtr&& bytes) {
  void* data = bytes.get();
  return c10::DataPtr(data, new c10::DataPtr(std::move(bytes)), &release, kDevice);
}

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override { return on_device(c10::GetAllocator(c10::kCPU)->allocate(n)); }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t n) const override { std::memcpy(to, from, n); }
};

Memory memory;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &memory);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::DeviceType::PrivateUse1; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
  c10::Stream exchangeStream(c10::Stream) const override {
    return c10::Stream(c10::Stream::DEFAULT, kDevice);
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// --- random numbers ----------------------------------------------------------------------------------------

// A generator of the CPU that calls itself one of the device; `inner` is what the CPU's kernels get.
struct Random final : c10::GeneratorImpl {
  explicit Random(at::Generator numbers)
      : GeneratorImpl(kDevice, c10::DispatchKeySet(kKey)), inner(std::move(numbers)) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return inner.unsafeGetGeneratorImpl()->get_state();
  }
  Random* clone_impl() const override { return new Random(inner.clone()); }
  at::Generator inner;
};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  at::Device getDeviceFromPtr(void*) const override { return kDevice; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetAllocator(c10::kCPU); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const at::Generator ours = at::make_generator<Random>(at::detail::createCPUGenerator());
    return ours;
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<Random>(at::detail::createCPUGenerator());
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t n) const override {
    auto bytes = memory.allocate(n);
    std::memcpy(bytes.get(), storage.data(), std::min(n, storage.nbytes()));
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(bytes));
    storage.unsafeGetStorageImpl()->set_nbytes(n);
  }
};

// --- operations --------------------------------------------------------------------------------------------

// Tensors of the CPU over the same bytes as tensors of the device, for one call, and the way back.
class Views {
 public:
  at::Tensor of(const at::Tensor& ours) {
    c10::StorageImpl* mine = ours.storage().unsafeGetStorageImpl();
    auto [place, fresh] = storages_.try_emplace(mine);
    if (fresh)
      place->second = c10::Storage(c10::make_intrusive<c10::StorageImpl>(
          c10::StorageImpl::use_byte_size_t(), mine->nbytes(), c10::DataPtr(mine->mutable_data(), c10::kCPU),
          c10::GetAllocator(c10::kCPU), /*resizable=*/true));
    at::Tensor view =
        shaped(at::detail::make_tensor<c10::TensorImpl>(
                   c10::Storage(place->second), c10::DispatchKeySet(c10::DispatchKey::CPU), ours.dtype()),
               ours);
    if (ours.unsafeGetTensorImpl()->is_wrapped_number()) view.unsafeGetTensorImpl()->set_wrapped_number(true);
    given_.emplace_back(ours, view);
    return view;
  }

  // After the call: what it did to the shapes of its arguments, such as an `out` of no size.
  void settle() {
    for (auto& [ours, view] : given_) {
      c10::StorageImpl* mine = ours.storage().unsafeGetStorageImpl();
      c10::StorageImpl* theirs = view.storage().unsafeGetStorageImpl();
      if (theirs->data() != mine->data()) {
        size_t n = theirs->nbytes();
        mine->set_data_ptr_noswap(on_device(theirs->set_data_ptr(c10::DataPtr(nullptr, c10::kCPU))));
        mine->set_nbytes(n);
        theirs->set_data_ptr_noswap(c10::DataPtr(mine->mutable_data(), c10::kCPU));
      }
      if (view.sizes() != ours.sizes() || view.strides() != ours.strides())
        ours.unsafeGetTensorImpl()->set_sizes_and_strides(view.sizes(), view.strides(),
                                                          view.storage_offset());
    }
  }

  // A result, on the device: the argument itself, a view of one, or something new.
  at::Tensor lift(const at::Tensor& result) {
    if (!result.defined() || is_ours(result)) return result;
    for (auto& [ours, view] : given_)
      if (view.is_same(result)) return ours;
    c10::StorageImpl* theirs = result.storage().unsafeGetStorageImpl();
    for (auto& [ours, view] :
         given_)  // a view has the keys of its base, also where gradients are switched off
      if (view.storage().unsafeGetStorageImpl() == theirs)
        return shaped(
            at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(ours.storage()),
                                                     ours.key_set(), result.dtype()),
            result);
    auto [place, fresh] = made_.try_emplace(theirs);
    if (fresh) {
      c10::DataPtr bytes(
          theirs->mutable_data(), new c10::Storage(result.storage()),
          [](void* context) { delete static_cast<c10::Storage*>(context); }, kDevice);
      place->second = c10::Storage(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(),
                                                                         theirs->nbytes(), std::move(bytes),
                                                                         &memory, /*resizable=*/true));
    }
    return shaped(at::detail::make_tensor<c10::TensorImpl>(c10::Storage(place->second),
                                                           c10::DispatchKeySet(kKey), result.dtype()),
                  result);
  }

 private:
  static at::Tensor shaped(at::Tensor x, const at::Tensor& as) {
    x.unsafeGetTensorImpl()->set_sizes_and_strides(as.sizes(), as.strides(), as.storage_offset());
    return x;
  }

  std::map<c10::StorageImpl*, c10::Storage> storages_, made_;
  std::vector<std::pair<at::Tensor, at::Tensor>> given_;
};

// Calls f with each tensor of an argument, and puts what it returns in its place.
template <typename F>
void each_tensor(c10::IValue& value, F f) {
  if (value.isTensor()) {
    value = f(value.toTensor());
  } else if (value.isTensorList()) {
    c10::List<at::Tensor> changed;
    for (const at::Tensor& x : value.toTensorList().vec()) changed.push_back(f(x));
    value = std::move(changed);
  } else if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> changed;
    for (const std::optional<at::Tensor>& x : value.toOptionalTensorVector())
      changed.push_back(x ? std::optional<at::Tensor>(f(*x)) : std::nullopt);
    value = std::move(changed);
  }
}

// Arguments that have to be, or may be, on the CPU where the others are on a GPU.
bool may_be_on_cpu(const std::string& op, const std::string& argument) {
  if (op == "aten::_pack_padded_sequence") return argument == "lengths";
  if (op == "aten::_pack_padded_sequence_backward") return argument == "batch_sizes";
  if (op.rfind("aten::index", 0) == 0 || op.rfind("aten::_index", 0) == 0 ||
      op.rfind("aten::_unsafe_index", 0) == 0)
    return argument == "indices";
  return false;
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const c10::FunctionSchema& schema = op.schema();
  const std::string& name = schema.name();
  const size_t count = schema.arguments().size(), first = stack->size() - count;
  bool ours = false;
  for (size_t i = 0; i < count; ++i)
    each_tensor((*stack)[first + i], [&](const at::Tensor& x) { return ours |= is_ours(x), x; });
  for (size_t i = 0; i < count; ++i) {
    const std::string& argument = schema.arguments()[i].name();
    c10::IValue& value = (*stack)[first + i];
    each_tensor(value, [&](const at::Tensor& x) {
      TORCH_CHECK(!ours || !x.defined() || is_ours(x) || x.dim() == 0 || may_be_on_cpu(name, argument),
                  "Expected all tensors to be on the same device, but the argument ", argument, " of ", name,
                  " is on the CPU and another is not");
      return x;
    });
    if (value.isGenerator()) {
      const at::Generator given = value.toGenerator();
      TORCH_CHECK(given.device().type() == kDevice.type(),
                  "Expected a generator of the device but found one of ", given.device(), " in ", name);
      value = static_cast<Random*>(given.unsafeGetGeneratorImpl())->inner;
    } else if (value.isDevice()) {
      value = c10::Device(c10::kCPU);
    }
  }
  Views views;
  for (size_t i = 0; i < count; ++i)
    each_tensor((*stack)[first + i], [&](const at::Tensor& x) { return is_ours(x) ? views.of(x) : x; });
  {
    at::AutoDispatchBelowADInplaceOrView below;
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  }
  views.settle();
  const size_t results = schema.returns().size(), begin = stack->size() - results;
  for (size_t i = 0; i < results; ++i) {
    if (i == 1 && name == "aten::_pack_padded_sequence")
      continue;  // the sizes of the batches stay on the CPU
    each_tensor((*stack)[begin + i], [&](const at::Tensor& x) { return views.lift(x); });
  }
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  Views views;
  at::AutoDispatchBelowADInplaceOrView below;
  at::Tensor target = is_ours(to) ? views.of(to) : to;
  target.copy_(is_ours(from) ? views.of(from) : from);
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Tensor& set_storage(at::Tensor& self, at::Storage source, c10::SymInt offset, c10::SymIntArrayRef size,
                        c10::SymIntArrayRef stride) {
  c10::TensorImpl* raw = self.unsafeGetTensorImpl();
  raw->set_storage_keep_dtype(std::move(source));
  raw->set_sizes_and_strides(C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride),
                             offset.expect_int());
  return self;
}

at::Tensor& set_whole_storage(at::Tensor& self, at::Storage source) {
  const auto n = static_cast<int64_t>(source.nbytes() / self.element_size());
  return set_storage(self, std::move(source), 0, {n}, {1});
}

// Zeros that take no memory, as forward differentiation asks for; here they take some.
at::Tensor zeros(at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout> layout,
                 std::optional<at::Device> device, std::optional<bool> pinned) {
  return at::zeros(size, dtype, layout, device, pinned);
}

bool compatible(const at::Tensor&, const at::Tensor&) {
  return true;
}  // so `Module.to` moves a parameter in place

using Triple = std::tuple<at::Tensor, at::Tensor, at::Tensor>;

at::Tensor convolution(const at::Tensor& x, const at::Tensor& w, const std::optional<at::Tensor>& bias,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                       bool transposed, at::IntArrayRef output_padding, int64_t groups) {
  Views views;
  at::AutoDispatchBelowADInplaceOrView below;
  std::optional<at::Tensor> b;
  if (bias && bias->defined()) b = views.of(*bias);
  TORCH_CHECK(is_ours(x) && is_ours(w) && (!bias || !bias->defined() || is_ours(*bias)),
              "Expected all tensors to be on the same device, but got the input on ", x.device(),
              " and the weight on ", w.device());
  return views.lift(at::convolution(views.of(x), views.of(w), b, stride, padding, dilation, transposed,
                                    output_padding, groups));
}

Triple convolution_backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& w,
                            at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                            bool transposed, at::IntArrayRef output_padding, int64_t groups,
                            std::array<bool, 3> mask) {
  Views views;
  at::AutoDispatchBelowADInplaceOrView below;
  int64_t filters = transposed ? w.size(1) * groups : w.size(0);
  auto [dx, dw, db] =
      at::convolution_backward(views.of(grad), views.of(x), views.of(w), at::IntArrayRef{filters}, stride,
                               padding, dilation, transposed, output_padding, groups, mask);
  return {views.lift(dx), views.lift(dw), views.lift(db)};
}

// The fused cells of recurrent networks, which the CPU lacks, written out; autograd sees their parts.
at::Tensor with_bias(const at::Tensor& gates, const std::optional<at::Tensor>& bias) {
  return bias && bias->defined() ? gates + *bias : gates;
}

Triple lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& cell,
                 const std::optional<at::Tensor>& input_bias, const std::optional<at::Tensor>& hidden_bias) {
  auto gates = (with_bias(input_gates, input_bias) + with_bias(hidden_gates, hidden_bias)).chunk(4, 1);
  at::Tensor next = gates[1].sigmoid() * cell + gates[0].sigmoid() * gates[2].tanh();
  return {gates[3].sigmoid() * next.tanh(), next, at::empty({0}, cell.options())};
}

std::tuple<at::Tensor, at::Tensor> gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                            const at::Tensor& hidden,
                                            const std::optional<at::Tensor>& input_bias,
                                            const std::optional<at::Tensor>& hidden_bias) {
  auto x = with_bias(input_gates, input_bias).chunk(3, 1),
       h = with_bias(hidden_gates, hidden_bias).chunk(3, 1);
  at::Tensor reset = (x[0] + h[0]).sigmoid(), update = (x[1] + h[1]).sigmoid();
  at::Tensor fresh = (x[2] + reset * h[2]).tanh();
  return {fresh + update * (hidden - fresh), at::empty({0}, hidden.options())};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("set_.source_Storage", &set_whole_storage);
  m.impl("set_.source_Storage_storage_offset", &set_storage);
  m.impl("_efficientzerotensor", &zeros);
  m.impl("_has_compatible_shallow_copy_type", &compatible);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_gru_cell", &gru_cell);
}

TORCH_LIBRARY_IMPL(aten, AutogradPrivateUse1, m) {
  m.impl("_thnn_fused_lstm_cell", &lstm_cell);
  m.impl("_thnn_fused_gru_cell", &gru_cell);
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("start", [] { at::RegisterPrivateUse1HooksInterface(new Hooks); });
}
