// SPDX-License-Identifier: BSD-3-Clause
// Every way a question to other servers can end, each with a word of its own.
#pragma once

#define LOOKUP_TABLE(X)                                                                                      \
	X(LOOKUP_ANSWER, "answer")	      /* NOERROR, with records or without */                            \
	X(LOOKUP_NXDOMAIN, "no such name")    /* somebody positively said so */                                 \
	X(LOOKUP_FORMERR, "format error")                                                                    \
	X(LOOKUP_SERVFAIL, "server failure")                                                                 \
	X(LOOKUP_NOTIMP, "not implemented")                                                                  \
	X(LOOKUP_REFUSED, "refused")                                                                         \
	X(LOOKUP_OTHER_RCODE, "other error code")                                                            \
	X(LOOKUP_TIMEOUT, "no answer in time")                                                               \
	X(LOOKUP_LOCAL, "no usable answer")   /* the quota is used up, the replies were nonsense */             \
	X(LOOKUP_IO, "network error")	      /* no socket, nobody there, no trust in the certificate */        \
	X(LOOKUP_CANCELLED, "cancelled")

enum lookup {
#define X(id, text) id,
	LOOKUP_TABLE(X)
#undef X
		LOOKUP_COUNT
};

const char *lookup_text(enum lookup); // constant
enum lookup lookup_of_rcode(unsigned rcode);
