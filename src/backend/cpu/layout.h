// How weights lie in CPU memory is how they lie everywhere: quant/interleave.h.
#pragma once

#include "quant/interleave.h"

namespace moraine::cpu {

using quant::find_layout;
using quant::Layout;

}  // namespace moraine::cpu
