// SPDX-License-Identifier: BSD-3-Clause
#include <pollux/msg.h>

const struct msg_info msg_info[MSG_COUNT] = {
#define MSG(id, from, words) [MSG_##id] = { .name = #id, .help = words, .sender = from },
#include <pollux/msg.def>
#undef MSG
};

bool msg_is_sound(const struct msg *msg, enum msg_sender sender)
{
	if (msg->type >= MSG_COUNT || msg_info[msg->type].sender != sender)
		return false;
	if (msg->bytes == 0 || msg->bytes > FRAME_MAX_BYTES || msg->port >= PORTS_MAX || msg->worker >= WORKERS_MAX)
		return false;
	if (msg->type == MSG_PUNT || msg->type == MSG_FRAME)
		return true;
	if (msg->type == MSG_USED)
		return msg->bytes % sizeof(uint64_t) == 0 && msg->bytes <= USED_POSITIONS_MAX * sizeof(uint64_t);
	// Ethernet in front, an IP and a UDP header between, a DNS header behind.
	unsigned least = msg->dns_at + (msg->type == MSG_SETTLED ? 0u : DNS_HEADER_BYTES);
	return msg->network_at >= 14 && msg->dns_at >= msg->network_at + 28 && msg->bytes >= least;
}
