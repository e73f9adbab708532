// SPDX-License-Identifier: BSD-3-Clause
#include <string.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <pollux/bytes.h>
#include <pollux/config.h>

#include "checksum.h"
#include "pipeline.h"
#include "side_door.h"
#include "worker.h"

static enum counter_class class_of(enum counter fate)
{
	return counter_info[fate].class;
}

static void make_service_tag(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_mtod(mbuf, struct rte_ether_hdr *)->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ);
}

// A port that takes tags off, though nobody asked it to, gets them back on: the reply must carry them,
// and control must see the frame as it came.
static bool insert_tags(struct rte_mbuf **mbuf)
{
	bool two = ((*mbuf)->ol_flags & RTE_MBUF_F_RX_QINQ_STRIPPED) == RTE_MBUF_F_RX_QINQ_STRIPPED;
	if (rte_vlan_insert(mbuf) != 0)
		return false;
	if (!two)
		return true;
	(*mbuf)->vlan_tci = (*mbuf)->vlan_tci_outer;
	if (rte_vlan_insert(mbuf) != 0)
		return false;
	make_service_tag(*mbuf);
	return true;
}

// Of two tags the outer one is a service tag (IEEE 802.1ad), unless somebody stacks 802.1Q against the
// standard; which it was, nobody can say any more.
static void guess_tpid(struct rte_mbuf *mbuf)
{
	const struct rte_vlan_hdr *tag =
		rte_pktmbuf_mtod_offset(mbuf, const struct rte_vlan_hdr *, sizeof(struct rte_ether_hdr));
	if (mbuf->data_len >= sizeof(struct rte_ether_hdr) + sizeof(*tag) &&
		tag->eth_proto == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN))
		make_service_tag(mbuf);
}

// False: the frame cannot be made whole. Rare ports need it.
static bool restore_tags(const struct port *port, struct rte_mbuf **mbuf)
{
	if (!((*mbuf)->ol_flags & (RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN)))
		return true;
	if ((*mbuf)->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)
		return insert_tags(mbuf);
	if (port->forgets_tpid && (*mbuf)->ol_flags & RTE_MBUF_F_RX_VLAN)
		guess_tpid(*mbuf);
	return true;
}

static void receive(struct worker *worker, struct burst *burst)
{
	burst->received_at = rte_rdtsc();
	for (unsigned i = 0; i < burst->count; i++)
		rte_prefetch0(rte_pktmbuf_mtod(burst->mbuf[i], void *));
	worker->counter[COUNTER_rx] += burst->count;
}

// "None" means that the sums in the packet are not filled in, but its content is known to be good.
static unsigned trust_of(const struct rte_mbuf *mbuf)
{
	unsigned trust = 0;
	uint64_t ip = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	uint64_t l4 = mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	if (ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD || ip == RTE_MBUF_F_RX_IP_CKSUM_NONE)
		trust |= TRUST_IP_CHECKSUM;
	if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD || l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE)
		trust |= TRUST_L4_CHECKSUM;
	return trust;
}

// What a port may say of a frame that matters here.
#define PORT_KNOWS                                                                                                             \
	(RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK)

static __attribute__((noinline)) bool hear_port(const struct port *port, struct rte_mbuf **slot, unsigned *trust)
{
	bool whole = restore_tags(port, slot);
	*trust = trust_of(*slot);
	return whole;
}

static inline enum counter open_frame(const struct port *port, struct rte_mbuf **slot, struct frame *frame)
{
	bool whole = true;
	unsigned trust = 0;
	if ((*slot)->ol_flags & PORT_KNOWS)
		whole = hear_port(port, slot, &trust);
	const struct rte_mbuf *mbuf = *slot;
	frame->bytes = rte_pktmbuf_mtod(mbuf, uint8_t *);
	frame->room = (uint32_t)mbuf->buf_len - mbuf->data_off;
	frame->length = mbuf->data_len;
	return whole && mbuf->nb_segs == 1 ? frame_check(&port->station, frame, trust) : COUNTER_drop_too_long;
}

static void check_frames(struct worker *worker, struct burst *burst)
{
	uint64_t bytes = 0;
	unsigned queries = 0;
	for (unsigned i = 0; i < burst->count; i++) {
		burst->fate[i] = open_frame(burst->lane->port, &burst->mbuf[i], &burst->frame[i]);
		bytes += burst->mbuf[i]->pkt_len;
		burst->packet_of[queries] = (uint8_t)i;
		queries += burst->fate[i] == COUNTER_answer_dns;
	}
	burst->queries = queries;
	worker->counter[COUNTER_rx_bytes] += bytes;
}

// What is wrong with a query may be right by the policy. Rare.
static enum query_verdict judge_error(const struct worker *worker, struct query *query, const struct frame *frame,
	uint64_t seed, enum rcode *rcode)
{
	if (*rcode != RCODE_FORMERR || !worker->policy.first_question)
		return QUERY_ERROR;
	return query_parse_first(query, frame->bytes + frame->payload_at, (size_t)(frame->length - frame->payload_at), seed,
		rcode);
}

static void prefetch_from_cache(struct worker *worker, struct burst *burst, unsigned q)
{
	if (!worker->cache)
		return;
	burst->cache_hash[q] = cache_key_of_query(&burst->query[q]).hash;
	cache_prefetch(worker->cache, burst->cache_hash[q]);
}

// Rules stand in front of the zones, or behind them.
static bool find_rule(const struct worker *worker, struct burst *burst, unsigned q, bool behind_zones)
{
	const struct overrides *rules = worker->overrides;
	return rules && rules->before_clients == behind_zones &&
	       overrides_match(rules, &burst->query[q], burst->rule_depths[q], &burst->rule[q]);
}

// Of 8 MiB of buckets most pages are known to the TLB. The lines of more are fetched in a walk of their own, where one does not
// wait for the page of the other: 1,000,000 names cost a twelfth less, but 100,000 a fiftieth more.
enum { BUCKETS_AT_HAND = 1 << 17 };

// The zone of a question, or the rule about it; and the line where its name is to be looked for gets on its way.
static inline void find_zone(struct worker *worker, struct burst *burst, unsigned q)
{
	const struct catalog *catalog = worker->catalog;
	burst->zone[q] = NULL;
	burst->rule[q].rule = NULL;
	if (!catalog || burst->refused[q] || find_rule(worker, burst, q, false))
		return;
	const struct folded_name *name = &burst->query[q].name;
	const struct image *zone = catalog_find(catalog, name);
	burst->zone[q] = zone;
	if (zone && zone->bucket_count > BUCKETS_AT_HAND)
		burst->has_far_buckets = true;
	else if (zone)
		image_prefetch_name(zone, name);
	else if (!find_rule(worker, burst, q, true))
		prefetch_from_cache(worker, burst, q);
}

// Rules and a large directory are to be fetched first.
static bool must_fetch_first(const struct worker *worker)
{
	return worker->catalog && (worker->overrides || catalog_needs_prefetch(worker->catalog));
}

static void prefetch_first(const struct worker *worker, const struct burst *burst, unsigned q)
{
	if (burst->refused[q])
		return;
	if (catalog_needs_prefetch(worker->catalog))
		catalog_prefetch(worker->catalog, &burst->query[q].name);
	if (worker->overrides)
		overrides_prefetch(worker->overrides, &burst->query[q].name);
}

static void parse_queries(struct worker *worker, struct burst *burst)
{
	static const enum counter drop_for[] = {
		[QUERY_SHORT] = COUNTER_drop_dns_short,
		[QUERY_IS_RESPONSE] = COUNTER_drop_dns_response,
	};
	uint64_t seed = worker->catalog ? catalog_seed(worker->catalog) : 0;
	bool finds_zones = !must_fetch_first(worker);
	burst->has_far_buckets = false;
	unsigned kept = 0;
	for (unsigned q = 0; q < burst->queries; q++) {
		uint8_t i = burst->packet_of[q];
		const struct frame *frame = &burst->frame[i];
		enum query_verdict verdict =
			query_parse(&burst->query[kept], frame->bytes + frame->payload_at,
				(size_t)(frame->length - frame->payload_at), seed, &burst->rcode[kept]);
		if (verdict != QUERY_VALID) {
			if (verdict != QUERY_ERROR) {
				burst->fate[i] = drop_for[verdict];
				continue;
			}
			verdict = judge_error(worker, &burst->query[kept], frame, seed, &burst->rcode[kept]);
		}
		burst->refused[kept] = verdict == QUERY_ERROR;
		burst->packet_of[kept] = i;
		if (finds_zones) // while the next question is parsed, memory has time
			find_zone(worker, burst, kept);
		else
			prefetch_first(worker, burst, kept);
		kept++;
	}
	burst->queries = kept;
}

static void probe_rules(const struct worker *worker, struct burst *burst)
{
	for (unsigned q = 0; q < burst->queries; q++) {
		if (!burst->refused[q])
			burst->rule_depths[q] = overrides_probe(worker->overrides, &burst->query[q].name);
	}
}

// Walks that wait for no memory: the lines of the rules' table and of the directory, if it is large, are on their way while the other
// questions of the burst are parsed, then what rules there may be, then the buckets', of the zone or else of the cache, then the
// nodes' or the cache's entries', then what lies behind a node.
static void look_up(struct worker *worker, struct burst *burst)
{
	if (must_fetch_first(worker)) {
		if (worker->overrides)
			probe_rules(worker, burst);
		for (unsigned q = 0; q < burst->queries; q++)
			find_zone(worker, burst, q);
	}
	if (!worker->catalog)
		return;
	for (unsigned q = 0; burst->has_far_buckets && q < burst->queries; q++) {
		if (burst->zone[q])
			image_prefetch_name(burst->zone[q], &burst->query[q].name);
	}
	for (unsigned q = 0; q < burst->queries; q++) {
		const struct image *zone = burst->zone[q];
		if (!zone) {
			bool may_be_cached = worker->cache && !burst->refused[q] && !burst->rule[q].rule;
			burst->cached[q] = may_be_cached ? cache_probe(worker->cache, burst->cache_hash[q]) : 0;
			continue;
		}
		burst->node[q] = image_probe(zone, &burst->query[q].name);
		if (burst->node[q])
			image_prefetch_node(burst->node[q]);
	}
	for (unsigned q = 0; q < burst->queries; q++) {
		if (!burst->zone[q] && burst->cached[q])
			cache_prefetch_rest(worker->cache, burst->cached[q]);
		else if (burst->zone[q] && burst->node[q])
			image_prefetch_rest(burst->zone[q], burst->node[q]);
	}
}

// The reply may fill what is left of an MTU-sized packet behind the headers that go back.
static uint32_t largest_reply(const struct port *port, unsigned headers_bytes)
{
	uint32_t fits = RTE_MAX(port->mtu - headers_bytes, (uint32_t)DNS_UDP_PLAIN_BYTES);
	return RTE_MIN(fits, (uint32_t)DNS_UDP_CEILING_BYTES);
}

// RFC 791 3.1, RFC 8200 3: where the source address stands.
static void take_client(struct parties *parties, const struct frame *frame)
{
	bool ip4 = frame->ip_version == 4;
	parties->client = frame->bytes + frame->network_at + (ip4 ? 12 : 8);
	parties->client_bytes = ip4 ? 4 : 16;
}

// An opcode that somebody in control understands; QUERY is one when a plugin wants to see every question. Control judges the
// sender as well.
static bool is_for_control(const struct worker *worker, const struct query *query)
{
	return worker->policy.opcodes >> ((query->flags & FLAG_OPCODE) >> 11) & 1;
}

// What this client gets its answer by; NULL: it may not ask.
static const struct policy *policy_for_client(struct worker *worker)
{
	const struct parties *parties = &worker->parties;
	unsigned rights = access_rights_next(&worker->access, parties->client, parties->client_bytes);
	if (!(rights & ACCESS_QUERY))
		return NULL;
	return rights & ACCESS_RECURSION ? &worker->policy : &worker->zones_only;
}

static enum counter refuse_client(const struct worker *worker, const struct query *query, struct reply *reply)
{
	if (worker->access.terms.drops)
		return COUNTER_drop_access;
	answer_error_why(&worker->zones_only, query, RCODE_REFUSED, EDE_PROHIBITED, reply);
	return COUNTER_answer_dns;
}

// The entry is remembered for side_door_tell_used(): one of a burst is sample enough.
static bool answer_from_cache(struct worker *worker, struct burst *burst, unsigned q, const struct policy *policy,
	struct reply *reply)
{
	const struct query *query = &burst->query[q];
	struct cache_key key = cache_key_of_query(query);
	struct cache_hit hit;
	key.probed = burst->cached[q];
	if (!cache_answer(worker->cache, policy, query, &key, OVER_UDP, worker->clock_s, reply, &hit)) {
		worker->counter[COUNTER_cache_miss]++;
		memcpy(reply->wire, worker->kept, query->bytes); // what it took of the question
		return false;
	}
	worker->counter[COUNTER_cache_hit]++;
	burst->cache_used = hit.position;
	return true;
}

static enum counter fate_of(enum answer_verdict verdict, unsigned source, uint8_t *detail)
{
	if (verdict == ANSWER_READY) {
		*detail = (uint8_t)source;
		return COUNTER_answer_dns;
	}
	*detail = verdict == ANSWER_CONTINUE ? MISS_CONTINUE : MISS_NOT_HERE;
	return COUNTER_miss;
}

static enum counter follow_rule(struct worker *worker, const struct policy *policy, const struct query *query,
	const struct override_hit *hit, struct reply *reply, uint8_t *detail)
{
	if (hit->rule->action == OVERRIDE_DROP)
		return COUNTER_drop_override;
	enum counter fate = fate_of(answer_override(worker->catalog, policy, query, worker->overrides, hit, OVER_UDP, reply),
		1 + STEP_OVERRIDES, detail);
	worker->counter[COUNTER_override] += fate == COUNTER_answer_dns;
	return fate;
}

// The reply is written when it is to be sent. *detail: of a miss why, of an answer where it comes from.
static enum counter write_reply(
	struct worker *worker, struct burst *burst, unsigned q, struct reply *reply, uint8_t *detail)
{
	const struct query *query = &burst->query[q];
	const struct policy *policy = &worker->policy;
	*detail = 0;
	if ((burst->refused[q] || worker->policy.opcodes & 1) && is_for_control(worker, query))
		return COUNTER_miss;
	if (worker->judges_clients && !(policy = policy_for_client(worker)))
		return refuse_client(worker, query, reply);
	if (burst->refused[q]) {
		answer_error(policy, query, burst->rcode[q], reply);
		return COUNTER_answer_dns;
	}
	if (burst->rule[q].rule)
		return follow_rule(worker, policy, query, &burst->rule[q], reply, detail);
	// Before control has loaded every zone once, only it can know what is ours.
	if (!worker->catalog || (!burst->zone[q] && !worker->zones_ready))
		return COUNTER_miss;
	if (!burst->zone[q] && worker->cache && policy->has_chain && answer_from_cache(worker, burst, q, policy, reply)) {
		*detail = 1 + STEP_CACHE;
		return COUNTER_answer_dns;
	}
	return fate_of(answer_thorough(worker->catalog, policy, query, burst->zone[q], OVER_UDP, reply),
		burst->zone[q] ? 1 + STEP_AUTHORITIES : 0, detail);
}

static void fit_mbuf(struct rte_mbuf *mbuf, const struct frame *frame)
{
	mbuf->data_off = (uint16_t)(frame->bytes - (uint8_t *)mbuf->buf_addr);
	mbuf->data_len = frame->length;
	mbuf->pkt_len = frame->length;
	mbuf->ol_flags = 0;
}

void pipeline_request_offload(struct rte_mbuf *mbuf, const struct frame *frame, unsigned offload)
{
	if (!offload)
		return;
	mbuf->l2_len = frame->network_at;
	mbuf->l3_len = (uint16_t)(frame->transport_at - frame->network_at);
	mbuf->ol_flags = frame->ip_version == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	if (frame->ip_version == 4 && (offload & OFFLOAD_IP4_CHECKSUM))
		mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (offload & OFFLOAD_UDP_CHECKSUM)
		mbuf->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
}

// Most answers need nothing but the zone. False: nothing is written.
static inline bool write_plain(struct worker *worker, struct burst *burst, unsigned q, const struct frame *frame,
	struct reply *reply)
{
	const struct image *zone = burst->zone[q];
	const struct policy *policy = &worker->policy;
	if (!zone || policy->opcodes & 1)
		return false;
	if (worker->judges_clients) {
		take_client(&worker->parties, frame);
		policy = policy_for_client(worker);
	}
	const struct query *query = &burst->query[q];
	if (!policy)
		return false;
	reply->room = RTE_MIN(reply->room, answer_limit(policy, query, OVER_UDP));
	return answer_plain(worker->catalog, policy, query, zone, burst->node[q], reply);
}

// What may become a miss is kept.
static enum counter write_other(struct worker *worker, struct burst *burst, unsigned q, const struct frame *frame,
	struct reply *reply, uint8_t *detail)
{
	bool may_miss = worker->policy.has_chain || !worker->zones_ready || worker->policy.opcodes;
	unsigned bytes = burst->query[q].bytes;
	reply->parties = &worker->parties;
	if (may_miss)
		memcpy(worker->kept, reply->wire, bytes);
	take_client(&worker->parties, frame);
	enum counter fate = write_reply(worker, burst, q, reply, detail);
	if (fate == COUNTER_miss)
		memcpy(reply->wire, worker->kept, bytes);
	return fate;
}

// The question stands in the reply as it came, so the sum of the query, made to verify it, holds that of the question
// (as RFC 1624 does it for a single field).
static inline uint64_t question_sum(const struct frame *frame, const struct query *query)
{
	if (frame->payload_sum && query->beside_sum)
		return checksum_without(frame->payload_sum, query->beside_sum);
	return checksum_add(0, query->wire + DNS_HEADER_BYTES, query->question_bytes);
}

// Put together from its parts where they are known: octets that have just been written are slow to read back. The header
// is read as answer.c writes it.
static inline uint64_t message_sum(const struct frame *frame, const struct query *query, const struct reply *reply,
	unsigned offload)
{
	const uint8_t *wire = reply->wire;
	if (offload & OFFLOAD_UDP_CHECKSUM)
		return 0;
	uint64_t header = checksum_of_64(load_64(wire)) + load_32(wire + 8);
	if (!reply->summed)
		return checksum_add(header, wire + DNS_HEADER_BYTES, reply->bytes - DNS_HEADER_BYTES);
	return header + question_sum(frame, query) + checksum_shifted(reply->sections_sum, query->question_bytes & 1);
}

// Replies are written over their questions, whose names stay where they are.
static void write_replies(struct worker *worker, struct burst *burst)
{
	const struct port *port = burst->lane->port;
	const uint32_t largest4 = largest_reply(port, 28), largest6 = largest_reply(port, 48);
	burst->cache_used = 0;
	for (unsigned q = 0; q < burst->queries; q++) {
		unsigned i = burst->packet_of[q];
		struct frame *frame = &burst->frame[i];
		struct reply reply;
		reply.wire = frame->bytes + frame->payload_at;
		reply.room = RTE_MIN(frame->ip_version == 4 ? largest4 : largest6, frame->room - frame->payload_at);
		reply.summed = false;
		if (write_plain(worker, burst, q, frame, &reply)) {
			burst->fate[i] = COUNTER_answer_dns;
			burst->detail[i] = 1 + STEP_AUTHORITIES;
		} else {
			burst->fate[i] = write_other(worker, burst, q, frame, &reply, &burst->detail[i]);
			if (burst->fate[i] != COUNTER_answer_dns)
				continue;
		}
		burst->rcode[q] = reply.rcode;
		burst->truncated[q] = reply.truncated;
		frame_turn_round(frame, reply.bytes, message_sum(frame, &burst->query[q], &reply, port->offload), port->offload);
	}
}

static void send_answers(struct worker *worker, struct burst *burst)
{
	struct rte_mbuf *out[BURST_MAX];
	uint8_t packet[BURST_MAX];
	const struct port *port = burst->lane->port;
	unsigned count = 0;
	uint64_t bytes = 0;
	for (unsigned i = 0; i < burst->count; i++) {
		bool is_dns = burst->fate[i] == COUNTER_answer_dns;
		if (!is_dns && class_of(burst->fate[i]) != COUNTS_ANSWERED)
			continue;
		fit_mbuf(burst->mbuf[i], &burst->frame[i]);
		if (is_dns && port->offload)
			pipeline_request_offload(burst->mbuf[i], &burst->frame[i], port->offload);
		bytes += burst->frame[i].length;
		packet[count] = (uint8_t)i;
		out[count++] = burst->mbuf[i];
	}
	unsigned sent = count ? rte_eth_tx_burst(port->id, burst->lane->queue, out, (uint16_t)count) : 0;
	burst->left = burst->count - sent;
	for (unsigned k = 0; burst->left && k < sent; k++)
		burst->mbuf[packet[k]] = NULL; // the port's now
	for (unsigned k = sent; k < count; k++) {
		burst->fate[packet[k]] = COUNTER_drop_tx_full;
		bytes -= burst->frame[packet[k]].length;
	}
	worker->counter[COUNTER_tx] += sent;
	worker->counter[COUNTER_tx_bytes] += bytes;
}

static void free_rest(struct burst *burst)
{
	struct rte_mbuf *rest[BURST_MAX];
	unsigned count = 0;
	for (unsigned i = 0; i < burst->count; i++)
		if (burst->mbuf[i])
			rest[count++] = burst->mbuf[i];
	if (count)
		rte_pktmbuf_free_bulk(rest, count);
}

static enum counter counter_of_rcode(enum rcode rcode)
{
	static const uint8_t counters[] = {
		[RCODE_NOERROR] = COUNTER_rcode_noerror,
		[RCODE_FORMERR] = COUNTER_rcode_formerr,
		[RCODE_SERVFAIL] = COUNTER_rcode_servfail,
		[RCODE_NXDOMAIN] = COUNTER_rcode_nxdomain,
		[RCODE_NOTIMP] = COUNTER_rcode_notimp,
		[RCODE_REFUSED] = COUNTER_rcode_refused,
	};
	return (unsigned)rcode < RTE_DIM(counters) ? counters[rcode] : COUNTER_rcode_other;
}

// Sums are made in registers: one counter in memory, incremented again and again, would wait for itself.
static void count_queries(struct worker *worker, const struct burst *burst)
{
	uint64_t *counter = worker->counter;
	uint64_t ip4 = 0, edns = 0, dnssec_ok = 0, noerror = 0, truncated = 0;
	for (unsigned q = 0; q < burst->queries; q++) {
		unsigned i = burst->packet_of[q];
		const struct query *query = &burst->query[q];
		ip4 += burst->frame[i].ip_version == 4;
		edns += query->edns;
		dnssec_ok += query->edns & query->dnssec_ok;
		if (burst->fate[i] != COUNTER_answer_dns)
			continue;
		truncated += burst->truncated[q];
		if (burst->rcode[q] == RCODE_NOERROR)
			noerror++;
		else
			counter[counter_of_rcode(burst->rcode[q])]++;
	}
	counter[COUNTER_query_ip4] += ip4;
	counter[COUNTER_query_ip6] += burst->queries - ip4;
	counter[COUNTER_query_edns] += edns;
	counter[COUNTER_query_do] += dnssec_ok;
	counter[COUNTER_rcode_noerror] += noerror;
	counter[COUNTER_truncated] += truncated;
}

static void count_burst(struct worker *worker, const struct burst *burst)
{
	uint64_t ticks = rte_rdtsc() - burst->received_at, answers = 0;
	for (unsigned i = 0; i < burst->count; i++) {
		if (burst->fate[i] == COUNTER_answer_dns)
			answers++;
		else
			worker->counter[burst->fate[i]]++;
	}
	worker->counter[COUNTER_answer_dns] += answers;
	count_queries(worker, burst);
	uint64_t ns = (uint64_t)(((__uint128_t)ticks * worker->ns_per_tick) >> 32);
	unsigned bucket = RTE_MIN(63u - (unsigned)__builtin_clzll(ns | 1), LATENCY_BUCKETS - 1u);
	worker->latency[bucket] += answers;
}

// The only stage that sends, frees and counts.
static void hand_over(struct worker *worker, struct burst *burst)
{
	if (worker->policy.log_queries)
		side_door_log(worker, burst);
	send_answers(worker, burst);
	if (burst->left)
		side_door_pass_up(worker, burst);
	if (burst->cache_used)
		side_door_tell_used(worker, burst->cache_used);
	if (burst->left)
		free_rest(burst);
	count_burst(worker, burst);
}

// Each stage walks over the burst once. A packet starts as a question to be answered; a stage may only
// move it away from that. One packet, one verdict: received = answered + missed + punted + dropped.
static void (*const stages[])(struct worker *, struct burst *) = {
	receive,
	check_frames,
	parse_queries,
	look_up,
	write_replies,
	hand_over,
};

unsigned pipeline_run(struct worker *worker, const struct lane *lane)
{
	struct burst *burst = &worker->burst;
	burst->lane = lane;
	burst->count = rte_eth_rx_burst(lane->port->id, lane->queue, burst->mbuf, BURST_MAX);
	if (!burst->count)
		return 0;
	for (unsigned s = 0; s < RTE_DIM(stages); s++)
		stages[s](worker, burst);
	return burst->count;
}
