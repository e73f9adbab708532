// SPDX-License-Identifier: BSD-3-Clause
// A clock that stands still while anything is left to do, and jumps when the event loop would wait. It takes the place of
// libc's clock_gettime(), time(), gettimeofday() and epoll_wait() for the whole program, libevent included, so that an
// hour of a scenario takes as long as its work.
#pragma once

#include <stdint.h>

uint64_t clock_now_ms(void); // since the start of the program
