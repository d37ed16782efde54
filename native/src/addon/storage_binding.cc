#include "addon/bindings.h"

#include "memory/copy.h"

namespace troupe::addon {

Napi::ArrayBuffer bufferOver(Napi::Env env, const std::shared_ptr<Storage>& storage) {
  if (storage->bytes() == 0) return Napi::ArrayBuffer::New(env, 0);
  auto* owner = new std::shared_ptr<Storage>(storage);
  return Napi::ArrayBuffer::New(
      env, storage->data(), storage->bytes(), [](Napi::Env, void*, std::shared_ptr<Storage>* held) { delete held; }, owner);
}

SharedMemoryHandle handleFrom(const Napi::Object& object) {
  return {intFrom(object.Get("pid"), "pid"), intFrom(object.Get("fd"), "fd"), textFrom(object.Get("name"), "name"),
          bytesFrom(object.Get("bytes"), "bytes")};
}

Napi::Object handleTo(Napi::Env env, const SharedMemoryHandle& handle) {
  auto object = Napi::Object::New(env);
  object.Set("pid", handle.pid);
  object.Set("fd", handle.fd);
  object.Set("name", handle.name);
  object.Set("bytes", static_cast<double>(handle.bytes));
  return object;
}

static std::shared_ptr<Storage> mapFile(const Napi::Object& region) {
  return Storage::map(intFrom(region.Get("fd"), "fd"), bytesFrom(region.Get("offset"), "offset"), bytesFrom(region.Get("bytes"), "bytes"));
}

namespace {

store::StoreHandle storeFrom(const Napi::Object& object) { return {handleFrom(object), intFrom(object.Get("spillFd"), "spillFd", -1)}; }

Napi::Object storeTo(Napi::Env env, const store::StoreHandle& handle) {
  auto object = handleTo(env, handle.memory);
  object.Set("spillFd", handle.spillFd);
  return object;
}

store::ObjectId storedFrom(const Napi::Object& object) {
  return {uint32From(object.Get("index"), "index"), uint32From(object.Get("generation"), "generation")};
}

std::shared_ptr<Storage> openHandle(const Napi::Object& object) {
  const auto stored = object.Get("stored");
  if (!stored.IsObject()) return Storage::open(handleFrom(object));
  const size_t bytes = bytesFrom(stored.As<Napi::Object>().Get("bytes"), "bytes");
  return Storage::open(storeFrom(object), storedFrom(stored.As<Napi::Object>()), bytes);
}

}  // namespace

Napi::Function StorageBinding::define(Napi::Env env) {
  return DefineClass(env, "Storage",
                     {InstanceAccessor<&StorageBinding::buffer>("buffer"), InstanceAccessor<&StorageBinding::handle>("handle"),
                      InstanceAccessor<&StorageBinding::device>("device"), InstanceMethod<&StorageBinding::hold>("hold"),
                      InstanceMethod<&StorageBinding::lend>("lend"), InstanceMethod<&StorageBinding::write>("write"),
                      InstanceMethod<&StorageBinding::verify>("verify"), InstanceMethod<&StorageBinding::release>("release")});
}

// new Storage(bytes: number, shared: boolean), new Storage(handle), new Storage({fd, offset, bytes}) or new Storage({gpu, bytes})
StorageBinding::StorageBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<StorageBinding>(info);
  if (info[0].IsObject()) {
    const auto object = info[0].As<Napi::Object>();
    if (object.Has("gpu")) {
      const size_t bytes = bytesFrom(object.Get("bytes"), "bytes");
      storage_ = Storage::allocateOn(cuda::Gpu::open(intFrom(object.Get("gpu"), "gpu")), bytes);
      return;
    }
    storage_ = object.Has("offset") ? mapFile(object) : openHandle(object);
    return;
  }
  const size_t bytes = bytesFrom(info[0], "bytes");
  const std::string kind = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  storage_ = kind == "stored"      ? Storage::allocateStored(bytes, true, true)
             : info[1].ToBoolean() ? Storage::allocateStored(bytes)
                                   : Storage::allocate(bytes);
}

Napi::Value StorageBinding::buffer(const Napi::CallbackInfo& info) {
  if (!storage_) throw Napi::Error::New(info.Env(), "this storage was released");
  if (storage_->gpu()) throw Napi::Error::New(info.Env(), "memory of a GPU cannot be read or written in place; copy it");
  if (!buffer_.IsEmpty()) {
    if (const auto known = buffer_.Value(); !known.IsEmpty() && !known.IsDetached()) return known;
  }
  const auto buffer = bufferOver(info.Env(), storage_);
  buffer_ = Napi::Weak(buffer);
  return buffer;
}

Napi::Value StorageBinding::device(const Napi::CallbackInfo& info) {
  const auto gpu = storage_ ? storage_->gpu() : nullptr;
  return Napi::String::New(info.Env(), gpu ? "cuda:" + std::to_string(gpu->index()) : "cpu");
}

Napi::Value StorageBinding::handle(const Napi::CallbackInfo& info) {
  if (storage_ && storage_->stored() != nullptr) {
    const auto& hold = *storage_->stored();
    auto object = storeTo(info.Env(), hold.store().handle());
    auto stored = Napi::Object::New(info.Env());
    stored.Set("index", hold.id().index);
    stored.Set("generation", hold.id().generation);
    stored.Set("bytes", static_cast<double>(storage_->bytes()));
    object.Set("stored", stored);
    return object;
  }
  if (!storage_ || storage_->shared() == nullptr) return info.Env().Undefined();
  return handleTo(info.Env(), storage_->shared()->handle());
}

Napi::Value StorageBinding::hold(const Napi::CallbackInfo& info) {
  if (!storage_ || storage_->stored() == nullptr) return info.Env().Undefined();
  const auto& own = *storage_->stored();
  auto hold = std::make_shared<std::unique_ptr<store::Hold>>(std::make_unique<store::Hold>(own.shared(), own.id(), false));
  auto object = Napi::Object::New(info.Env());
  object.Set("release", Napi::Function::New(info.Env(), [hold](const Napi::CallbackInfo&) { hold->reset(); }));
  return object;
}

Napi::Value StorageBinding::write(const Napi::CallbackInfo& info) {
  const auto [data, bytes] = uint8ArrayFrom(info.Env(), info[0]);
  if (!storage_) throw Napi::Error::New(info.Env(), "this storage was released");
  if (storage_->gpu()) throw Napi::Error::New(info.Env(), "memory of a GPU cannot be read or written in place; copy it");
  if (bytes > storage_->bytes()) {
    throw Napi::RangeError::New(info.Env(),
                                "a storage of " + std::to_string(storage_->bytes()) + " bytes cannot take " + std::to_string(bytes));
  }
  troupe::copyBytes(storage_->data(), data, bytes);
  return info.Env().Undefined();
}

Napi::Value StorageBinding::lend(const Napi::CallbackInfo& info) {
  if (!storage_) throw Napi::Error::New(info.Env(), "this storage was released");
  if (storage_->gpu()) throw Napi::Error::New(info.Env(), "memory of a GPU cannot be read or written in place; copy it");
  return bufferOver(info.Env(), storage_);
}

Napi::Value StorageBinding::verify(const Napi::CallbackInfo& info) {
  if (const auto file = storage_ ? storage_->file() : nullptr) file->expectUnchanged();
  return info.Env().Undefined();
}

Napi::Value StorageBinding::release(const Napi::CallbackInfo& info) {
  storage_.reset();
  return info.Env().Undefined();
}

Region regionFrom(const Napi::Value& value) {
  Region region;
  const auto object = objectFrom(value, "{storage, offset, bytes}");
  region.storage = bindingFrom<StorageBinding>(object.Get("storage"), "Storage in {storage, offset, bytes}").storage();
  if (!region.storage) throw Napi::Error::New(value.Env(), "this storage was released");
  const size_t offset = bytesFrom(object.Get("offset"), "offset");
  region.bytes = bytesFrom(object.Get("bytes"), "bytes");
  if (offset > region.storage->bytes() || region.bytes > region.storage->bytes() - offset) {
    throw Napi::RangeError::New(value.Env(), "the elements do not lie within their storage");
  }
  region.data = region.storage->data() + offset;
  return region;
}

namespace {

/// Copies on a thread of Node's pool, since a copy from memory that is not the driver's own blocks.
class CopyWorker : public Napi::AsyncWorker {
 public:
  CopyWorker(Napi::Env env, Region from, Region to)
      : AsyncWorker(env, "troupe copy"), deferred(env), from_(std::move(from)), to_(std::move(to)) {}

  const Napi::Promise::Deferred deferred;

 protected:
  void Execute() override { cuda::copy({from_.data, from_.gpu()}, {to_.data, to_.gpu()}, from_.bytes); }
  void OnOK() override { deferred.Resolve(Env().Undefined()); }
  void OnError(const Napi::Error& error) override { deferred.Reject(error.Value()); }

 private:
  const Region from_, to_;
};

}  // namespace

Napi::Value copyBytes(const Napi::CallbackInfo& info) {
  Region from = regionFrom(info[0]), to = regionFrom(info[1]);
  if (from.bytes != to.bytes) throw Napi::RangeError::New(info.Env(), "a copy is of as many bytes on both sides");
  if (!from.gpu() && !to.gpu()) throw Napi::TypeError::New(info.Env(), "expected memory of a GPU on one side of a copy at least");
  auto* worker = new CopyWorker(info.Env(), std::move(from), std::move(to));
  const Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

Napi::Function StoreBinding::define(Napi::Env env) {
  return DefineClass(env, "Store",
                     {InstanceAccessor<&StoreBinding::handle>("handle"), InstanceMethod<&StoreBinding::use>("use"),
                      InstanceMethod<&StoreBinding::reap>("reap"), InstanceAccessor<&StoreBinding::freeBytes>("freeBytes"),
                      InstanceAccessor<&StoreBinding::spilledBytes>("spilledBytes"), InstanceAccessor<&StoreBinding::usage>("usage")});
}

// new Store(handle) or new Store({memoryBytes, diskBytes, spillFolder})
StoreBinding::StoreBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<StoreBinding>(info);
  const auto object = objectFrom(info[0], "options");
  if (object.Has("pid")) {
    store_ = store::Store::reach(storeFrom(object));
    return;
  }
  store::Store::Options options;
  options.memoryBytes = bytesFrom(object.Get("memoryBytes"), "memoryBytes");
  options.diskBytes = bytesFrom(object.Get("diskBytes"), "diskBytes");
  options.spillFolder = textFrom(object.Get("spillFolder"), "spillFolder");
  store_ = store::Store::create(options);
}

Napi::Value StoreBinding::handle(const Napi::CallbackInfo& info) { return storeTo(info.Env(), store_->handle()); }

Napi::Value StoreBinding::use(const Napi::CallbackInfo& info) {
  store::Store::setCurrent(store_);
  return info.Env().Undefined();
}

Napi::Value StoreBinding::reap(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(store_->reap()));
}

Napi::Value StoreBinding::freeBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(store_->freeBytes()));
}

Napi::Value StoreBinding::spilledBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(store_->spilledBytes()));
}

Napi::Value StoreBinding::usage(const Napi::CallbackInfo& info) {
  const auto usage = store_->usage();
  auto all = Napi::Array::New(info.Env(), usage.size());
  for (uint32_t i = 0; i < usage.size(); i++) {
    auto entry = Napi::Object::New(info.Env());
    entry.Set("pid", usage[i].pid);
    entry.Set("objects", static_cast<double>(usage[i].objects));
    entry.Set("bytes", static_cast<double>(usage[i].bytes));
    all.Set(i, entry);
  }
  return all;
}

}  // namespace troupe::addon
