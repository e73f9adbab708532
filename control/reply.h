// SPDX-License-Identifier: BSD-3-Clause
// The part of replies that only the chain itself needs; what steps use is in chain.h.
#pragma once

struct ask;

// What ask_keep_negative() put aside becomes the reply.
void reply_with_kept(struct ask *);
