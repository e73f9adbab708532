// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <pollux/ring.h>

#include "frame.h"
#include "pipeline.h"
#include "checksum.h"
#include "side_door.h"
#include "worker.h"

enum { USED_WAIT_MS = 100 };

static uint64_t now_ms(const struct worker *worker)
{
	return atomic_load_explicit(&worker->house->stats->now_ms, memory_order_relaxed);
}

static void fill_slot(
	struct ring_slot *slot, const struct worker *worker, const struct burst *burst, unsigned i)
{
	const struct frame *frame = &burst->frame[i];
	bool miss = burst->fate[i] == COUNTER_miss;
	slot->msg = (struct msg){
		.time_ms = now_ms(worker),
		.generation = (uint32_t)worker->house->rings->head.generation,
		.type = miss ? MSG_MISS : MSG_PUNT,
		.bytes = frame->length,
		.port = burst->lane->port->index,
		.worker = (uint16_t)worker->index,
		.network_at = frame->network_at,
		.dns_at = miss ? frame->payload_at : 0,
		.miss_reason = miss ? burst->detail[i] : 0,
	};
	memcpy(slot->frame, frame->bytes, frame->length);
}

// RFC 791 3.1, RFC 8200 3.
static const uint8_t *client_of(const uint8_t *frame, unsigned network_at, unsigned ip_version)
{
	return frame + network_at + (ip_version == 4 ? 12 : 8);
}

// One client must not crowd out the others. While control lags behind, the one with much on its way has to wait first.
static bool may_miss(struct worker *worker, const struct burst *burst, unsigned i, uint32_t room)
{
	const struct frame *frame = &burst->frame[i];
	uint32_t most = worker->access.terms.max_misses;
	if (room < RING_SLOTS / 2)
		most = most / 8 + 1;
	return quota_take(&worker->quota, client_of(frame->bytes, frame->network_at, frame->ip_version),
		frame->ip_version == 4 ? 4 : 16, most, now_ms(worker));
}

void side_door_pass_up(struct worker *worker, struct burst *burst)
{
	struct ring *ring = worker->rings ? &worker->rings->up : NULL;
	uint32_t room = ring ? ring_room(ring) : 0;
	// A flood of SYNs must not keep questions out: the last quarter of the ring is theirs.
	uint32_t room_for_punts = room > RING_SLOTS / 4 ? room - RING_SLOTS / 4 : 0;
	uint32_t filled = 0;
	for (unsigned i = 0; i < burst->count; i++) {
		enum counter_class class = counter_info[burst->fate[i]].class;
		if (class != COUNTS_MISSED && class != COUNTS_PUNTED)
			continue;
		if (!ring)
			burst->fate[i] = COUNTER_drop_no_control;
		else if (burst->frame[i].length > FRAME_MAX_BYTES)
			burst->fate[i] = COUNTER_drop_too_long;
		else if (filled >= (class == COUNTS_PUNTED ? room_for_punts : room))
			burst->fate[i] = COUNTER_drop_ring_full;
		else if (class == COUNTS_MISSED && !may_miss(worker, burst, i, room - filled))
			burst->fate[i] = COUNTER_drop_client_limit;
		else
			fill_slot(ring_slot_to_fill(ring, filled++), worker, burst, i);
	}
	if (!filled)
		return;
	ring_commit(ring, filled);
	worker->door_used_at = burst->received_at;
}

static void send_used(struct worker *worker, struct ring *ring, uint64_t time_ms)
{
	unsigned count = RTE_MIN(worker->used_count, (unsigned)USED_POSITIONS_MAX);
	struct ring_slot *slot = ring_slot_to_fill(ring, 0);
	slot->msg = (struct msg){
		.time_ms = time_ms,
		.generation = (uint32_t)worker->house->rings->head.generation,
		.type = MSG_USED,
		.bytes = (uint16_t)(count * sizeof(worker->used[0])),
		.worker = (uint16_t)worker->index,
	};
	memcpy(slot->frame, worker->used, slot->msg.bytes);
	ring_commit(ring, 1);
}

// Full messages at most one a millisecond, others ten a second: what is used much is soon among them.
void side_door_tell_used(struct worker *worker, uint64_t position)
{
	worker->used[worker->used_count++ % USED_POSITIONS_MAX] = position;
	uint64_t silent_ms = now_ms(worker) - worker->used_told_ms;
	if (silent_ms < (worker->used_count < USED_POSITIONS_MAX ? USED_WAIT_MS : 1))
		return;
	struct ring *ring = worker->rings ? &worker->rings->up : NULL;
	if (!ring || ring_room(ring) < RING_SLOTS / 2)
		return;
	worker->used_told_ms += silent_ms;
	send_used(worker, ring, worker->used_told_ms);
	worker->used_count = 0;
}

static void fill_log_slot(struct ring_slot *slot, const struct worker *worker, const struct burst *burst, unsigned q,
	uint32_t took_us)
{
	unsigned i = burst->packet_of[q];
	const struct frame *frame = &burst->frame[i];
	slot->msg = (struct msg){
		.time_ms = now_ms(worker),
		.generation = (uint32_t)worker->house->rings->head.generation,
		.type = MSG_LOG,
		.bytes = frame->length,
		.port = burst->lane->port->index,
		.worker = (uint16_t)worker->index,
		.network_at = frame->network_at,
		.dns_at = frame->payload_at,
		.took_us = took_us,
		.rcode = (uint16_t)burst->rcode[q],
		.source = burst->detail[i],
	};
	memcpy(slot->frame, frame->bytes, frame->length);
}

void side_door_log(struct worker *worker, const struct burst *burst)
{
	struct ring *ring = worker->rings ? &worker->rings->up : NULL;
	uint32_t room = ring ? ring_room(ring) : 0, filled = 0;
	uint64_t ns = (uint64_t)(((__uint128_t)(rte_rdtsc() - burst->received_at) * worker->ns_per_tick) >> 32);
	room = room > RING_SLOTS * 3 / 4 ? room - RING_SLOTS * 3 / 4 : 0;
	for (unsigned q = 0; q < burst->queries; q++) {
		unsigned i = burst->packet_of[q];
		if (burst->fate[i] != COUNTER_answer_dns || ++worker->log_seen < worker->policy.log_sample)
			continue;
		worker->log_seen = 0;
		if (filled < room && burst->frame[i].length <= FRAME_MAX_BYTES)
			fill_log_slot(ring_slot_to_fill(ring, filled++), worker, burst, q, (uint32_t)(ns / 1000));
		else
			worker->counter[COUNTER_query_log_lost]++;
	}
	worker->counter[COUNTER_query_logged] += filled;
	if (filled)
		ring_commit(ring, filled);
}

// What control sent, waiting for one call of its port.
struct outgoing {
	uint16_t port;
	unsigned count;
	struct rte_mbuf *mbuf[BURST_MAX];
	uint8_t reply[BURST_MAX]; // or else a frame
};

static void send_outgoing(struct worker *worker, struct outgoing *out)
{
	if (!out->count)
		return;
	uint32_t bytes[BURST_MAX];
	for (unsigned i = 0; i < out->count; i++)
		bytes[i] = out->mbuf[i]->pkt_len;
	const struct port *port = &worker->house->ports[out->port];
	unsigned sent = rte_eth_tx_burst(
		port->id, (uint16_t)worker->tx_queue[out->port], out->mbuf, (uint16_t)out->count);
	for (unsigned i = 0; i < sent; i++) {
		worker->counter[out->reply[i] ? COUNTER_control_reply : COUNTER_control_frame]++;
		worker->counter[COUNTER_tx_bytes] += bytes[i];
	}
	worker->counter[COUNTER_tx] += sent;
	worker->counter[COUNTER_control_tx_full] += out->count - sent;
	if (sent < out->count)
		rte_pktmbuf_free_bulk(out->mbuf + sent, out->count - sent);
	out->count = 0;
}

// Control may have died and left these, or have spoken to a dataplane before us, or have thought too long.
static bool is_stale(const struct worker *worker, const struct msg *msg)
{
	return msg->generation != (uint32_t)worker->house->rings->head.generation ||
	       now_ms(worker) > msg->time_ms + MESSAGE_MAX_AGE_MS;
}

static bool is_for_us(const struct worker *worker, const struct msg *msg)
{
	return msg_is_sound(msg, FROM_CONTROL) && msg->port < worker->house->port_count &&
	       worker->tx_queue[msg->port] >= 0 && msg->bytes >= RTE_ETHER_HDR_LEN;
}

// Makes the copied message into what goes out. Everything is judged in the copy: the ring is control's.
static bool finish_message(const struct worker *worker, struct rte_mbuf *mbuf, const struct msg *msg)
{
	if (msg->type == MSG_FRAME)
		return true;
	struct frame frame = {
		.bytes = rte_pktmbuf_mtod(mbuf, uint8_t *),
		.room = (uint32_t)mbuf->buf_len - mbuf->data_off,
		.length = msg->bytes,
	};
	if (!frame_trust_offsets(&frame, msg->network_at, msg->dns_at))
		return false;
	unsigned offload = worker->house->ports[msg->port].offload;
	unsigned bytes = frame.length - frame.payload_at;
	frame_turn_round(&frame, bytes, checksum_add(0, frame.bytes + frame.payload_at, bytes), offload);
	mbuf->data_off = (uint16_t)(frame.bytes - (uint8_t *)mbuf->buf_addr);
	mbuf->data_len = frame.length;
	mbuf->pkt_len = frame.length;
	pipeline_request_offload(mbuf, &frame, offload);
	return true;
}

// The frame is control's: its version says where the source would be, and soundness that there is room for it.
static void settle(struct worker *worker, const uint8_t *frame, const struct msg *msg)
{
	unsigned version = frame[msg->network_at] >> 4;
	if (version == 4 || (version == 6 && msg->dns_at >= msg->network_at + 48))
		quota_give(&worker->quota, client_of(frame, msg->network_at, version), version == 4 ? 4 : 16, now_ms(worker));
}

// An mbuf with the message ready to send, or NULL, counted.
static struct rte_mbuf *take_message(
	struct worker *worker, const struct ring_slot *slot, const struct msg *msg)
{
	if (!is_for_us(worker, msg)) {
		worker->counter[COUNTER_control_malformed]++;
		return NULL;
	}
	if (is_stale(worker, msg)) {
		worker->counter[COUNTER_control_stale]++;
		return NULL;
	}
	if (msg->type != MSG_FRAME)
		settle(worker, slot->frame, msg);
	if (msg->type == MSG_SETTLED) {
		worker->counter[COUNTER_control_settled]++;
		return NULL;
	}
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(worker->house->pool);
	if (!mbuf) {
		worker->counter[COUNTER_control_no_mbuf]++;
		return NULL;
	}
	memcpy(rte_pktmbuf_append(mbuf, msg->bytes), slot->frame, msg->bytes);
	if (!finish_message(worker, mbuf, msg)) {
		worker->counter[COUNTER_control_malformed]++;
		rte_pktmbuf_free(mbuf);
		return NULL;
	}
	return mbuf;
}

unsigned side_door_take(struct worker *worker)
{
	if (!worker->rings)
		return 0;
	struct ring *ring = &worker->rings->down;
	bool corrupt;
	uint32_t ready = RTE_MIN(ring_ready(ring, &corrupt), (uint32_t)BURST_MAX);
	if (corrupt)
		worker->counter[COUNTER_control_malformed]++;
	struct outgoing out = { .count = 0 };
	for (uint32_t i = 0; i < ready; i++) {
		const struct ring_slot *slot = ring_slot_to_read(ring, i);
		struct msg msg;
		memcpy(&msg, &slot->msg, sizeof(msg));
		struct rte_mbuf *mbuf = take_message(worker, slot, &msg);
		if (!mbuf)
			continue;
		if (out.count && out.port != msg.port)
			send_outgoing(worker, &out);
		out.port = msg.port;
		out.reply[out.count] = msg.type == MSG_REPLY;
		out.mbuf[out.count++] = mbuf;
	}
	send_outgoing(worker, &out);
	if (ready) {
		ring_consume(ring, ready);
		worker->door_used_at = rte_rdtsc();
	}
	return ready;
}
