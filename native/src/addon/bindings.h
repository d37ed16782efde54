#pragma once

#include <map>
#include <memory>
#include <napi.h>

#include "addon/arguments.h"
#include "addon/worker_thread.h"
#include "collective/communicator.h"
#include "device/region.h"
#include "program/program.h"
#include "sync/ring_poller.h"

namespace troupe::addon {

/// JavaScript's view of a Storage: `new Storage(bytes, shared)` and its like, `.device`, `.buffer`, `.handle`, `.release()`.
class StorageBinding : public Napi::ObjectWrap<StorageBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 1};
  static Napi::Function define(Napi::Env env);
  explicit StorageBinding(const Napi::CallbackInfo& info);

  const std::shared_ptr<Storage>& storage() const { return storage_; }

 private:
  Napi::Value buffer(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value handle(const Napi::CallbackInfo& info);
  Napi::Value hold(const Napi::CallbackInfo& info);
  Napi::Value lend(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value verify(const Napi::CallbackInfo& info);
  Napi::Value release(const Napi::CallbackInfo& info);

  std::shared_ptr<Storage> storage_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
};

/// `new RingPoller()`, `.add(memory, written, read)`, `.remove(number)`, `.poll(microseconds)`.
class RingPollerBinding : public Napi::ObjectWrap<RingPollerBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 2};
  static Napi::Function define(Napi::Env env);
  explicit RingPollerBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value add(const Napi::CallbackInfo& info);
  void remove(const Napi::CallbackInfo& info);
  Napi::Value poll(const Napi::CallbackInfo& info);

  RingPoller poller_;
  struct Watched {
    std::shared_ptr<Storage> memory;
    const RingPoller::Counter* written;
  };
  std::map<uint32_t, Watched> watched_;
  uint32_t next_ = 0;
};

/// `new Store({memoryBytes, diskBytes, spillFolder})` or `new Store(handle)`; see index.d.ts.
class StoreBinding : public Napi::ObjectWrap<StoreBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 3};
  static Napi::Function define(Napi::Env env);
  explicit StoreBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value handle(const Napi::CallbackInfo& info);
  Napi::Value use(const Napi::CallbackInfo& info);
  Napi::Value reap(const Napi::CallbackInfo& info);
  Napi::Value freeBytes(const Napi::CallbackInfo& info);
  Napi::Value spilledBytes(const Napi::CallbackInfo& info);
  Napi::Value usage(const Napi::CallbackInfo& info);

  std::shared_ptr<store::Store> store_;
};

/// `new Communicator({rank, size, name, node, host, token, labels, spin, timeout, gpu})`, `.address`, `.connect(addresses)`,
/// `.run(requests)`, `.splitGpus(part, color, key)`, `.registerMemory(id, region)`, `.deregisterMemory(id)`, `.close()`,
/// `.abort(reason)`.
class CommunicatorBinding : public Napi::ObjectWrap<CommunicatorBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 4};
  static Napi::Function define(Napi::Env env);
  explicit CommunicatorBinding(const Napi::CallbackInfo& info);

  const std::shared_ptr<collective::Communicator>& communicator() const { return communicator_; }

 private:
  Napi::Value address(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value splitGpus(const Napi::CallbackInfo& info);
  Napi::Value registerMemory(const Napi::CallbackInfo& info);
  Napi::Value deregisterMemory(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value abort(const Napi::CallbackInfo& info);
  Napi::Value submit(const Napi::CallbackInfo& info, std::function<void()> work);

  std::shared_ptr<collective::Communicator> communicator_;
  std::unique_ptr<WorkerThread> thread_;
};

/// `new Program(description, threads)`, `.arena`, `.run(symbols)`, `.statistics`, `.profile()`, `.cancel(reason)`.
class ProgramBinding : public Napi::ObjectWrap<ProgramBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 5};
  static Napi::Function define(Napi::Env env);
  explicit ProgramBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value arena(const Napi::CallbackInfo& info);
  Napi::Value check(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value statistics(const Napi::CallbackInfo& info);
  Napi::Value profile(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);

  std::unique_ptr<program::Program> program_;
  std::unique_ptr<WorkerThread> thread_;
  Napi::Reference<Napi::ArrayBuffer> arena_;
};

/// An ArrayBuffer over a storage's memory, which it keeps alive.
Napi::ArrayBuffer bufferOver(Napi::Env env, const std::shared_ptr<Storage>& storage);

SharedMemoryHandle handleFrom(const Napi::Object& object);
Napi::Object handleTo(Napi::Env env, const SharedMemoryHandle& handle);

/// Part of a storage, `{storage, offset, bytes}`. No typed array is taken: its memory goes when JavaScript passes it to another
/// thread, whoever still uses it.
Region regionFrom(const Napi::Value& value);

/// checkOperation(operation, symbols): see index.d.ts.
Napi::Value checkOperation(const Napi::CallbackInfo& info);
/// packedBytes(type, rows, columns), packRows(type, columns, rows, packed, first), packFile(type, shape, rows, packed, threads): see
/// index.d.ts.
Napi::Value packedBytes(const Napi::CallbackInfo& info);
Napi::Value packRows(const Napi::CallbackInfo& info);
Napi::Value packFile(const Napi::CallbackInfo& info);

/// copyBytes(from, to): a promise; one of the two is on a GPU.
Napi::Value copyBytes(const Napi::CallbackInfo& info);

/// A type of elements by its name.
kernel::DataType dataTypeFrom(const Napi::Value& value);
/// Sizes and strides of an operation on arrays; none for undefined.
std::vector<int64_t> geometryFrom(const Napi::Value& value);

Napi::Value compute(const Napi::CallbackInfo& info);

}  // namespace troupe::addon
