// SPDX-License-Identifier: BSD-3-Clause
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define START_MONOTONIC_MS UINT64_C(5000000) // some time after boot
#define START_REAL_S 1700000000
#define GRACE_MS 1 // of real time, for packets on their way over loopback

static uint64_t now_ms;

uint64_t clock_now_ms(void)
{
	return now_ms;
}

int clock_gettime(clockid_t id, struct timespec *to)
{
	uint64_t ms = now_ms + (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE ? START_REAL_S * UINT64_C(1000) :
										       START_MONOTONIC_MS);
	*to = (struct timespec){ .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	return 0;
}

time_t time(time_t *to)
{
	time_t now = (time_t)(START_REAL_S + now_ms / 1000);
	if (to)
		*to = now;
	return now;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
	(void)zone;
	*to = (struct timeval){ .tv_sec = (time_t)(START_REAL_S + now_ms / 1000), .tv_usec = (suseconds_t)(now_ms % 1000) * 1000 };
	return 0;
}

static int wait_really(int epoll, struct epoll_event *events, int most, int ms)
{
	return (int)syscall(SYS_epoll_pwait, epoll, events, most, ms, NULL, 0);
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout_ms)
{
	int ready = wait_really(epoll, events, most, 0);
	if (ready == 0 && timeout_ms)
		ready = wait_really(epoll, events, most, GRACE_MS);
	if (ready == 0 && timeout_ms > 0)
		now_ms += (uint64_t)timeout_ms;
	return ready;
}
