#include "store/hold.h"

#include "memory/quietly.h"

namespace troupe::store {

Hold::Hold(std::shared_ptr<Store> store, ObjectId id, bool isMapped) : store_(std::move(store)), id_(id) {
  store_->hold(id_);
  if (!isMapped) return;
  try {
    data_ = store_->map(id_);
  } catch (...) {
    store_->release(id_);
    throw;
  }
}

Hold::~Hold() {
  quietly([&] {
    if (data_ != nullptr) store_->unmap(id_);
  });
  quietly([&] { store_->release(id_); });
}

}  // namespace troupe::store
