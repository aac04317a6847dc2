// The expressions that csrc/cpu and csrc/cuda have in common, compiled for one lane.
#pragma once

#include "cuda/lane.h"

// They are written over the lane.
#include "cpu/activation.h"
#include "cpu/half.h"
#include "cpu/inverse_normal.h"
#include "cpu/math.h"
#include "cpu/rules.h"
