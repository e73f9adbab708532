// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <jansson.h>

#include <pollux/ctl.h>
#include <pollux/log.h>

#include "access.h"
#include "commands.h"
#include "ctl_server.h"

#define CLIENTS_MAX 64
#define GROUPS_MAX 256 // of a peer; those behind are as if it had them not
#define ACCEPT_PAUSE_MS 500 // when there is no descriptor or memory left: accept() would fail again at once
#define WRITE_TIMEOUT_S 30 // a client that takes nothing of its reply for so long is gone

struct client {
	TAILQ_ENTRY(client) link;
	struct ctl_server *server;
	struct bufferevent *stream;
	char who[96]; // for the log
	uid_t user;
	unsigned group_count;
	gid_t groups[GROUPS_MAX];
	struct request *open; // being worked on: its reply comes before the next line is read
	bool closing;	      // once everything is written; what else it says is not read
	bool ended;	      // it says no more, but may still listen
};

// What a command's end comes back to; the client may have gone meanwhile.
struct request {
	struct client *client;
};

struct ctl_server {
	struct control *control;
	struct event_base *base;
	struct evconnlistener *listener;
	struct event *resume; // accepts again
	char *path;
	uint64_t device, inode; // of the socket, so that only our own is removed
	TAILQ_HEAD(, client) clients;
	unsigned client_count;
};

static void client_free(struct client *client)
{
	if (client->open)
		client->open->client = NULL;
	TAILQ_REMOVE(&client->server->clients, client, link);
	client->server->client_count--;
	bufferevent_free(client->stream);
	free(client);
}

static void send_json(struct client *client, const json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	struct evbuffer *out = bufferevent_get_output(client->stream);
	if (text && strlen(text) <= CTL_MAX_REPLY_BYTES)
		evbuffer_add(out, text, strlen(text));
	else
		evbuffer_add_printf(out, "{\"v\":%d,\"ok\":false,\"error\":\"%s\"}", CTL_VERSION,
			text ? "the reply is too long; ask for less" : "out of memory");
	evbuffer_add(out, "\n", 1);
	free(text);
}

static void send_error(struct client *client, const char *text)
{
	json_t *reply = json_pack("{s:i, s:b, s:s}", "v", CTL_VERSION, "ok", 0, "error", text);
	send_json(client, reply);
	json_decref(reply);
}

static void on_reply(void *ctx, json_t *reply)
{
	struct request *request = ctx;
	struct client *client = request->client;
	free(request);
	if (client) {
		client->open = NULL;
		send_json(client, reply);
	}
	json_decref(reply);
}

// The configuration may be another one than when it connected.
static enum peer_rights rights_of(const struct client *client)
{
	const struct control *control = client->server->control;
	return control->config ? peer_judge(control->config, client->user, client->groups, client->group_count) : PEER_ALL;
}

static void run_request(struct client *client, struct request *request, const json_t *json)
{
	enum peer_rights rights = rights_of(client);
	if (rights == PEER_NOTHING) {
		free(request);
		log_warning("control socket: %s may not use it", client->who);
		send_error(client, "you may not use this socket (access.management, access.monitoring)");
		client->closing = true;
		return;
	}
	request->client = client;
	client->open = request;
	commands_run(client->server->control, json, client->who, rights == PEER_ALL ? RIGHT_WRITE : RIGHT_READ, on_reply,
		request);
}

static void run_line(struct client *client, const char *line, size_t bytes)
{
	json_error_t error;
	json_t *json = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error);
	struct request *request = json ? calloc(1, sizeof(*request)) : NULL;
	if (!json) {
		char text[JSON_ERROR_TEXT_LENGTH + 64];
		snprintf(text, sizeof(text), "not a JSON request, at octet %d: %s", error.position, error.text);
		send_error(client, text);
	} else if (!request) {
		send_error(client, "out of memory");
	} else {
		run_request(client, request, json);
	}
	json_decref(json);
}

static bool is_writing(const struct client *client)
{
	return evbuffer_get_length(bufferevent_get_output(client->stream)) > 0;
}

// A client that asks but does not read must not make us keep its replies: its next line is taken when the reply
// to the one before has left.
static void serve_lines(struct client *client)
{
	struct evbuffer *in = bufferevent_get_input(client->stream);
	while (!client->open && !client->closing && !is_writing(client)) {
		struct evbuffer_ptr end = evbuffer_search_eol(in, NULL, NULL, EVBUFFER_EOL_LF);
		size_t bytes;
		if (end.pos > CTL_MAX_REQUEST_BYTES || (end.pos < 0 && evbuffer_get_length(in) > CTL_MAX_REQUEST_BYTES)) {
			send_error(client, "the request is longer than a line may be");
			client->closing = true;
			return;
		}
		char *line = evbuffer_readln(in, &bytes, EVBUFFER_EOL_LF);
		if (!line) {
			client->closing = client->ended;
			return;
		}
		run_line(client, line, bytes);
		free(line);
	}
}

// Does what can be done now; frees the client when nothing is left to do.
static void go_on(struct client *client)
{
	serve_lines(client);
	if (client->closing && !client->open && !is_writing(client)) {
		client_free(client);
		return;
	}
	bool full = evbuffer_get_length(bufferevent_get_input(client->stream)) > CTL_MAX_REQUEST_BYTES;
	if (full || client->closing || client->ended)
		bufferevent_disable(client->stream, EV_READ);
	else
		bufferevent_enable(client->stream, EV_READ);
}

static void on_ready(struct bufferevent *stream, void *ctx)
{
	(void)stream;
	go_on(ctx);
}

static void on_event(struct bufferevent *stream, short what, void *ctx)
{
	(void)stream;
	struct client *client = ctx;
	if ((what & BEV_EVENT_EOF) && !client->ended) {
		client->ended = true; // "echo '{...}' | nc -N" closes its side at once; what it asked is still answered
		go_on(client);
	} else {
		client_free(client);
	}
}

static void describe_peer(struct client *client, int fd)
{
	struct ucred peer;
	socklen_t bytes = sizeof(peer);
	client->user = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) {
		snprintf(client->who, sizeof(client->who), "an unknown peer");
		return;
	}
	snprintf(client->who, sizeof(client->who), "uid %u (process %d)", (unsigned)peer.uid, (int)peer.pid);
	client->user = peer.uid;
	client->groups[0] = peer.gid;
	bytes = sizeof(client->groups) - sizeof(client->groups[0]);
	bool known = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, client->groups + 1, &bytes) == 0;
	client->group_count = 1 + (known ? bytes / (unsigned)sizeof(client->groups[0]) : 0);
}

enum status ctl_server_adopt(struct ctl_server *server, int fd)
{
	struct client *client = NULL;
	if (server->client_count < CLIENTS_MAX)
		client = calloc(1, sizeof(*client));
	if (client)
		client->stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!client || !client->stream) {
		static const char busy[] = "{\"v\":1,\"ok\":false,\"error\":\"too many clients are connected\"}\n";
		if (write(fd, busy, sizeof(busy) - 1) < 0) {
			// It will see the end of the connection.
		}
		free(client);
		close(fd);
		return ST_FULL;
	}
	evutil_make_socket_nonblocking(fd);
	client->server = server;
	describe_peer(client, fd);
	TAILQ_INSERT_TAIL(&server->clients, client, link);
	server->client_count++;
	struct timeval write_timeout = { .tv_sec = WRITE_TIMEOUT_S };
	bufferevent_setcb(client->stream, on_ready, on_ready, on_event, client);
	bufferevent_set_timeouts(client->stream, NULL, &write_timeout);
	bufferevent_enable(client->stream, EV_READ | EV_WRITE);
	return ST_OK;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int bytes, void *ctx)
{
	(void)listener;
	(void)address;
	(void)bytes;
	if (ctl_server_adopt(ctx, fd) != ST_OK)
		log_warning("control socket: too many clients");
}

static void on_accept_error(struct evconnlistener *listener, void *ctx)
{
	const struct ctl_server *server = ctx;
	const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_MS * 1000 };
	log_error("control socket: accept: %s", strerror(errno));
	if (event_add(server->resume, &pause) == 0)
		evconnlistener_disable(listener);
}

static void resume_accepting(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	const struct ctl_server *server = ctx;
	evconnlistener_enable(server->listener);
}

// --- the socket ---

static bool somebody_answers(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answered = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		errno == EAGAIN);
	if (fd >= 0)
		close(fd);
	return answered;
}

// The name must be free, or that of a socket nobody listens on any more.
static enum status clear_path(const struct sockaddr_un *address)
{
	struct stat info;
	const char *path = address->sun_path;
	if (lstat(path, &info) != 0)
		return ST_OK; // bind() says what is wrong, if anything
	if (!S_ISSOCK(info.st_mode)) {
		log_error("%s: exists and is not a socket; remove it or choose another control-socket", path);
		return ST_EXISTS;
	}
	if (somebody_answers(address)) {
		log_error("%s: another process answers on this control socket", path);
		return ST_BUSY;
	}
	return unlink(path) == 0 ? ST_OK : ST_SYSTEM;
}

static int bind_socket(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	// The mode it has from its first moment on; nobody can connect before listen() anyway.
	mode_t before = umask(0117);
	int result = bind(fd, (const struct sockaddr *)address, sizeof(*address));
	umask(before);
	if (result == 0 && listen(fd, 16) == 0)
		return fd;
	int cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

// With lists anybody may connect, and is judged by them.
static mode_t socket_mode(const struct ctl_server *server)
{
	const struct config *config = server->control->config;
	return config && peers_are_listed(config) ? 0666 : 0660;
}

void ctl_server_reconfigure(struct ctl_server *server)
{
	struct stat info;
	if (!server || !server->listener || stat(server->path, &info) != 0 || info.st_ino != server->inode)
		return;
	if ((info.st_mode & 0777) != socket_mode(server) && chmod(server->path, socket_mode(server)) != 0)
		log_error("%s: cannot change its mode: %s", server->path, strerror(errno));
}

static enum status open_socket(struct ctl_server *server)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat info;
	if (strlcpy(address.sun_path, server->path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
		log_error("%s: longer than the name of a UNIX socket may be", server->path);
		return ST_INVALID;
	}
	enum status status = clear_path(&address);
	if (status != ST_OK)
		return status;
	int fd = bind_socket(&address);
	if (fd >= 0)
		server->listener = evconnlistener_new(server->base, on_accept, server, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
			0, fd);
	if (!server->listener) {
		log_error("%s: cannot listen: %s", server->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return ST_SYSTEM;
	}
	evconnlistener_set_error_cb(server->listener, on_accept_error);
	if (stat(server->path, &info) == 0) {
		server->device = info.st_dev;
		server->inode = info.st_ino;
	}
	ctl_server_reconfigure(server);
	return ST_OK;
}

static void remove_socket(const struct ctl_server *server)
{
	struct stat info;
	if (server->listener && stat(server->path, &info) == 0 && info.st_dev == server->device &&
		info.st_ino == server->inode)
		unlink(server->path);
}

enum status ctl_server_new(struct ctl_server **out, struct event_base *base, const char *path, struct control *control)
{
	struct ctl_server *server = calloc(1, sizeof(*server));
	*out = NULL;
	if (!server)
		return ST_NO_MEMORY;
	server->base = base;
	server->control = control;
	server->path = strdup(path);
	TAILQ_INIT(&server->clients);
	server->resume = evtimer_new(base, resume_accepting, server);
	enum status status = server->path && server->resume ? open_socket(server) : ST_NO_MEMORY;
	if (status != ST_OK) {
		ctl_server_free(server);
		return status;
	}
	*out = server;
	return ST_OK;
}

void ctl_server_free(struct ctl_server *server)
{
	if (!server)
		return;
	struct client *client;
	while ((client = TAILQ_FIRST(&server->clients)))
		client_free(client);
	remove_socket(server);
	if (server->listener)
		evconnlistener_free(server->listener);
	if (server->resume)
		event_free(server->resume);
	free(server->path);
	free(server);
}

unsigned ctl_server_clients(const struct ctl_server *server)
{
	return server->client_count;
}
