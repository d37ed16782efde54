#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Returns once every rank has called it. Between hosts in log2(ranks) rounds (Hensgen, Finkel and Manber, "Two algorithms
/// for barrier synchronization", 1988).
void barrier(Group& group);

}  // namespace troupe::collective
