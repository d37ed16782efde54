#include "addon/bindings.h"
#include "kernel/kernels.h"
#include "program/pack_file.h"

namespace troupe::addon {
namespace {

constexpr int64_t kMostRows = INT32_MAX;

/// Packs on a thread of Node's pool, since reading a file blocks, and on those that it starts.
class PackWorker : public Napi::AsyncWorker {
 public:
  PackWorker(Napi::Env env, program::FileRows from, kernel::DataType type, size_t rows, size_t columns, Region to, int threads)
      : AsyncWorker(env, "troupe pack"), deferred(env), from_(std::move(from)), type_(type), rows_(rows), columns_(columns),
        to_(std::move(to)), threads_(threads) {}

  const Napi::Promise::Deferred deferred;

 protected:
  void Execute() override { unsound_ = program::packFile(from_, type_, rows_, columns_, to_, threads_); }
  void OnOK() override { deferred.Resolve(Napi::Number::New(Env(), static_cast<double>(unsound_))); }
  void OnError(const Napi::Error& error) override { deferred.Reject(error.Value()); }

 private:
  const program::FileRows from_;
  const kernel::DataType type_;
  const size_t rows_, columns_;
  const Region to_;
  const int threads_;
  int64_t unsound_ = -1;
};

}  // namespace

// packedBytes(type, rows, columns): number
Napi::Value packedBytes(const Napi::CallbackInfo& info) {
  const auto rows = static_cast<size_t>(integerFrom(info[1], "rows", 0, kMostRows)),
             columns = static_cast<size_t>(integerFrom(info[2], "columns", 1, kMostRows));
  const auto type = dataTypeFrom(info[0]);
  if (columns % kernel::blockSizeOf(type).elements != 0) throw Napi::RangeError::New(info.Env(), "columns: expected whole blocks");
  return Napi::Number::New(info.Env(), static_cast<double>(kernel::kernels().packedBytes(type, rows, columns)));
}

// packRows(type, columns, rows: Uint8Array, packed: Uint8Array, first)
Napi::Value packRows(const Napi::CallbackInfo& info) {
  const auto type = dataTypeFrom(info[0]);
  const auto columns = static_cast<size_t>(integerFrom(info[1], "columns", 1, kMostRows)),
             first = static_cast<size_t>(integerFrom(info[4], "first", 0, kMostRows));
  const auto [from, fromBytes] = uint8ArrayFrom(info.Env(), info[2]);
  const auto [to, toBytes] = uint8ArrayFrom(info.Env(), info[3]);
  const auto fail = [&](const char* what) { throw Napi::RangeError::New(info.Env(), what); };
  const size_t rowBytes = kernel::rowBytes(type, columns), count = rowBytes == 0 ? 0 : fromBytes / rowBytes;
  if (columns % kernel::blockSizeOf(type).elements != 0 || fromBytes != count * rowBytes) fail("rows: expected whole rows");
  const size_t offset = kernel::kernels().packedBytes(type, first, columns),
               end = kernel::kernels().packedBytes(type, first + count, columns);
  if (end == 0 && count > 0) fail("type: expected one that can be packed");
  if (end > toBytes) fail("packed: expected room for all rows");
  if (first % kernel::kPackedRows != 0) fail("first: expected a multiple of 16");
  if (count % kernel::kPackedRows != 0 && end != toBytes) fail("rows: expected a multiple of 16, or the last");
  kernel::kernels().pack(from, type, count, columns, to + offset);
  return info.Env().Undefined();
}

// packFile(type, [rows, columns], {fd, offset, stride, order?}, packed: Region, threads): Promise<number>
Napi::Value packFile(const Napi::CallbackInfo& info) {
  const auto type = dataTypeFrom(info[0]);
  const auto shape = arrayFrom(info[1], "shape");
  const auto rows = static_cast<size_t>(integerFrom(shape.Get(0u), "rows", 0, kMostRows)),
             columns = static_cast<size_t>(integerFrom(shape.Get(1u), "columns", 1, kMostRows));
  if (columns % kernel::blockSizeOf(type).elements != 0) throw Napi::RangeError::New(info.Env(), "columns: expected whole blocks");
  const auto file = objectFrom(info[2], "rows");
  program::FileRows from{intFrom(file.Get("fd"), "fd"), bytesFrom(file.Get("offset"), "offset"), bytesFrom(file.Get("stride"), "stride")};
  if (const auto order = file.Get("order"); !order.IsUndefined()) {
    if (!order.IsTypedArray() || order.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array)
      throw Napi::TypeError::New(info.Env(), "order: expected a Uint32Array");
    const auto numbers = order.As<Napi::Uint32Array>();
    from.order.assign(numbers.Data(), numbers.Data() + numbers.ElementLength());
  }
  Region to = regionFrom(info[3]);
  const int threads = intFrom(info[4], "threads", 1, kMostThreads);
  auto* worker = new PackWorker(info.Env(), std::move(from), type, rows, columns, std::move(to), threads);
  const Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

}  // namespace troupe::addon
