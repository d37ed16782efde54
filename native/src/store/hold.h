#pragma once

#include <cstdint>
#include <memory>

#include "store/store.h"

namespace troupe::store {

/// Keeps an object in being, and so long as it is mapped, where it is.
class Hold {
 public:
  /// Takes over what `create` has given.
  Hold(std::shared_ptr<Store> store, ObjectId id, uint8_t* data) : store_(std::move(store)), id_(id), data_(data) {}
  /// Holds an object that someone else holds meanwhile, and maps it if asked for. Throws as Store::hold and Store::map do.
  Hold(std::shared_ptr<Store> store, ObjectId id, bool isMapped);
  ~Hold();
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  uint8_t* data() const { return data_; }
  ObjectId id() const { return id_; }
  Store& store() const { return *store_; }
  const std::shared_ptr<Store>& shared() const { return store_; }

 private:
  std::shared_ptr<Store> store_;
  ObjectId id_;
  uint8_t* data_ = nullptr;
};

}  // namespace troupe::store
