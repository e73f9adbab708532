// SPDX-License-Identifier: BSD-3-Clause
// What a plugin of Pollux is: a shared object, loaded by pollux-control, that exports one constant
//
//     const struct pollux_plugin pollux_plugin = { POLLUX_PLUGIN, .lookup = my_lookup };
//
// with the functions it has; all others are NULL. This header is all a plugin needs; nothing of Pollux is
// linked.
//
// Time: every call happens on the event loop of pollux-control, which does nothing else meanwhile, so a call
// must end at once. One that takes longer than the configuration's time-limit is logged; a plugin that does
// so five times in a row is not called any more. What takes longer returns POLLUX_WAIT and ends with
// complete(), from any thread. Memory: what a plugin is given is valid during the call, but for the reply of
// POLLUX_WAIT. Texts end with a NUL. Errors: records that are none are refused and logged with the plugin's
// name; a plugin cannot damage a message.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POLLUX_ABI 1 // grows when a plugin of before would misunderstand this header

enum pollux_result {
	POLLUX_PASS,   // not mine: the next plugin, the next step
	POLLUX_ANSWER, // the reply is what I made of it
	POLLUX_ERROR,  // mine, but I could not find out: SERVFAIL, or the rcode that was set
	POLLUX_WAIT,   // complete() will say
};

enum pollux_access {
	POLLUX_ALLOW,
	POLLUX_REFUSE, // REFUSED, or a connection closed
	POLLUX_DROP,   // no reply
};

enum pollux_section { POLLUX_IN_ANSWER, POLLUX_IN_AUTHORITY, POLLUX_IN_ADDITIONAL };
enum pollux_log_level { POLLUX_LOG_ERROR, POLLUX_LOG_WARNING, POLLUX_LOG_INFO, POLLUX_LOG_DEBUG };

struct pollux_question {
	const char
		*name; // with its final dot, in the case it was asked in; "" when the message has no question
	const uint8_t *wire_name; // RFC 1035 3.1
	uint16_t wire_name_bytes;
	uint16_t qtype, qclass;
	uint16_t opcode;
	uint16_t message_bytes;
	const uint8_t *message; // header and question; for an opcode handler the whole message as it came
	const struct sockaddr *client; // AF_INET, AF_INET6, or AF_UNSPEC: Pollux itself
	bool over_tcp, recursion_desired, checking_disabled, dnssec_ok;
};

struct pollux_reply; // one that is being made
struct pollux_event;

// What Pollux does for a plugin. The host is the first argument where no reply says whose call it is.
struct pollux_host {
	uint32_t size;
	const char *name; // of the plugin, in the configuration

	// One line; the name is put in front. Any thread.
	void (*log)(const struct pollux_host *, enum pollux_log_level, const char *format, ...)
		__attribute__((format(printf, 3, 4)));

	// A record as in a zone file, with its TTL and absolute names: "www.example.com. 60 A 198.18.0.1".
	// False: it is none, or there is no room for more. For lookup, opcode and respond; between
	// POLLUX_WAIT and complete() from any thread.
	bool (*add)(struct pollux_reply *, enum pollux_section, const char *record);
	// The same from octets: names uncompressed, RDATA of known types must be well-formed.
	bool (*add_wire)(struct pollux_reply *, enum pollux_section, const uint8_t *owner, uint16_t type,
		uint32_t ttl, const uint8_t *rdata, uint16_t rdata_bytes);
	// 0 is what it is without this. Not in respond.
	void (*set_rcode)(struct pollux_reply *, unsigned rcode);

	// What there is, for respond. The text is valid until the next call for this reply; NULL: no such
	// record.
	unsigned (*rcode)(const struct pollux_reply *);
	unsigned (*count)(const struct pollux_reply *, enum pollux_section);
	const char *(*record)(struct pollux_reply *, enum pollux_section, unsigned index);

	// After POLLUX_WAIT, exactly once, from any thread; the reply is gone then. Its question may have
	// been given up (the plugin's deadline has passed, say), which a plugin need not care about.
	void (*complete)(struct pollux_reply *, enum pollux_result);

	// Calls of the event loop: once after so many milliseconds; each time the descriptor can be read.
	// NULL: no memory. The event loop's thread only; forgotten by themselves when the plugin ends.
	struct pollux_event *(*after)(
		const struct pollux_host *, unsigned ms, void (*run)(void *ctx), void *ctx);
	struct pollux_event *(*when_readable)(
		const struct pollux_host *, int fd, void (*run)(void *ctx), void *ctx);
	void (*forget)(struct pollux_event
			*); // also one that has been called; not one that after() gave and has run
};

struct pollux_plugin {
	uint32_t abi, size, host_size, question_size; // POLLUX_PLUGIN
	const char *about;			      // for people: what it does, which version. May be NULL

	// Called when the plugin is loaded and when its options change, then before the fini() of the former
	// state: so there may be two states for a moment. `options` is the configuration's text, "" without.
	// The result is handed to all others. False: it cannot work, and has logged why. The host outlives
	// the state.
	bool (*init)(const struct pollux_host *, const char *options, void **state);
	// The last call with this state. Its threads have ended and will not call complete().
	void (*fini)(void *state);

	// The step `plugins` of the chain: questions of class IN that nobody before it has answered.
	enum pollux_result (*lookup)(void *state, const struct pollux_question *, struct pollux_reply *);

	// Messages of another opcode than QUERY; those in `opcodes` (bit n: opcode n). Others are NOTIMP.
	enum pollux_result (*opcode)(void *state, const struct pollux_question *, struct pollux_reply *);
	uint32_t opcodes;

	// Asked before anything else about each question that reaches pollux-control: those over TCP, and
	// those that the dataplane cannot answer from zones, overrides and cache; with the configuration's
	// every-question about all. A plugin that could not be loaded or is disabled has no say.
	enum pollux_access (*allow)(void *state, const struct pollux_question *);
	// A TCP client connects. POLLUX_ALLOW, or else it is closed at once.
	enum pollux_access (*accept)(void *state, const struct sockaddr *client);

	// A reply of pollux-control is about to go out: may look at it and add records; what finds no room is
	// left out.
	void (*respond)(void *state, const struct pollux_question *, struct pollux_reply *);
};

#define POLLUX_PLUGIN                                                                                        \
	.abi = POLLUX_ABI, .size = sizeof(struct pollux_plugin), .host_size = sizeof(struct pollux_host),    \
	.question_size = sizeof(struct pollux_question)

// The one symbol of the shared object.
extern const struct pollux_plugin pollux_plugin __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif
