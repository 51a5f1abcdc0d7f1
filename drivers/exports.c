// SPDX-License-Identifier: GPL-2.0
/* Rust symbols of compsc.ko for the driver modules; the list is generated (see Kbuild). */
#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
