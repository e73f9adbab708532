// SPDX-License-Identifier: BSD-3-Clause
// Large arrays while a zone is read: zeroed, growing without a copy, on huge pages where the kernel gives
// some. Random access to hundreds of megabytes otherwise costs a page walk each time. Any thread.
#pragma once

#include <stddef.h>

// A zeroed array of `bytes`, or `old` (of `old_bytes`, NULL at first) made longer, the new part zeroed. NULL: no
// memory, `old` is still there.
void *bulk_resize(void *old, size_t old_bytes, size_t bytes);
void bulk_free(void *array, size_t bytes); // NULL is fine
// Asks the kernel for all pages of a range that will be written from end to end, which costs less than a fault for each.
void bulk_expect(void *at, size_t bytes);
