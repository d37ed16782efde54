#pragma once

#include "collective/all_gather.h"
#include "collective/all_reduce.h"
#include "collective/all_to_all.h"
#include "collective/barrier.h"
#include "collective/broadcast.h"
#include "collective/gather.h"
#include "collective/point_to_point.h"
#include "collective/reduce.h"
#include "collective/reduce_scatter.h"
#include "collective/scatter.h"
