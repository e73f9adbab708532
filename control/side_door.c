// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <pollux/log.h>
#include <pollux/ring.h>
#include <pollux/shm.h>

#include "side_door.h"

#define SPIN_US 50	       // after work the rings are polled again at once for so long
#define IDLE_US 1000	       // the longest pause while a dataplane lives
#define PAUSE_SHARE 4	       // a pause is this part of the time since the last work: nobody waits much longer for it
#define ALONE_US 20000	       // and so often while none does
#define CHECK_ALIVE_US 100000  // a living dataplane is looked at so often
#define RING_MESSAGES_MAX 32   // of one ring in a round, so that every worker gets its turn
#define ROUND_MESSAGES_MAX 256 // in a round, so that sockets and timers get theirs

// What tells one dataplane, and one state of its ports, from another. The regions themselves may stay
// the same file over many lives of it.
struct identity {
	uint64_t rings_generation, stats_generation, started_s;
	int32_t pid;
	uint32_t workers, ports;
	uint8_t mac[PORTS_MAX][6], link_up[PORTS_MAX];
};

struct handler {
	side_door_handler *run;
	void *ctx;
};

struct side_door {
	struct event *timer;
	char rings_path[PATH_MAX], stats_path[PATH_MAX];
	struct shm rings, stats;
	enum status said_rings, said_stats; // the last trouble told, so that it is told once
	bool alive;
	struct identity known;	      // of the dataplane attached to
	unsigned first_ring;	      // of the next round
	bool has_sent;		      // since the last round: answers are soon followed by the next question
	uint64_t worked_at_us, checked_at_us;
	struct handler handler[MSG_COUNT];
	void (*attached)(void *ctx, const struct stats *);
	void *attached_ctx;
	struct side_door_counters counters;
	uint8_t frame[FRAME_MAX_BYTES]; // the checked copy that handlers see
};

static uint64_t monotonic_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct rings *rings_of(const struct side_door *door)
{
	return door->rings.base;
}

// Maps the file when there is none mapped or another one has taken its name. An unmapped region is no
// trouble as long as there is no file: the dataplane has not started yet.
static bool map_region(struct shm *shm, const char *path, uint32_t magic, uint32_t format, enum shm_access access,
	size_t least_bytes, enum status *said)
{
	if (shm->base && !shm_was_replaced(shm, path))
		return true;
	struct shm fresh;
	enum status status = shm_join(&fresh, path, magic, format, access);
	if (status == ST_OK && fresh.bytes < least_bytes) {
		shm_close(&fresh);
		status = ST_CORRUPT;
	}
	if (status == ST_OK) {
		shm_close(shm);
		*shm = fresh;
	} else if (status != ST_NOT_FOUND && status != *said) {
		log_error("%s: cannot map the dataplane's region: %s", path, status_text(status));
	}
	*said = status;
	return status == ST_OK;
}

static void detach(struct side_door *door)
{
	if (door->alive)
		log_warning("the dataplane (process %d) is gone; waiting for the next one", door->known.pid);
	door->alive = false;
}

static bool map_regions(struct side_door *door)
{
	void *old_rings = door->rings.base, *old_stats = door->stats.base;
	bool rings = map_region(&door->rings, door->rings_path, RINGS_MAGIC, RINGS_FORMAT, SHM_WRITE,
		sizeof(struct rings), &door->said_rings);
	bool stats = map_region(&door->stats, door->stats_path, STATS_MAGIC, STATS_FORMAT, SHM_READ,
		sizeof(struct stats), &door->said_stats);
	if (door->rings.base != old_rings || door->stats.base != old_stats) {
		detach(door);
		memset(&door->known, 0, sizeof(door->known)); // counts of the former regions say nothing about these
	}
	return rings && stats;
}

static struct identity identity_of(const struct side_door *door)
{
	const struct rings *rings = door->rings.base;
	const struct stats *stats = door->stats.base;
	struct identity found;
	memset(&found, 0, sizeof(found)); // compared octet by octet
	found.rings_generation = rings->head.generation;
	found.stats_generation = stats->head.generation;
	found.started_s = stats->started_s;
	found.pid = stats->pid;
	found.workers = rings->workers;
	found.ports = stats->ports;
	for (unsigned i = 0; i < PORTS_MAX; i++) {
		memcpy(found.mac[i], stats->port[i].mac, 6);
		found.link_up[i] = stats->port[i].link_up;
	}
	return found;
}

// The counts are believed only as far as the mapped octets bear them out.
static bool identity_fits(const struct side_door *door, const struct identity *found)
{
	const struct stats *stats = door->stats.base;
	uint32_t workers = stats->workers;
	return found->workers > 0 && found->workers <= WORKERS_MAX && found->workers == workers &&
		found->ports <= PORTS_MAX && rings_bytes(found->workers) <= door->rings.bytes &&
		stats_bytes(workers) <= door->stats.bytes;
}

static void attach(struct side_door *door, const struct identity *found)
{
	bool another = !door->alive || found->rings_generation != door->known.rings_generation;
	door->known = *found;
	door->alive = true;
	door->first_ring = 0;
	if (another) {
		door->counters.attaches++;
		log_info("dataplane found: process %d, %u workers, %u ports, generation %llu", found->pid,
			found->workers, found->ports, (unsigned long long)found->rings_generation);
	}
	if (door->attached)
		door->attached(door->attached_ctx, door->stats.base);
}

// Who is there? Asks the kernel for the owners' locks, so that a killed dataplane is seen as well.
static void look_after(struct side_door *door)
{
	if (!map_regions(door) || !shm_owner_lives(&door->rings) || !shm_owner_lives(&door->stats)) {
		detach(door);
		return;
	}
	struct identity found = identity_of(door);
	if (found.pid == 0)
		return; // still starting
	if (!identity_fits(door, &found)) {
		if (door->said_rings != ST_CORRUPT)
			log_error("%s: %u workers and %u ports do not fit the regions", door->rings_path,
				found.workers, found.ports);
		door->said_rings = ST_CORRUPT;
		door->counters.corrupt += door->alive;
		detach(door);
		return;
	}
	if (!door->alive || memcmp(&found, &door->known, sizeof(found)) != 0)
		attach(door, &found);
}

static bool is_stale(const struct side_door *door, const struct msg *msg, uint64_t now_ms)
{
	// A clock of the future is as wrong as one of long ago; a few milliseconds are the two clocks' readings.
	return msg->generation != (uint32_t)door->known.rings_generation ||
		msg->time_ms + MESSAGE_MAX_AGE_MS < now_ms || msg->time_ms > now_ms + 1000;
}

// One message: copied first, checked in the copy, then taken off the ring before anybody acts on it. A
// message that kills this process is thus not met again by the next one.
static void take_message(struct side_door *door, struct ring *ring, unsigned worker, uint64_t now_ms)
{
	const struct ring_slot *slot = ring_slot_to_read(ring, 0);
	struct msg msg;
	memcpy(&msg, &slot->msg, sizeof(msg));
	bool sound = msg_is_sound(&msg, FROM_DATAPLANE) && msg.port < door->known.ports;
	if (sound)
		memcpy(door->frame, slot->frame, msg.bytes);
	ring_consume(ring, 1);
	if (!sound) {
		door->counters.malformed++;
		return;
	}
	if (is_stale(door, &msg, now_ms)) {
		door->counters.stale++;
		return;
	}
	msg.worker = (uint16_t)worker; // the ring says who it was; the message need not be believed
	door->counters.received[msg.type]++;
	const struct handler *handler = &door->handler[msg.type];
	if (handler->run)
		handler->run(handler->ctx, &msg, door->frame);
}

static unsigned drain_ring(struct side_door *door, unsigned worker, unsigned budget, uint64_t now_ms)
{
	struct ring *up = &rings_of(door)->worker[worker].up;
	bool corrupt;
	unsigned ready = ring_ready(up, &corrupt);
	door->counters.corrupt += corrupt;
	if (ready > budget)
		ready = budget;
	for (unsigned i = 0; i < ready; i++)
		take_message(door, up, worker, now_ms);
	return ready;
}

static bool poll_rings(struct side_door *door, uint64_t now_ms)
{
	// A dataplane that was killed and started again between two checks keeps the file and raises this.
	if (rings_of(door)->head.generation != door->known.rings_generation) {
		look_after(door);
		if (!door->alive || rings_of(door)->head.generation != door->known.rings_generation)
			return false;
	}
	unsigned workers = door->known.workers, left = ROUND_MESSAGES_MAX;
	for (unsigned i = 0; i < workers && left > 0; i++) {
		unsigned worker = (door->first_ring + i) % workers;
		left -= drain_ring(door, worker, left < RING_MESSAGES_MAX ? left : RING_MESSAGES_MAX, now_ms);
	}
	door->first_ring = (door->first_ring + 1) % workers;
	return left < ROUND_MESSAGES_MAX;
}

static void wake_in(struct side_door *door, unsigned us)
{
	struct timeval delay = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };
	event_add(door->timer, &delay);
}

// How long the rings may be left alone.
static unsigned pause_us(const struct side_door *door)
{
	if (!door->alive)
		return ALONE_US;
	uint64_t idle_us = monotonic_us() - door->worked_at_us;
	if (idle_us < SPIN_US)
		return 0;
	return idle_us < IDLE_US * PAUSE_SHARE ? (unsigned)idle_us / PAUSE_SHARE : IDLE_US;
}

// One round. Spinning goes through the event loop, so that sockets are served between two rounds.
static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct side_door *door = ctx;
	uint64_t now_us = monotonic_us();
	if (!door->alive || now_us - door->checked_at_us >= CHECK_ALIVE_US) {
		door->checked_at_us = now_us;
		look_after(door);
	}
	if (door->alive && (poll_rings(door, now_us / 1000) | door->has_sent))
		door->worked_at_us = monotonic_us();
	door->has_sent = false;
	unsigned pause = pause_us(door);
	if (!pause)
		sched_yield(); // to a worker that has to share the core
	wake_in(door, pause);
}

struct side_door *side_door_new(struct event_base *base, const struct config *config, const char *shared_directory)
{
	(void)config;
	struct side_door *door = calloc(1, sizeof(*door));
	if (!door)
		return NULL;
	door->rings.fd = door->stats.fd = -1;
	snprintf(door->rings_path, sizeof(door->rings_path), "%s/rings", shared_directory);
	snprintf(door->stats_path, sizeof(door->stats_path), "%s/stats", shared_directory);
	door->timer = event_new(base, -1, 0, on_timer, door);
	if (!door->timer) {
		free(door);
		return NULL;
	}
	wake_in(door, 0); // from the loop: by then the handlers are there
	return door;
}

void side_door_free(struct side_door *door)
{
	if (!door)
		return;
	event_free(door->timer);
	shm_close(&door->rings);
	shm_close(&door->stats);
	free(door);
}

void side_door_on(struct side_door *door, enum msg_type type, side_door_handler *run, void *ctx)
{
	door->handler[type] = (struct handler){ .run = run, .ctx = ctx };
}

void side_door_on_attach(struct side_door *door, void (*attached)(void *ctx, const struct stats *), void *ctx)
{
	door->attached = attached;
	door->attached_ctx = ctx;
	if (attached && door->alive)
		attached(ctx, door->stats.base);
}

// The next free slot of that worker's ring, or why there is none.
static enum status slot_for(struct side_door *door, unsigned worker, struct ring **ring, struct ring_slot **slot)
{
	if (!door->alive || worker >= door->known.workers) {
		door->counters.no_dataplane++;
		return ST_NOT_FOUND;
	}
	*ring = &rings_of(door)->worker[worker].down;
	if (ring_room(*ring) == 0) {
		door->counters.ring_full++;
		return ST_FULL;
	}
	*slot = ring_slot_to_fill(*ring, 0);
	return ST_OK;
}

static enum status send_back(struct side_door *door, const struct msg *miss, enum msg_type type, const uint8_t *headers,
	const uint8_t *dns, unsigned dns_bytes)
{
	if (miss->generation != (uint32_t)door->known.rings_generation) {
		door->counters.no_dataplane++;
		return ST_NOT_FOUND;
	}
	struct ring *ring;
	struct ring_slot *slot;
	enum status status = slot_for(door, miss->worker, &ring, &slot);
	if (status != ST_OK)
		return status;
	slot->msg = *miss;
	slot->msg.type = (uint16_t)type;
	slot->msg.bytes = (uint16_t)(miss->dns_at + dns_bytes);
	memcpy(slot->frame, headers, miss->dns_at);
	if (dns_bytes)
		memcpy(slot->frame + miss->dns_at, dns, dns_bytes);
	ring_commit(ring, 1);
	door->has_sent = true;
	door->counters.sent[type]++;
	return ST_OK;
}

enum status side_door_reply(struct side_door *door, const struct msg *miss, const uint8_t *headers,
	const uint8_t *dns, unsigned dns_bytes)
{
	if (dns_bytes < DNS_HEADER_BYTES || dns_bytes > FRAME_MAX_BYTES || miss->dns_at + dns_bytes > FRAME_MAX_BYTES)
		return ST_INVALID;
	return send_back(door, miss, MSG_REPLY, headers, dns, dns_bytes);
}

enum status side_door_settle(struct side_door *door, const struct msg *miss, const uint8_t *headers)
{
	return send_back(door, miss, MSG_SETTLED, headers, NULL, 0);
}

enum status side_door_frame(struct side_door *door, unsigned port, const uint8_t *frame, unsigned bytes)
{
	if (bytes == 0 || bytes > FRAME_MAX_BYTES || port >= PORTS_MAX)
		return ST_INVALID;
	if (door->alive && port >= door->known.ports) {
		door->counters.no_dataplane++;
		return ST_NOT_FOUND;
	}
	struct ring *ring;
	struct ring_slot *slot;
	const struct stats *stats = door->stats.base;
	uint16_t worker = door->alive ? stats->port[port].worker : 0;
	enum status status = slot_for(door, worker, &ring, &slot);
	if (status != ST_OK)
		return status;
	slot->msg = (struct msg){ .time_ms = monotonic_us() / 1000,
		.generation = (uint32_t)door->known.rings_generation,
		.type = MSG_FRAME,
		.bytes = (uint16_t)bytes,
		.port = (uint16_t)port,
		.worker = worker };
	memcpy(slot->frame, frame, bytes);
	ring_commit(ring, 1);
	door->has_sent = true;
	door->counters.sent[MSG_FRAME]++;
	return ST_OK;
}

bool side_door_is_attached(const struct side_door *door)
{
	return door->alive;
}

// By name, for the file may be newer than what is mapped.
static bool file_is_owned(const char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT; // it cannot be seen: rather yes
	bool owned = fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
	close(fd);
	return owned;
}

bool side_door_is_alone(const struct side_door *door)
{
	return !file_is_owned(door->stats_path) && !file_is_owned(door->rings_path) &&
		!shm_owner_lives(&door->stats) && !shm_owner_lives(&door->rings);
}

const struct stats *side_door_stats(const struct side_door *door)
{
	return door->counters.attaches ? door->stats.base : NULL;
}

unsigned side_door_workers(const struct side_door *door)
{
	return door->known.workers;
}

unsigned side_door_ports(const struct side_door *door)
{
	return door->known.ports;
}

const struct side_door_counters *side_door_counters(const struct side_door *door)
{
	return &door->counters;
}
