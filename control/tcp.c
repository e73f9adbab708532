// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/tree.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include <pollux/bytes.h>
#include <pollux/log.h>

#include "tcp.h"

#define LENGTH_BYTES 2	   // RFC 1035 4.2.2
#define SEND_PARTS 16	   // pieces of output handed to the kernel at once
#define COMPLAINT_MS 10000 // between two log lines about clients
#define LISTENERS_MAX (2 * PORT_ADDRESSES_MAX)
#define BACKLOG 4096	     // connections the kernel may hold for us
#define FAST_OPEN_QUEUE 256  // RFC 7413, RFC 7766 8
#define ACCEPTS_PER_ROUND 64 // before those who are in get their turn again
#define ACCEPT_PAUSE_MS 100  // when there is no descriptor or memory left
#define READ_BYTES 16384     // taken from one connection before the next one gets its turn
// After so many connections' turns their answers set off: a client need not wait for those of all the others (16 clients with
// 16 questions each under way: 40 % more answers/s; by single turns 25 %).
#define TURNS_TO_HAND_ON 8
#define HELD_STEP_BYTES 512 // most questions are smaller: memory grows with what came, not what was announced
#define OUTPUT_PAUSE_BYTES (64 << 10) // unsent answers that stop us from reading more questions
#define OUTPUT_MAX_BYTES (4 << 20)    // unsent answers that end the connection
#define DISCARDS_MAX 64		      // reads of octets that nobody wants any more: all that a socket holds
#define SWEEP_MS 250		      // how late an idle connection may be closed

// One address and how many connections it has.
struct client {
	RB_ENTRY(client) entry;
	uint8_t address[16]; // IPv4 as ::ffff:a.b.c.d
	unsigned connections;
};
RB_HEAD(client_tree, client);

// A connection is on the idle list exactly when no question of its is being worked on.
TAILQ_HEAD(connection_list, connection);

struct connection {
	TAILQ_ENTRY(connection) entry, entry_dirty;
	struct tcp_server *server;
	struct client *client;
	struct event *readable, *writable;
	struct evbuffer *output;
	int fd;		// -1: closed, waits for the last answer only
	unsigned asked; // questions being worked on
	bool reading;	// `readable` is pending
	bool writing;	// `writable` is pending
	bool dirty;	// on the list of those with new answers
	bool in_turn;	// being worked on further up the stack, which will send and tidy up
	bool ended;	// the client sends no more; it still gets its answers
	bool nonsense;	// what it sends cannot be read; it gets the answers owed so far
	uint8_t *held;	// octets that came and were not worked on, a malloc
	size_t held_bytes, held_room;
	uint64_t opened_ms, active_ms, queries;
	struct asker asker;
};

struct tcp_server {
	struct event_base *base;
	struct resolver *resolver;
	struct tap *tap; // NULL: the sockets lead elsewhere
	struct event *listener[LISTENERS_MAX];
	unsigned listeners;
	struct event *resume; // accepts again
	struct event *sweep;  // looks for idle connections
	struct event *flush;  // sends answers that came outside of a connection's turn
	unsigned max_clients, max_per_client, max_pipelined, idle_ms;
	unsigned turns; // since answers were handed on
	uint64_t complained_ms;
	struct client_tree clients;
	struct connection_list idle, busy, dirty; // idle: longest idle first
	struct tcp_counters counters;
	uint8_t input[READ_BYTES];
};

static int client_order(const struct client *a, const struct client *b)
{
	return memcmp(a->address, b->address, sizeof(a->address));
}
RB_PROTOTYPE_INTERNAL(client_tree, client, entry, client_order, __attribute__((unused)) static)
RB_GENERATE_INTERNAL(client_tree, client, entry, client_order, __attribute__((unused)) static)

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static struct timeval milliseconds(unsigned ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };
}

// --- life and death of a connection ------------------------------------------------------------------

static struct connection_list *list_of(struct connection *c)
{
	return c->asked ? &c->server->busy : &c->server->idle;
}

// Starts the idle time anew. Whole questions, answers, and octets the client took count (RFC 7766 6.2.3):
// single octets from it must not keep a connection for ever.
static void renew(struct connection *c, int questions)
{
	TAILQ_REMOVE(list_of(c), c, entry);
	c->asked += (unsigned)questions;
	c->active_ms = now_ms();
	TAILQ_INSERT_TAIL(list_of(c), c, entry);
}

static void release(struct connection *c)
{
	if (c->output)
		evbuffer_free(c->output);
	free(c->held);
	free(c);
}

static void leave_client(struct tcp_server *server, struct client *client)
{
	if (--client->connections)
		return;
	RB_REMOVE(client_tree, &server->clients, client);
	free(client);
}

// The descriptor goes now, the memory when the last answer has come.
static void close_connection(struct connection *c)
{
	if (c->fd < 0)
		return;
	event_free(c->readable);
	event_free(c->writable);
	// Octets left unread would turn the close into a reset, which may overtake the answers.
	for (unsigned i = 0; c->nonsense && i < DISCARDS_MAX; i++)
		if (recv(c->fd, c->server->input, sizeof(c->server->input), 0) <= 0)
			break;
	close(c->fd);
	c->fd = -1;
	if (c->dirty)
		TAILQ_REMOVE(&c->server->dirty, c, entry_dirty);
	TAILQ_REMOVE(list_of(c), c, entry);
	leave_client(c->server, c->client);
	c->server->counters.open--;
	if (!c->asked && !c->in_turn)
		release(c);
}

// --- questions in ------------------------------------------------------------------------------------

static bool may_ask(const struct connection *c)
{
	return c->fd >= 0 && !c->nonsense && c->asked < c->server->max_pipelined &&
	       evbuffer_get_length(c->output) < OUTPUT_PAUSE_BYTES;
}

static void take_answer(void *ctx, const uint8_t *wire, unsigned bytes);

// Asks for each whole message in there. Returns the octets that were used: what is left is part of a
// message, or has to wait until answers are out.
static size_t ask_all(struct connection *c, const uint8_t *bytes, size_t count)
{
	size_t at = 0, foreseen = 0;
	while (count - at >= LENGTH_BYTES && may_ask(c)) {
		if (at == foreseen)
			foreseen += resolver_foresee(c->server->resolver, bytes + at, count - at);
		unsigned length = load_be16(bytes + at);
		if (length < DNS_HEADER_BYTES) {
			// No id to answer to, and most likely no DNS: what follows cannot be trusted either.
			c->server->counters.malformed++;
			c->nonsense = true;
			break;
		}
		if (count - at - LENGTH_BYTES < length)
			break;
		renew(c, +1);
		c->queries++;
		c->asker.idle_ms = c->server->idle_ms;
		c->server->counters.queries++;
		resolver_ask(
			c->server->resolver, &c->asker, bytes + at + LENGTH_BYTES, length, take_answer, c);
		at += LENGTH_BYTES + length;
	}
	return at;
}

static bool hold(struct connection *c, const uint8_t *bytes, size_t count)
{
	uint8_t *held = malloc(count);
	if (!held)
		return false;
	memcpy(held, bytes, count);
	c->held = held;
	c->held_bytes = c->held_room = count;
	return true;
}

static bool grow_held(struct connection *c)
{
	size_t room = c->held_bytes * 2;
	if (room < HELD_STEP_BYTES)
		room = HELD_STEP_BYTES;
	if (room > LENGTH_BYTES + DNS_MAX_BYTES)
		room = LENGTH_BYTES + DNS_MAX_BYTES;
	uint8_t *held = realloc(c->held, room);
	if (!held)
		return false;
	c->held = held;
	c->held_room = room;
	return true;
}

// What was held, as far as it may be asked now. True when something was.
static bool ask_held(struct connection *c)
{
	size_t used = c->held_bytes ? ask_all(c, c->held, c->held_bytes) : 0;
	c->held_bytes -= used;
	if (c->held_bytes && used)
		memmove(c->held, c->held + used, c->held_bytes);
	if (!c->held_bytes) {
		free(c->held);
		c->held = NULL;
		c->held_room = 0;
	}
	return used > 0;
}

// --- answers out -------------------------------------------------------------------------------------

// False: the connection is gone.
static bool send_answers(struct connection *c)
{
	while (evbuffer_get_length(c->output)) {
		struct evbuffer_iovec parts[SEND_PARTS];
		int count = evbuffer_peek(c->output, -1, NULL, parts, SEND_PARTS);
		struct msghdr message = { .msg_iov = parts,
			.msg_iovlen = (size_t)(count < SEND_PARTS ? count : SEND_PARTS) };
		ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (sent < 0) {
			c->server->counters.reset++;
			close_connection(c);
			return false;
		}
		evbuffer_drain(c->output, (size_t)sent);
		renew(c, 0);
	}
	return true;
}

static void want(struct event *event, bool *pending, bool wanted)
{
	if (*pending == wanted)
		return;
	*pending = wanted;
	if (wanted)
		event_add(event, NULL);
	else
		event_del(event);
}

// Sends what there is, asks what had to wait for that, and decides what to wait for next.
static void end_turn(struct connection *c)
{
	bool open = c->fd >= 0;
	while (open && (open = send_answers(c)) && ask_held(c))
		open = c->fd >= 0;
	size_t unsent = evbuffer_get_length(c->output);
	if (open && (c->ended || c->nonsense) && !c->asked && !unsent) {
		close_connection(c);
	} else if (open) {
		want(c->readable, &c->reading, !c->ended && may_ask(c));
		want(c->writable, &c->writing, unsent > 0);
	}
	c->in_turn = false;
	if (c->fd < 0 && !c->asked)
		release(c);
}

static bool add_answer(struct connection *c, const uint8_t *wire, unsigned bytes)
{
	uint8_t length[LENGTH_BYTES];
	store_be16(length, (uint16_t)bytes);
	if (evbuffer_get_length(c->output) + bytes > OUTPUT_MAX_BYTES) {
		c->server->counters.overrun_closed++;
		return false;
	}
	// They leave in one piece (RFC 7766 8).
	if (evbuffer_add(c->output, length, sizeof(length)) || evbuffer_add(c->output, wire, bytes))
		return false;
	c->server->counters.answers++;
	return true;
}

static void take_answer(void *ctx, const uint8_t *wire, unsigned bytes)
{
	struct connection *c = ctx;
	if (c->fd < 0) {
		if (!--c->asked && !c->in_turn)
			release(c);
		return;
	}
	renew(c, -1);
	if (wire && !add_answer(c, wire, bytes)) {
		close_connection(c);
		return;
	}
	if (c->in_turn || c->dirty)
		return;
	c->dirty = true;
	if (TAILQ_EMPTY(&c->server->dirty))
		event_active(c->server->flush, EV_TIMEOUT, 0);
	TAILQ_INSERT_TAIL(&c->server->dirty, c, entry_dirty);
}

static void flush_answers(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct tcp_server *server = ctx;
	struct connection *c;
	while ((c = TAILQ_FIRST(&server->dirty))) {
		TAILQ_REMOVE(&server->dirty, c, entry_dirty);
		c->dirty = false;
		c->in_turn = true;
		end_turn(c);
	}
}

// --- a connection's turn -----------------------------------------------------------------------------

// What read() said: nothing now, the end, or an error. Octets are the caller's.
static void take_end(struct connection *c, ssize_t got)
{
	if (got == 0) {
		c->ended = true; // RFC 7766 6.2.4: half closed, the answers still go out
	} else if (errno != EAGAIN && errno != EINTR) {
		c->server->counters.reset++;
		close_connection(c);
	}
}

// Goes on with a message whose first part is held.
static void read_held(struct connection *c)
{
	if (c->held_bytes == c->held_room && !grow_held(c)) {
		close_connection(c);
		return;
	}
	ssize_t got = read(c->fd, c->held + c->held_bytes, c->held_room - c->held_bytes);
	if (got > 0)
		c->held_bytes += (size_t)got;
	else
		take_end(c, got);
}

static void read_fresh(struct connection *c)
{
	uint8_t *input = c->server->input;
	ssize_t got = read(c->fd, input, READ_BYTES);
	if (got <= 0) {
		take_end(c, got);
		return;
	}
	size_t used = ask_all(c, input, (size_t)got);
	if (c->fd >= 0 && !c->nonsense && used < (size_t)got && !hold(c, input + used, (size_t)got - used))
		close_connection(c);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct connection *c = ctx;
	c->in_turn = true;
	struct tcp_server *server = c->server;
	(c->held ? read_held : read_fresh)(c);
	end_turn(c);
	if (server->tap && ++server->turns % TURNS_TO_HAND_ON == 0)
		tap_hand_on(server->tap);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct connection *c = ctx;
	c->in_turn = true;
	end_turn(c);
}

// --- newcomers ---------------------------------------------------------------------------------------

static void address_key(uint8_t key[16], const struct sockaddr_storage *from)
{
	memset(key, 0, 16);
	if (from->ss_family == AF_INET6) {
		memcpy(key, &((const struct sockaddr_in6 *)from)->sin6_addr, 16);
	} else if (from->ss_family == AF_INET) {
		key[10] = key[11] = 0xff;
		memcpy(key + 12, &((const struct sockaddr_in *)from)->sin_addr, 4);
	}
}

static struct client *enter_client(struct tcp_server *server, const struct sockaddr_storage *from)
{
	struct client key, *client;
	address_key(key.address, from);
	client = RB_FIND(client_tree, &server->clients, &key);
	if (!client) {
		client = calloc(1, sizeof(*client));
		if (!client)
			return NULL;
		memcpy(client->address, key.address, sizeof(client->address));
		RB_INSERT(client_tree, &server->clients, client);
	}
	client->connections++;
	return client;
}

// Not once per refusal: who can connect must not be able to fill the log.
static void complain(struct tcp_server *server, const char *what)
{
	uint64_t now = now_ms();
	if (server->complained_ms && now - server->complained_ms < COMPLAINT_MS)
		return;
	server->complained_ms = now;
	log_warning("TCP: %s, %llu connections open", what, (unsigned long long)server->counters.open);
}

static bool evict_idle(struct tcp_server *server)
{
	struct connection *oldest = TAILQ_FIRST(&server->idle);
	if (!oldest)
		return false;
	server->counters.evicted++;
	close_connection(oldest);
	return true;
}

static bool has_room(struct tcp_server *server, const struct client *client)
{
	if (client->connections > server->max_per_client) {
		server->counters.refused_per_client++;
		complain(server, "a client has more connections than allowed");
		return false;
	}
	if (server->counters.open >= server->max_clients && !evict_idle(server)) {
		server->counters.refused_total++;
		complain(server, "no room for another client");
		return false;
	}
	return true;
}

static struct connection *connection_new(struct tcp_server *server, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->server = server;
	c->fd = fd;
	c->output = evbuffer_new();
	c->readable = event_new(server->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(server->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	if (c->output && c->readable && c->writable)
		return c;
	if (c->readable)
		event_free(c->readable);
	if (c->writable)
		event_free(c->writable);
	release(c);
	return NULL;
}

// A reset, so that nothing of a refused connection stays behind here.
static void refuse(int fd)
{
	struct linger now = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void admit(struct tcp_server *server, int fd, const struct sockaddr_storage *from)
{
	if (!resolver_accepts(server->resolver, from)) {
		server->counters.refused_access++;
		refuse(fd);
		return;
	}
	struct client *client = enter_client(server, from);
	struct connection *c = client && has_room(server, client) ? connection_new(server, fd) : NULL;
	if (!c) {
		if (client)
			leave_client(server, client);
		refuse(fd);
		return;
	}
	c->client = client;
	c->asker = (struct asker){ .address = *from, .transport = OVER_TCP };
	c->opened_ms = c->active_ms = now_ms();
	TAILQ_INSERT_TAIL(&server->idle, c, entry);
	server->counters.accepted++;
	server->counters.open++;
	want(c->readable, &c->reading, true);
}

// No descriptor or no memory: accept() would fail again at once and the loop would spin.
static void pause_accepting(struct tcp_server *server)
{
	struct timeval pause = milliseconds(ACCEPT_PAUSE_MS);
	server->counters.accept_paused++;
	complain(server, "cannot accept: out of descriptors or memory");
	for (unsigned i = 0; i < server->listeners; i++)
		event_del(server->listener[i]);
	event_add(server->resume, &pause);
}

static void resume_accepting(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct tcp_server *server = ctx;
	for (unsigned i = 0; i < server->listeners; i++)
		event_add(server->listener[i], NULL);
}

static bool out_of_resources(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_newcomer(evutil_socket_t listener, short what, void *ctx)
{
	(void)what;
	struct tcp_server *server = ctx;
	for (unsigned i = 0; i < ACCEPTS_PER_ROUND; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t bytes = sizeof(from);
		int fd = accept4(listener, (struct sockaddr *)&from, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			admit(server, fd, &from);
		} else if (errno == EMFILE && i == 0 && evict_idle(server)) {
			continue; // its descriptor serves the newcomer
		} else if (out_of_resources(errno)) {
			// accept(2) wants a descriptor before it looks whether anybody waits: only the first
			// one surely did.
			if (i == 0)
				pause_accepting(server);
			return;
		} else if (errno == EAGAIN) {
			return;
		} // else that one was gone before we took it, accept(2)
	}
}

static void sweep_idle(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	struct tcp_server *server = ctx;
	struct connection *c;
	uint64_t now = now_ms();
	while ((c = TAILQ_FIRST(&server->idle)) && now - c->active_ms >= server->idle_ms) {
		server->counters.idle_closed++;
		close_connection(c);
	}
}

// --- the server --------------------------------------------------------------------------------------

void tcp_server_reconfigure(struct tcp_server *server, const struct config *config)
{
	server->max_clients = config->tcp_max_clients;
	server->max_per_client = config->tcp_max_per_client;
	server->max_pipelined = config->tcp_max_pipelined ? config->tcp_max_pipelined : 1;
	server->idle_ms = config->tcp_idle_ms;
}

static bool add_listener(struct tcp_server *server, int fd)
{
	struct event *event = event_new(server->base, fd, EV_READ | EV_PERSIST, on_newcomer, server);
	if (!event)
		return false;
	server->listener[server->listeners++] = event;
	return event_add(event, NULL) == 0;
}

static bool start(struct tcp_server *server, const int *listeners, unsigned count)
{
	struct timeval sweep = milliseconds(SWEEP_MS);
	server->resume = evtimer_new(server->base, resume_accepting, server);
	server->flush = evtimer_new(server->base, flush_answers, server);
	server->sweep = event_new(server->base, -1, EV_PERSIST, sweep_idle, server);
	if (!server->resume || !server->flush || !server->sweep || event_add(server->sweep, &sweep))
		return false;
	for (unsigned i = 0; i < count; i++)
		if (!add_listener(server, listeners[i]))
			return false;
	return true;
}

static void close_all(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

enum status tcp_server_new_on(struct tcp_server **made, struct event_base *base, const struct config *config,
	const int *listeners, unsigned count, struct resolver *resolver)
{
	struct tcp_server *server = count <= LISTENERS_MAX ? calloc(1, sizeof(*server)) : NULL;
	if (!server) {
		close_all(listeners, count);
		return ST_NO_MEMORY;
	}
	server->base = base;
	server->resolver = resolver;
	RB_INIT(&server->clients);
	TAILQ_INIT(&server->idle);
	TAILQ_INIT(&server->busy);
	TAILQ_INIT(&server->dirty);
	tcp_server_reconfigure(server, config);
	if (!start(server, listeners, count)) {
		close_all(listeners + server->listeners, count - server->listeners);
		tcp_server_free(server);
		return ST_NO_MEMORY;
	}
	*made = server;
	return ST_OK;
}

static bool serves(const struct config *config, int family)
{
	for (unsigned p = 0; p < config->port_count; p++)
		for (unsigned a = 0; a < config->ports[p].address_count; a++)
			if (config->ports[p].addresses[a].family == family)
				return true;
	return false;
}

static bool listen_at(int fd, int family, unsigned port)
{
	int on = 1, queue = FAST_OPEN_QUEUE;
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); // connections inherit it
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue));
	if (family == AF_INET)
		return !bind(fd, (struct sockaddr *)&any4, sizeof(any4)) && !listen(fd, BACKLOG);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	return !bind(fd, (struct sockaddr *)&any6, sizeof(any6)) && !listen(fd, BACKLOG);
}

// One listener per family is enough: the namespace has no other addresses than the service addresses.
enum status tcp_server_new(struct tcp_server **made, struct event_base *base, const struct config *config,
	struct tap *tap, struct resolver *resolver)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int fds[2];
	unsigned count = 0;

	for (unsigned i = 0; tap && i < 2; i++) {
		if (!serves(config, families[i]))
			continue;
		int fd = tap_socket(tap, families[i], SOCK_STREAM);
		if (fd >= 0)
			fds[count++] = fd;
		if (fd < 0 || !listen_at(fd, families[i], config->service_port)) {
			log_error("TCP: listening at port %u of the %s addresses: %s", config->service_port,
				i ? "IPv6" : "IPv4", strerror(errno));
			close_all(fds, count);
			return ST_SYSTEM;
		}
	}
	enum status status = tcp_server_new_on(made, base, config, fds, count, resolver);
	if (status == ST_OK)
		(*made)->tap = tap;
	return status;
}

static void close_each(struct connection_list *list)
{
	struct connection *c;
	while ((c = TAILQ_FIRST(list)))
		close_connection(c);
}

void tcp_server_free(struct tcp_server *server)
{
	if (!server)
		return;
	close_each(&server->idle);
	close_each(&server->busy);
	for (unsigned i = 0; i < server->listeners; i++) {
		close(event_get_fd(server->listener[i]));
		event_free(server->listener[i]);
	}
	if (server->resume)
		event_free(server->resume);
	if (server->flush)
		event_free(server->flush);
	if (server->sweep)
		event_free(server->sweep);
	free(server);
}

const struct tcp_counters *tcp_counters(const struct tcp_server *server)
{
	return &server->counters;
}

void tcp_each(const struct tcp_server *server,
	void (*visit)(void *ctx, const struct sockaddr *peer, uint64_t age_ms, uint64_t queries), void *ctx)
{
	const struct connection_list *lists[] = { &server->busy, &server->idle };
	const struct connection *c;
	uint64_t now = now_ms();
	for (unsigned i = 0; i < 2; i++)
		TAILQ_FOREACH(c, lists[i], entry)
	visit(ctx, (const struct sockaddr *)&c->asker.address, now - c->opened_ms, c->queries);
}
